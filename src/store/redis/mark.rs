//! [`Mark`]: what a write leaves behind a record, and by which a later one recognises it. The key beside, under
//! which a large record waits until it takes the place of the old one.
//!
//! A mark is white space, which JSON allows behind a record: Express reads such a record as any other, and
//! leaves the mark out when it saves. A record that ends with the mark that this process has read is the very
//! text that it has read, because each write has a mark of its own. So nobody has to send the old record to
//! the server, or compare it.

use uuid::Uuid;

/// What a mark begins with. A program that pads its records with one character, or with line ends, writes no
/// mark.
const BEGIN: [u8; 2] = *b"\n\t";

/// The white space of JSON. Each stands for two bits.
const SIGNS: [u8; 4] = *b" \t\n\r";

/// How long a mark is. The scripts know it as well.
pub(super) const LEN: usize = BEGIN.len() + u64::BITS as usize / 2;
const _: () = assert!(LEN == 34);

/// What the keys beside begin with: outside of the prefix of the sessions, so that no program which takes
/// every key with that prefix for a session finds them.
const ROOT: &str = "sessile:new:";

/// 64 random bits, as 34 characters of white space.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(pub(super) u64);

impl Mark {
    pub(super) fn random() -> Self {
        // The other bytes of a random UUID have fixed bits.
        let [a, b, c, d, e, f, .., g, h] = Uuid::new_v4().into_bytes();
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }

    pub(super) fn text(self) -> [u8; LEN] {
        let mut text = [0; LEN];
        let (begin, signs) = text.split_at_mut(BEGIN.len());
        begin.copy_from_slice(&BEGIN);
        let mut bits = self.0;
        for sign in signs {
            *sign = SIGNS[bits as usize % SIGNS.len()];
            bits >>= 2;
        }
        text
    }

    /// A record and the mark behind it.
    pub(super) fn behind(self, record: &[u8]) -> Vec<u8> {
        [record, &self.text()].concat()
    }

    /// Takes the mark off a stored value, if it has one.
    pub(super) fn take(value: &mut Vec<u8>) -> Option<Self> {
        let record = value.len().checked_sub(LEN)?;
        let signs = value[record..].strip_prefix(&BEGIN)?;
        let mut bits = 0;
        for sign in signs.iter().rev() {
            let two = SIGNS.iter().position(|known| known == sign)?;
            bits = bits << 2 | two as u64;
        }
        value.truncate(record);
        Some(Self(bits))
    }

    /// The key under which the record with this mark waits for a moment. In a cluster it belongs to the same
    /// node as `key`. `None`: there is no such key outside of the prefix.
    pub(super) fn key_beside(self, prefix: &str, key: &str) -> Option<String> {
        if ROOT.starts_with(prefix) || prefix.starts_with(ROOT) {
            return None;
        }
        let mark = self.0;
        if has_tag(key) {
            return Some(format!("{ROOT}{key}:{mark:016x}"));
        }
        // The braces make a tag of the whole key, unless it ends sooner.
        (!key.contains('}')).then(|| format!("{ROOT}{{{key}}}:{mark:016x}"))
    }
}

/// Whether a key with the prefix of the sessions is a key beside, of any store.
pub(super) fn is_beside(prefix: &str, key: &[u8]) -> bool {
    key.starts_with(ROOT.as_bytes()) && !prefix.starts_with(ROOT)
}

/// Whether a part of a key decides to which node of a cluster the key belongs: what stands between its first
/// brace and the next closing one, unless that is nothing.
fn has_tag(key: &str) -> bool {
    let tag = key.split_once('{').and_then(|(_, behind)| behind.split_once('}'));
    tag.is_some_and(|(tag, _)| !tag.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_taken_off_as_it_was_put_behind() {
        for bits in [0, 1, u64::MAX, u64::MAX - 1, 1 << 63, 0x0123_4567_89ab_cdef] {
            // A record may end with white space of its own, and even with what looks like a mark.
            for record in [&b"{}"[..], b"{} \n\t", &Mark(7).behind(b"{}")] {
                let mut value = Mark(bits).behind(record);
                assert!(value[record.len()..].iter().all(|byte| byte.is_ascii_whitespace()));
                assert_eq!(Mark::take(&mut value).map(|mark| mark.0), Some(bits));
                assert_eq!(value, record);
            }
        }
        assert!(Mark::random() != Mark::random());
    }

    #[test]
    fn white_space_of_others_is_no_mark() {
        let long = |white: &str| format!("{{}}{}", white.repeat(40)).into_bytes();
        let values =
            [long(" "), long("\n"), long("\t"), long("\r\n"), long("\n "), b"{}".to_vec(), Vec::new()];
        for value in values {
            let mut taken = value.clone();
            assert!(Mark::take(&mut taken).is_none(), "{value:?}");
            assert_eq!(taken, value);
        }
        let mut other = Mark(5).behind(b"{}");
        other[20] = b'x';
        assert!(Mark::take(&mut other).is_none());
    }

    /// What a cluster hashes, in the words of its specification.
    fn hashed(key: &str) -> &str {
        let Some(open) = key.find('{') else { return key };
        match key[open + 1..].find('}') {
            None | Some(0) => key,
            Some(length) => &key[open + 1..open + 1 + length],
        }
    }

    #[test]
    fn a_key_beside_belongs_to_the_same_node_and_to_no_prefix() {
        let prefixes =
            ["sess:", "{shop}:", "a{b}c{d}", "{}", "a}b:", "a{b", "}{x}", "{x", "s", "sess", "sessile:", ""];
        let mut without = Vec::new();
        for prefix in prefixes {
            for id in ["0b0d9a4e-1f2d-4bd0-9f3a-000000000000", "{id}", "i}d", "{"] {
                let key = format!("{prefix}{id}");
                let Some(beside) = Mark(5).key_beside(prefix, &key) else {
                    without.push((prefix, id));
                    continue;
                };
                assert_eq!(hashed(&beside), hashed(&key), "{key}");
                assert!(!beside.starts_with(prefix), "{prefix} takes {beside} for a session");
                assert!(is_beside(prefix, beside.as_bytes()) && !is_beside(prefix, key.as_bytes()));
                assert_ne!(Some(beside), Mark(6).key_beside(prefix, &key));
            }
        }
        assert!(
            without
                .iter()
                .all(|(prefix, id)| { ROOT.starts_with(prefix) || format!("{prefix}{id}").contains('}') })
        );
        // With the usual prefixes and ids there is one.
        assert!(!without.iter().any(|(prefix, id)| ["sess:", "{shop}:"].contains(prefix) && id.len() > 4));
        for prefix in ["", "s", "sessile:"] {
            assert!(is_beside(prefix, b"sessile:new:{sess:x}:0000000000000005"));
        }
    }
}
