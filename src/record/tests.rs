//! Edits of a draft have the same result as edits of a plain list, over records as this crate writes them and
//! as other programs may write them.

use std::time::{Duration, SystemTime};

use super::cookie_object::CookieTemplate;
use super::draft::{Draft, Json, Source};
use super::*;
use crate::json::text::{escape, is_key, unescape};

type Plain = Vec<(String, String)>;

fn plain(record: &Record) -> Plain {
    record.entries().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(&'static str, &'static str),
    Remove(&'static str),
    Clear,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Put("b", "\"new\""),
        Self::Put("fresh", "1"),
        Self::Put(FLASH, "{}"),
        Self::Remove("a"),
        Self::Remove("b"),
        Self::Remove("z"),
        Self::Remove("fresh"),
        Self::Clear,
    ];

    fn edit(self, draft: &mut Draft<'_>) {
        match self {
            Self::Put(key, value) => draft.put(key, Some(Json::Kept(value))),
            Self::Remove(key) => draft.put(key, None),
            Self::Clear => draft.clear(),
        }
    }

    fn list(self, list: &mut Plain) {
        match self {
            Self::Put(key, value) => match list.iter_mut().find(|(at, _)| at == key) {
                Some((_, old)) => *old = value.to_owned(),
                None => list.push((key.to_owned(), value.to_owned())),
            },
            Self::Remove(key) => list.retain(|(at, _)| at != key),
            Self::Clear => list.retain(|(at, _)| at == FLASH),
        }
    }
}

