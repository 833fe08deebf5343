//! Which names of tables and schemas can stand in a statement.

/// A table or schema name that was refused: 1 to 63 ASCII letters, digits and `_`, not beginning with a
/// digit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no table or schema name: 1 to 63 ASCII letters, digits and `_`, not beginning with a digit"
)]
pub struct InvalidIdentifier(String);

/// The name itself, if it can stand in a statement between quotes.
///
/// Invariant: such a name contains no quote and needs no escape. The statements rely on that.
pub(super) fn identifier(name: &str) -> Result<&str, InvalidIdentifier> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_legal = letters && (1..=63).contains(&name.len()) && !name.as_bytes()[0].is_ascii_digit();
    is_legal.then_some(name).ok_or_else(|| InvalidIdentifier(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for name in ["session", "_s", "Sessions_2", &"x".repeat(63)] {
            assert_eq!(identifier(name), Ok(name));
        }
        for name in ["", "2s", "a b", "a;drop table x", "a\"", "a`", "é", "a.b", "a-b", &"x".repeat(64)] {
            assert!(identifier(name).is_err(), "{name}");
        }
    }
}
