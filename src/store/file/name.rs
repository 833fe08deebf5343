//! The file names of sessions. Distinct ids get distinct names, even on a file system that ignores case.

use crate::id::SessionId;

/// The longest id in bytes that is used as a file name. A longer id is hashed.
const MAX_ID_LEN: usize = 200;
/// The ending of every session file, as session-file-store requires.
pub(super) const EXTENSION: &str = ".json";

/// The longest file name that common file systems allow, in bytes.
const MAX_NAME_LEN: usize = 255;
/// What write-file-atomic 3.0.3, by which session-file-store 1.5.0 writes, appends to a name for its
/// temporary file: a dot and a number of 32 bits.
const EXPRESS_TEMPORARY_LEN: usize = ".4294967295".len();
const _: () = assert!(MAX_ID_LEN + EXTENSION.len() + EXPRESS_TEMPORARY_LEN <= MAX_NAME_LEN);

/// Names the files of one folder.
pub(super) struct Names {
    case: Case,
}

/// Whether the file system distinguishes upper case from lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Sensitive,
    Insensitive,
}

impl Names {
    pub(super) fn new(case: Case) -> Self {
        Self { case }
    }

    /// The name is the id itself if that is safe, so that Express finds the file. Otherwise it is `=` and the
    /// id's hash.
    ///
    /// Invariant: a safe id has no `=`, so a hash is never another id's name.
    pub(super) fn file_name(&self, id: &SessionId) -> String {
        let name = id.or_hashed_unless(|id| self.is_safe(id)).into_owned() + EXTENSION;
        debug_assert!(
            name.len() <= MAX_NAME_LEN && !name.contains(['/', '\\']),
            "a name stays in the folder"
        );
        name
    }

    /// Whether the id can be a file name that no other id has.
    fn is_safe(&self, id: &str) -> bool {
        let letter = |byte: u8| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => true,
            b'A'..=b'Z' => self.case == Case::Sensitive,
            _ => false,
        };
        id.len() <= MAX_ID_LEN && id.bytes().all(letter) && !is_device(id)
    }
}

/// Whether Windows reserves this name for a device. Windows does so for any ending of the name.
fn is_device(id: &str) -> bool {
    let id = id.to_ascii_lowercase();
    let numbered = |device: &str| {
        id.strip_prefix(device)
            .is_some_and(|number| number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(&*id, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(case: Case, id: &str) -> String {
        Names::new(case).file_name(&SessionId::new(id).expect("a legal id"))
    }

    #[test]
    fn express_ids_keep_their_name() {
        assert_eq!(name(Case::Sensitive, "aB3_-xyz"), "aB3_-xyz.json");
        assert_eq!(name(Case::Insensitive, "ab3_-xyz"), "ab3_-xyz.json");
    }

    #[test]
    fn no_two_ids_share_a_name_even_in_lower_case() {
        let long = "x".repeat(256);
        let ids = [
            "a", "A", "aB", "Ab", "AB", "ab", "é", "É", "e\u{301}", "a/b", "../a", "a.b", ".", "..", "con",
            "CON",
        ];
        let ids: Vec<&str> =
            ids.into_iter().chain(["com1", "=a", "a b", &long, &long[1..], &long[..201]]).collect();
        for case in [Case::Sensitive, Case::Insensitive] {
            let mut names: Vec<_> = ids.iter().map(|id| name(case, id)).collect();
            if case == Case::Insensitive {
                names.iter_mut().for_each(|name| *name = name.to_lowercase());
            }
            assert!(names.iter().all(|name| !name.contains(['/', '\\', ' ']) && name.len() < 255));
            names.sort();
            names.dedup();
            assert_eq!(names.len(), ids.len(), "{case:?}: {names:?}");
        }
    }

    #[test]
    fn device_names_are_hashed() {
        for id in ["con", "nul", "COM1", "lpt9"] {
            assert!(name(Case::Sensitive, id).starts_with('='), "{id}");
        }
        assert_eq!(name(Case::Sensitive, "com10"), "com10.json");
    }
}