fn texts() -> Vec<String> {
    let cookie = r#""cookie":{"originalMaxAge":60000,"expires":"2026-01-01T00:00:00.000Z","path":"/"}"#;
    let long = "x".repeat(70_000);
    vec![
        format!(r#"{{{cookie}}}"#),
        format!(r#"{{{cookie},"a":1,"b":"two","flash":{{"k":["m"]}},"c":[3,3],"z":null}}"#),
        format!(r#"{{ "a" : 1 , "b":"two",{cookie}, "c":[3, 3],"flash":{{}} ,"z":null }}"#),
        format!(r#"{{"a":1,{cookie},"b":0,"c":"é","b":"two","z":null}}"#),
        format!(r#"{{{cookie},"a":1,"b":"{long}","c":[3,3],"z":"{long}"}}"#),
    ]
}

/// The time since 1970 in whole milliseconds, the precision of JavaScript's times.
fn millis(at: SystemTime) -> Duration {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_millis(since.as_millis() as u64)
}

#[test]
fn values_of_the_same_length_are_replaced_in_place() {
    let text =
        r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-01-01T00:00:00.000Z"}, "n":41,"name":"Ada"}"#;
    let base = Record::from_json(text).unwrap();
    let mut draft = Draft::new(Source::Record(&base), base.max_age());
    draft.put("n", Some(Json::Kept("42")));
    let at = base.cookie_expires().unwrap() - Duration::from_secs(50);
    let expected = text.replace("41", "42").replace("00:00.000Z", "00:10.000Z");
    assert_eq!(draft.compose(at).as_json(), expected, "everything else stays, white space included");
    assert_eq!(base.as_json(), text, "the stored record stays as it was");
}

/// By the white space behind a record, a store knows which write it is of.
#[test]
fn white_space_behind_a_record_stays_behind_no_other() {
    let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-01-01T00:00:00.000Z"},"n":41}"#;
    let base = Record::from_json(format!("{text} \t\n ")).unwrap();
    let at = base.cookie_expires().unwrap() - Duration::from_secs(60);
    for (n, expected) in [("42", text.replace("41", "42")), ("100", text.replace("41", "100"))] {
        let mut draft = Draft::new(Source::Record(&base), base.max_age());
        draft.put("n", Some(Json::Kept(n)));
        assert_eq!(draft.compose(at).as_json(), expected);
    }
}

#[test]
fn edits_have_the_same_result_as_edits_of_a_list() {
    // The max-age that is stored, and another one.
    let lives = [60, 9].map(Duration::from_secs);
    for (text, life) in texts().into_iter().flat_map(|text| lives.map(|life| (text.clone(), life))) {
        let base = Record::from_json(text.as_str()).unwrap();
        assert_eq!(base.as_json(), text);
        for first in Step::ALL {
            for second in Step::ALL {
                for third in Step::ALL {
                    let steps = [first, second, third];
                    let mut draft = Draft::new(Source::Record(&base), Some(life));
                    let mut list = plain(&base);
                    for step in steps {
                        step.edit(&mut draft);
                        step.list(&mut list);
                    }
                    let shown = &text[..text.len().min(200)];
                    for (key, value) in &list {
                        assert_eq!(draft.get(key), Some(value.as_bytes()), "{steps:?} over {shown}");
                    }
                    let now = SystemTime::now();
                    let record = draft.compose(now);
                    assert_eq!(plain(&record), list, "{steps:?} over {shown}");
                    let read = Record::from_json(record.as_json()).unwrap();
                    assert_eq!(plain(&read), list, "the text of {steps:?} over {shown}");
                    assert_eq!((read.max_age(), record.max_age()), (Some(life), Some(life)));
                    let expires = SystemTime::UNIX_EPOCH + millis(now + life);
                    assert_eq!(read.cookie_expires(), Some(expires), "{steps:?} over {shown}");
                    assert_eq!(record.cookie_expires(), Some(expires), "{steps:?} over {shown}");
                }
            }
        }
    }
}

#[test]
fn a_key_is_found_whatever_its_escapes() {
    let raw = [r"plain", r"a\\b", r"\u0061bc", r#"q\"q"#, r"line\n", r"\ud83d\ude00", r"\ud83d"];
    let keys = ["plain", r"a\b", "abc", "q\"q", "line\n", "😀"];
    for raw_key in raw {
        for key in keys {
            let same = unescape(raw_key).is_some_and(|decoded| decoded == key);
            assert_eq!(is_key(raw_key.as_bytes(), key), same, "{raw_key} and {key}");
        }
        assert!(!is_key(raw_key.as_bytes(), ""));
    }
    assert!(is_key(b"", ""));
    assert!(!is_key(br"a\\b", r"a\\b"), "a key with two backslashes has four in its text");
    for key in keys {
        assert!(is_key(escape(key).as_bytes(), key), "{key}");
    }
}

#[test]
fn a_record_finds_keys_with_escapes_whether_read_or_composed() {
    let text = r#"{"cookie":{"originalMaxAge":null,"expires":null},"plain":0,"\u0061bc":1}"#;
    let read = Record::from_json(text).unwrap();
    let mut draft = Draft::new(Source::Record(&read), None);
    draft.put("plain", Some(Json::Kept("10")));
    let rewritten = draft.compose(SystemTime::now());
    let mut draft = Draft::new(Source::Record(&rewritten), None);
    draft.put("plain", Some(Json::Kept("11")));
    let patched = draft.compose(SystemTime::now());
    for record in [&read, &rewritten, &patched] {
        assert_eq!(record.raw("abc"), Some(&b"1"[..]), "{}", record.as_json());
        assert_eq!(record.raw(r"\u0061bc"), None);
    }
    let template = CookieTemplate::express();
    let mut draft = Draft::new(Source::Nothing(&template), None);
    draft.put("a\\b", Some(Json::Kept("1")));
    let record = draft.compose(SystemTime::now());
    assert_eq!(record.raw("a\\b"), Some(&b"1"[..]));
    assert_eq!(record.raw(r"a\\b"), None);
}

/// A record that is put together without reading it is the one that reading its text gives.
#[cfg(feature = "sealed")]
#[test]
fn a_record_around_a_text_is_what_reading_it_gives() {
    for cookie in [
        r#"{"originalMaxAge":60000,"expires":"2027-01-31T00:00:00.000Z","httpOnly":true,"path":"/"}"#,
        r#"{"expires":null,"originalMaxAge":null}"#,
        r#"{ }"#,
    ] {
        for text in
            [format!(r#"{{"a":[1], "cookie": {cookie} ,"b":{{}}}}"#), format!(r#"{{"cookie":{cookie}}}"#)]
        {
            let record = Record::from_json(text).unwrap();
            for value in ["", "AAECAw-_"] {
                let made = record
                    .enclosing("__sealed", value.len(), |json| json.extend_from_slice(value.as_bytes()))
                    .unwrap();
                let read = Record::from_json(made.as_json()).unwrap();
                assert_eq!(made.as_json(), format!(r#"{{"cookie":{cookie},"__sealed":"{value}"}}"#));
                assert!(made.entries().eq(read.entries()));
                assert_eq!(made.cookie_text(), read.cookie_text());
                assert_eq!((made.max_age(), made.cookie_expires()), (read.max_age(), read.cookie_expires()));
                assert_eq!(made.raw("__sealed"), read.raw("__sealed"));
            }
        }
    }
}
