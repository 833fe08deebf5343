//! The table in which a SQL store notes each user's sessions, beside that of the sessions: its name and
//! statements.

use sha2::{Digest as _, Sha256};

use super::statement::{Param, Statement};

/// The longest name that each of the databases takes.
const MAX_NAME_LEN: usize = 63;

/// The statements over the table of the users' texts, which has the columns `user` and `log`.
#[derive(Clone)]
pub(super) struct UserStatements {
    pub(super) read: Statement,
    /// Returns the text, or, where the database cannot, is followed by `read`.
    pub(super) append: Statement,
    pub(super) replace: Statement,
    /// Inserts a text where there is none.
    pub(super) insert: Statement,
    pub(super) remove: Statement,
}

impl UserStatements {
    /// For a database that returns what it has written.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn returning(users: &str) -> Self {
        use Param::{Text, User, Was};
        let insert = format!("INSERT INTO {users} AS t (\"user\", log) VALUES ($1, $2)");
        let append = "ON CONFLICT (\"user\") DO UPDATE SET log = t.log || excluded.log RETURNING log";
        Self {
            read: Statement::new(format!("SELECT log FROM {users} WHERE \"user\" = $1"), &[User]),
            append: Statement::new(format!("{insert} {append}"), &[User, Text]),
            replace: Statement::new(
                format!("UPDATE {users} SET log = $2 WHERE \"user\" = $1 AND log = $3"),
                &[User, Text, Was],
            ),
            insert: Statement::new(format!("{insert} ON CONFLICT (\"user\") DO NOTHING"), &[User, Text]),
            remove: Statement::new(
                format!("DELETE FROM {users} WHERE \"user\" = $1 AND log = $2"),
                &[User, Was],
            ),
        }
    }

    #[cfg(feature = "mysql")]
    pub(super) fn mysql(users: &str) -> Self {
        use Param::{Text, User, WasHash};
        // The hash stands for the old text because `max_allowed_packet` limits the length of a statement.
        const SAME: &str = "SHA2(CONVERT(`log` USING utf8mb4), 256) = ?";
        let insert = format!("INSERT INTO {users} (`user`, `log`) VALUES (?, ?)");
        // A text that is longer than a packet is NULL. In place of it the old one stays, and the caller
        // notices.
        let append = "ON DUPLICATE KEY UPDATE `log` = COALESCE(CONCAT(`log`, VALUES(`log`)), `log`)";
        Self {
            read: Statement::new(format!("SELECT `log` FROM {users} WHERE `user` = ?"), &[User]),
            append: Statement::new(format!("{insert} {append}"), &[User, Text]),
            replace: Statement::new(
                format!("UPDATE {users} SET `log` = ? WHERE `user` = ? AND {SAME}"),
                &[Text, User, WasHash],
            ),
            insert: Statement::new(insert, &[User, Text]),
            remove: Statement::new(
                format!("DELETE FROM {users} WHERE `user` = ? AND {SAME}"),
                &[User, WasHash],
            ),
        }
    }
}

/// The name of something that belongs to a table. Where it would be too long, the end of the table's name is
/// replaced by a hash: Postgres would cut the name off, and take two for the same.
pub(super) fn beside(table: &str, suffix: &str) -> String {
    if table.len() + suffix.len() <= MAX_NAME_LEN {
        return format!("{table}{suffix}");
    }
    let hash = base16ct::lower::encode_string(&Sha256::digest(table)[..4]);
    // Invariant: a table's name is ASCII.
    let kept = table.get(..MAX_NAME_LEN - suffix.len() - hash.len() - 1).unwrap_or_default();
    format!("{kept}_{hash}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_a_long_one_is_its_own_and_no_longer_than_allowed() {
        assert_eq!(beside("session", "_users"), "session_users");
        let mut names = Vec::new();
        for table in ["x".repeat(57), "x".repeat(58), "x".repeat(62) + "y", "x".repeat(63)] {
            for suffix in ["_users", "_ends"] {
                names.push(beside(&table, suffix));
            }
            names.push(table);
        }
        assert!(names.iter().all(|name| name.len() <= MAX_NAME_LEN), "{names:?}");
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
