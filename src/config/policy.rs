//! [`Policy`]: the options that loading and committing depend on, with their defaults.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::error::SessionError;
use crate::id::HashIds;
use crate::record::Record;
use crate::record::metadata::{Limits, absolute_end};

/// The default of `max_age` and `store_ttl`.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The default of `max_record_bytes`, in bytes: 1 MiB, as much as a page can sensibly read for each request.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// The default of `max_flash`: more messages of a kind than a page shows, and few enough to be stored.
const MAX_FLASH: usize = 100;

/// The default of `look_every`.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The options that loading and committing depend on. The builder's methods of the same names say when to
/// change them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long a session lives after it was last used; `None`: until the browser closes. Default: 24 hours.
    pub(crate) max_age: Option<Duration>,
    /// How long the store keeps a session without a max-age. Default: 24 hours.
    pub(crate) store_ttl: Duration,
    /// How long a session that is only read waits for its expiry to be extended. Default: `None`, which
    /// stands for [`default_touch_after`].
    pub(crate) touch_after: Option<Duration>,
    /// Whether an existing session is written on every commit. Default: `false`.
    pub(crate) resave: bool,
    /// Whether new sessions without data are stored. Default: `true`.
    pub(crate) save_uninitialized: bool,
    /// Whether every commit sends the cookie and extends the expiry. Default: `false`.
    pub(crate) rolling: bool,
    /// Whether `X-Forwarded-Proto` is believed. Default: `false`.
    pub(crate) trust_proxy: bool,
    /// The longest record that is written, in bytes. Default: 1 MiB.
    pub(crate) max_record_bytes: usize,
    /// How many flash messages of one kind wait at most. Default: 100.
    pub(crate) max_flash: usize,
    /// How long a session lives at most, however much it is used. Default: `None`.
    pub(crate) absolute_timeout: Option<Duration>,
    /// How many sessions a user has at most, and what happens at a login beyond that. Default: `None`.
    pub(crate) per_user: Option<(usize, AtLimit)>,
    /// How often the store is asked whether watched sessions have ended. Default: 5 seconds.
    pub(crate) look_every: Duration,
    /// Whether the store sees hashes of ids. Default: `None`, the ids themselves.
    pub(crate) hash_ids: Option<HashIds>,
}

/// What happens at a login of a user who has as many sessions as
/// [`per_user`](crate::SessionConfigBuilder::per_user) allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AtLimit {
    /// The login succeeds, and the session that logged in first ends.
    EndOldest,
    /// The login fails with [`SessionError::TooManySessions`].
    Refuse,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_age: Some(DAY),
            store_ttl: DAY,
            touch_after: None,
            resave: false,
            save_uninitialized: true,
            rolling: false,
            trust_proxy: false,
            max_record_bytes: MAX_RECORD_BYTES,
            max_flash: MAX_FLASH,
            absolute_timeout: None,
            per_user: None,
            look_every: LOOK_EVERY,
            hash_ids: None,
        }
    }
}

impl Policy {
    /// What makes a session be over although its record is there.
    pub(crate) fn limits(&self) -> Limits {
        Limits { absolute_timeout: self.absolute_timeout, hash_ids: self.hash_ids }
    }

    /// How long the store keeps a session with this max-age.
    pub(crate) fn ttl(&self, max_age: Option<Duration>) -> Duration {
        max_age.unwrap_or(self.store_ttl)
    }

    /// The max-age of a record's cookie, which never reaches past the session's absolute end.
    pub(crate) fn cookie_age(&self, record: &Record, now: SystemTime) -> Option<Duration> {
        let max_age = record.max_age()?;
        let end = absolute_end(record, self.absolute_timeout);
        let left = end.map(|end| end.duration_since(now).unwrap_or_default());
        Some(left.map_or(max_age, |left| max_age.min(left)))
    }

    /// Refuses a record that is too long to be written.
    pub(crate) fn check_size(&self, record: &Record) -> Result<(), SessionError> {
        let (bytes, limit) = (record.as_bytes().len(), self.max_record_bytes);
        if bytes > limit { Err(SessionError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// How long a session that is only read waits for its expiry to be extended.
    pub(crate) fn touch_after(&self) -> Duration {
        self.touch_after.unwrap_or_else(|| default_touch_after(self.ttl(self.max_age)))
    }
}

/// The default of `touch_after` for a session that the store keeps for `ttl`: a hundredth of it, at most a
/// minute.
pub(crate) fn default_touch_after(ttl: Duration) -> Duration {
    (ttl / 100).min(Duration::from_secs(60))
}
