//! [`Policy`]: the options that loading and committing obey, each with its default, in one place.

use std::time::Duration;

use crate::error::SessionError;
use crate::record::Record;

/// How long a new session lives by default, and a session without a max-age in the store.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest record that is written by default: 1 MiB, as much as a page can sensibly read for each request.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// How many messages of a kind wait by default: more than a page shows, and little enough to be stored.
const MAX_FLASH: usize = 100;

/// The options that loading and committing obey. Each stands for the builder's method of the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) max_age: Option<Duration>,
    pub(crate) store_ttl: Duration,
    /// `None`: the default, which depends on the session's life.
    pub(crate) touch_after: Option<Duration>,
    pub(crate) resave: bool,
    pub(crate) save_uninitialized: bool,
    pub(crate) rolling: bool,
    pub(crate) trust_proxy: bool,
    pub(crate) max_record_bytes: usize,
    pub(crate) max_flash: usize,
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
        }
    }
}

impl Policy {
    /// How long the store keeps a session of this max-age.
    pub(crate) fn ttl(&self, max_age: Option<Duration>) -> Duration {
        max_age.unwrap_or(self.store_ttl)
    }

    /// Refuses a record that is too long to be written.
    pub(crate) fn check_size(&self, record: &Record) -> Result<(), SessionError> {
        let (bytes, limit) = (record.as_bytes().len(), self.max_record_bytes);
        if bytes > limit { Err(SessionError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// How long a session that is only read goes without a touch.
    pub(crate) fn touch_after(&self) -> Duration {
        self.touch_after.unwrap_or_else(|| default_touch_after(self.ttl(self.max_age)))
    }
}

/// A hundredth of a session's life, at most a minute.
pub(crate) fn default_touch_after(life: Duration) -> Duration {
    (life / 100).min(Duration::from_secs(60))
}
