//! A session file's text: the record, and session-file-store's `__lastAccess` beside it.
//!
//! There a session lives until `__lastAccess` plus its max-age, or plus the store's `ttl`. Here each write says how long it
//! is to live, which as a rule is the same; where it is not, `__lastAccess` is moved so that both come to the same end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::StoreError;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

const LAST_ACCESS: &str = "__lastAccess";

/// A session file, read.
pub(super) struct FileText {
    /// Without `__lastAccess`, which is no key of the session.
    pub(super) record: Record,
    /// `None`: never.
    expires: Option<SystemTime>,
}

impl FileText {
    pub(super) fn parse(bytes: Vec<u8>, ttl: Duration) -> Result<Self, StoreError> {
        let json =
            String::from_utf8(bytes).map_err(|_| StoreError::corrupt("the session file is no UTF-8"))?;
        let record = Record::from_json(json)?;
        let last = record.raw(LAST_ACCESS).and_then(|raw| serde_json::from_slice::<f64>(raw).ok());
        let life = record.max_age().filter(|age| !age.is_zero()).unwrap_or(ttl);
        let expires = last.and_then(|millis| {
            let since = Duration::from_millis(millis.max(0.0) as u64);
            UNIX_EPOCH.checked_add(since)?.checked_add(life)
        });
        Ok(Self { record: record.without(LAST_ACCESS), expires })
    }

    pub(super) fn is_live(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub(super) fn into_stored(self, now: SystemTime) -> Stored {
        let version = Version::of(&self.record);
        let left = match self.expires {
            Some(expires) => expires.duration_since(now).unwrap_or_default(),
            None => Duration::MAX,
        };
        Stored::from(self.record).with_version(version).with_expires_in(left)
    }
}

/// The file's text for a record that is to live for `life` from now.
pub(super) fn compose(record: &Record, life: Duration, ttl: Duration, now: SystemTime) -> String {
    let believed = record.max_age().filter(|age| !age.is_zero()).unwrap_or(ttl);
    let millis = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX);
    let now = millis(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let last = (now + millis(life) - millis(believed)).max(0);
    record.with(LAST_ACCESS, &last.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_what_was_asked_for_whatever_express_believes() {
        let hour = Duration::from_secs(3600);
        let now = UNIX_EPOCH + Duration::from_millis(1_795_514_922_619);
        for cookie in ["60000", "null", "0"] {
            for life in [Duration::ZERO, Duration::from_millis(1), hour, 100 * hour] {
                let record =
                    Record::from_json(format!(r#"{{"cookie":{{"originalMaxAge":{cookie}}},"n":1}}"#));
                let text = compose(&record.expect("a record"), life, hour, now);
                let file = FileText::parse(text.into_bytes(), hour).expect("a session file");
                assert_eq!(file.expires, Some(now + life), "originalMaxAge {cookie}, life {life:?}");
            }
        }
    }

    #[test]
    fn the_usual_write_is_session_file_stores() {
        let stored = r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-24T10:09:42.619Z","httpOnly":true,"path":"/"},"user":"bob","n":1,"list":[1,"é",null],"__lastAccess":1795514922619}"#;
        let file = FileText::parse(stored.into(), Duration::from_secs(3600)).expect("a session file");
        assert_eq!(file.record.raw("user"), Some(&b"\"bob\""[..]));
        assert_eq!(file.record.raw(LAST_ACCESS), None);
        let now = UNIX_EPOCH + Duration::from_millis(1_795_514_922_619);
        assert_eq!(compose(&file.record, Duration::from_secs(60), Duration::from_secs(3600), now), stored);
    }
}
