//! The text of a session's file: the record and session-file-store's `__lastAccess`.
//!
//! In session-file-store 1.5.0 a session expires at `__lastAccess` plus its max-age, or plus the option `ttl`
//! if it has none. Here each write is given the time until the expiry. That time usually equals the max-age;
//! if it does not, `__lastAccess` is shifted so that Express computes the same expiry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::StoreError;
use crate::record::Record;
use crate::store::Stored;
use crate::store::version::Version;

/// The key under which session-file-store keeps the time of the last access, in milliseconds since 1970.
const LAST_ACCESS: &str = "__lastAccess";

/// What a session's file says.
pub(super) struct FileText {
    /// The record without `__lastAccess`, which is not a key of the session.
    pub(super) record: Record,
    /// `None` if the session never expires: the file has no `__lastAccess`, or the expiry is beyond what the
    /// clock can express.
    expires: Option<SystemTime>,
}

impl FileText {
    pub(super) fn parse(bytes: Vec<u8>, express_ttl: Duration) -> Result<Self, StoreError> {
        let json =
            String::from_utf8(bytes).map_err(|_| StoreError::corrupt("the session file is no UTF-8"))?;
        let record = Record::from_json(json)?;
        let last = record.raw(LAST_ACCESS).and_then(|raw| serde_json::from_slice::<f64>(raw).ok());
        let max_age = max_age_in_express(&record, express_ttl);
        let expires = last.and_then(|millis| {
            let since = Duration::from_millis(millis.max(0.0) as u64);
            UNIX_EPOCH.checked_add(since)?.checked_add(max_age)
        });
        Ok(Self { record: record.without(LAST_ACCESS), expires })
    }

    pub(super) fn is_live(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub(super) fn into_stored(self, now: SystemTime) -> Stored {
        let version = Version::of(&self.record);
        let expires_in = match self.expires {
            Some(expires) => expires.duration_since(now).unwrap_or_default(),
            None => Duration::MAX,
        };
        Stored::from(self.record).with_version(version).with_expires_in(expires_in)
    }
}

/// The max-age that session-file-store 1.5.0 computes with: `ttl` if the session has none or zero.
fn max_age_in_express(record: &Record, express_ttl: Duration) -> Duration {
    record.max_age().filter(|age| !age.is_zero()).unwrap_or(express_ttl)
}

/// The file's text for a record that expires `ttl` after `now`.
pub(super) fn compose(record: &Record, ttl: Duration, express_ttl: Duration, now: SystemTime) -> String {
    let max_age = max_age_in_express(record, express_ttl);
    let millis = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX);
    let now = millis(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let last = (now + millis(ttl) - millis(max_age)).max(0);
    record.with(LAST_ACCESS, &last.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expiry_is_the_one_asked_for_whatever_express_computes_with() {
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
