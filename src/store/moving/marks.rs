//! The marks by which a record says how far it has moved. They stand among what this crate keeps of a
//! session, and nobody outside of this folder sees them.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::error::StoreError;
use crate::id::SessionId;
use crate::json::text::text;
use crate::record::Record;
use crate::record::metadata::Metadata;

/// The member of a record that is under way: in the old store nobody writes to it any more, and in the new
/// one it is a copy whose original may still be there.
const MARK: &str = r#"{"moving":true"#;

/// The end of a record that has no other metadata than the mark.
const END: &str = r#","__sessile":{"moving":true}}"#;

/// What a record is, to those who move sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A session as any other.
    None,
    /// A session that is under way.
    Moving,
    /// It takes the place of a session in the new store, and says nothing.
    Placeholder,
}

#[derive(Deserialize)]
struct Marks {
    moving: Option<IgnoredAny>,
    /// The placeholders of another kind have a text here.
    adopting: Option<Value>,
}

/// The mark of a record.
pub(super) fn of(record: &Record) -> Mark {
    // Most records have no metadata.
    let Some(json) = record.metadata() else { return Mark::None };
    match serde_json::from_str(text(json)) {
        Ok(Marks { moving: Some(_), .. }) => Mark::Moving,
        Ok(Marks { adopting: Some(Value::Object(_)), .. }) => Mark::Placeholder,
        Ok(_) | Err(_) => Mark::None,
    }
}

/// A record that takes a place in the new store. No two are the same bytes. Whoever reads it without this
/// module takes it for one that another library's session is about to fill, and so for no session.
pub(super) fn placeholder() -> Result<Record, StoreError> {
    adopting(&format!(r#"{{"moving":"{}"}}"#, SessionId::random().as_str()))
}

/// A record that is no session either, and takes nobody's place. No two are the same bytes.
pub(super) fn note() -> Result<Record, StoreError> {
    adopting(&format!(r#""{}""#, SessionId::random().as_str()))
}

fn adopting(json: &str) -> Result<Record, StoreError> {
    Record::from_json(format!(
        r#"{{"cookie":{{"originalMaxAge":null,"expires":null}},"__sessile":{{"{}":{json}}}}}"#,
        Metadata::ADOPTING,
    ))
}

/// The record with the mark.
pub(super) fn marked(record: Record) -> Record {
    let before = record.metadata().and_then(|json| text(json).trim_start().strip_prefix('{'));
    let json = match before.map(str::trim_start) {
        Some(members) if !members.starts_with('}') => [MARK, ",", members].concat(),
        // What is no object was no metadata either.
        _ => [MARK, "}"].concat(),
    };
    record.with_metadata(Some(&json))
}

/// The record as it was before it was marked.
pub(super) fn unmarked(record: Record) -> Record {
    if let Some(members) = record.as_json().strip_suffix(END) {
        return Record::from_json([members, "}"].concat()).unwrap_or(record);
    }
    let Some(json) = record.metadata().map(text) else { return record };
    let json = match json.strip_prefix(MARK) {
        Some("}") => None,
        Some(rest) if rest.starts_with(',') => Some(["{", &rest[1..]].concat()),
        // A store, or another program, has written the metadata in its own way.
        _ => {
            let mut members: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
            members.remove("moving");
            (!members.is_empty()).then(|| Value::Object(members).to_string())
        }
    };
    record.with_metadata(json.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: &str = r#"{"originalMaxAge":null,"expires":null}"#;

    fn record(members: &str) -> Record {
        Record::from_json(format!(r#"{{"cookie":{COOKIE}{members}}}"#)).expect("a record")
    }

    #[test]
    fn a_mark_leaves_every_byte_as_it_was() {
        for members in [
            "",
            r#","a":1.0,"b":"x""#,
            r#","__sessile":{"user":"u","born":1}"#,
            r#", "a" : [ 1 ] , "__sessile" : {"user":"u"} , "z":"\ud800""#,
            r#","__sessile":{"a":{"moving":1}},"z":0"#,
        ] {
            let plain = record(members);
            assert_eq!(of(&plain), Mark::None, "{members}");
            let moving = marked(plain.clone());
            assert_eq!(of(&moving), Mark::Moving, "{members}");
            assert_eq!(unmarked(moving).as_json(), plain.as_json());
        }
    }

    #[test]
    fn a_mark_that_was_written_anew_is_found() {
        let moving = record(r#","__sessile":{ "born":1, "moving":true },"a":1"#);
        assert_eq!(of(&moving), Mark::Moving);
        assert_eq!(unmarked(moving).as_json(), record(r#","__sessile":{"born":1},"a":1"#).as_json());
        let bare = record(r#","__sessile":{ "moving":true },"a":1"#);
        assert_eq!(unmarked(bare).as_json(), record(r#","a":1"#).as_json());
    }

    #[test]
    fn a_placeholder_is_no_session_to_anybody() {
        let (one, other) = (placeholder().expect("a record"), placeholder().expect("a record"));
        assert_eq!(of(&one), Mark::Placeholder);
        assert!(!one.same(&other));
        assert!(crate::record::metadata::Owner::is_placeholder(&one));
        let adopting = record(r#","__sessile":{"adopting":"a nonce"}"#);
        assert_eq!(of(&adopting), Mark::None);
    }
}
