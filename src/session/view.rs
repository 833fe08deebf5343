//! [`View`]: a session as one request sees it, which is the record with the request's changes applied.
//!
//! A read searches the changes from the newest to the oldest, and then the record. A commit
//! [replays](View::replay) the changes over a record.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use foldhash::quality::RandomState;

use crate::error::SessionError;
use crate::json::text::{text, unescape};
use crate::record::cookie_object::CookieTemplate;
use crate::record::draft::{Draft, Json, Source};
use crate::record::{FLASH, Record};
use crate::session::change::Change;
use crate::session::flash_queue::{self, FlashQueue};

/// A session as one request sees it: the record, if there is one, and the changes over it, oldest first.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: Option<&'a Record>,
    pub(crate) log: &'a [Change],
}

impl<'a> View<'a> {
    /// The raw JSON under a key, with this request's changes applied.
    pub(crate) fn get(self, key: &str) -> Option<&'a [u8]> {
        for change in self.log.iter().rev() {
            match change {
                Change::Set { key: at, value } if **at == *key => return Some(value.as_bytes()),
                Change::Remove { key: at } if **at == *key => return None,
                Change::Update { key: at, now, .. } if **at == *key => {
                    return now.as_deref().map(str::as_bytes);
                }
                Change::Clear => return None,
                _ => {}
            }
        }
        self.stored(key)
    }

    /// The raw JSON under a key in the record. Flash messages do not count as data.
    fn stored(self, key: &str) -> Option<&'a [u8]> {
        if key == FLASH { None } else { self.base?.raw(key) }
    }

    /// The keys that have a value, in the order in which they are stored.
    pub(crate) fn keys(self) -> Vec<String> {
        let stored = self.base.into_iter().flat_map(Record::entries);
        // A key that is not valid Unicode (JavaScript can write a lone surrogate) cannot be a Rust string.
        let stored = stored.filter_map(|(raw_key, _)| unescape(raw_key)).filter(|key| key != FLASH);
        if self.log.is_empty() {
            return stored.map(Cow::into_owned).collect();
        }
        let mut places: HashMap<Cow<'a, str>, usize, RandomState> = stored.zip(0..).collect();
        for (change, end) in self.log.iter().zip(places.len()..) {
            match change {
                Change::Set { key, .. } | Change::Update { key, now: Some(_), .. } => {
                    places.entry(Cow::Borrowed(key)).or_insert(end);
                }
                Change::Remove { key } | Change::Update { key, now: None, .. } => {
                    places.remove(key.as_str());
                }
                Change::Clear => places.clear(),
                Change::FlashPush { .. } | Change::FlashTake { .. } | Change::MaxAge(_) => {}
            }
        }
        let mut keys: Vec<_> = places.into_iter().collect();
        keys.sort_unstable_by_key(|(_, place)| *place);
        keys.into_iter().map(|(key, _)| key.into_owned()).collect()
    }

    /// The session's max-age, with this request's changes applied.
    pub(crate) fn max_age(self, configured: Option<Duration>) -> Option<Duration> {
        self.new_max_age(configured).unwrap_or_else(|| self.stored_max_age(configured))
    }

    /// The record's max-age; for a session without a record, the configured one.
    pub(crate) fn stored_max_age(self, configured: Option<Duration>) -> Option<Duration> {
        self.base.map_or(configured, Record::max_age)
    }

    /// The max-age that this request gave the session, if it differs from the stored one.
    pub(crate) fn new_max_age(self, configured: Option<Duration>) -> Option<Option<Duration>> {
        let last = self.log.iter().rev().find_map(|change| match change {
            Change::MaxAge(max_age) => Some(*max_age),
            _ => None,
        });
        last.filter(|now| *now != self.stored_max_age(configured))
    }

    /// Whether the data, the flash messages or the max-age differ from the record.
    pub(crate) fn is_modified(self, configured: Option<Duration>) -> bool {
        self.new_max_age(configured).is_some() || self.has_new_data()
    }

    /// Whether the data or the flash messages differ from the record.
    pub(crate) fn has_new_data(self) -> bool {
        if self.log.is_empty() {
            return false;
        }
        let data = || self.log.iter().filter_map(Change::key).any(|key| self.get(key) != self.stored(key));
        let cleared = || {
            self.log.iter().any(|change| matches!(change, Change::Clear))
                && self.base.is_some_and(|base| {
                    base.entries().any(|(raw_key, value)| self.is_changed(raw_key, value))
                })
        };
        let flash = || {
            self.log.iter().any(|change| change.flash_kind().is_some())
                && self.queues().map_or(true, |queues| queues.iter().any(FlashQueue::is_modified))
        };
        data() || cleared() || flash()
    }

    /// Whether a stored member no longer has its stored value.
    fn is_changed(self, raw_key: &str, value: &str) -> bool {
        match unescape(raw_key) {
            Some(key) => key != FLASH && self.get(&key) != Some(value.as_bytes()),
            // No change names a key that is not valid Unicode. The caller has seen a `Clear`, which removes
            // it.
            None => true,
        }
    }

    /// The stored `flash` object, as raw JSON. A `null` counts as no object, as in connect-flash.
    fn stored_flash(self) -> Option<&'a str> {
        self.base?.raw(FLASH).map(text).filter(|flash| *flash != "null")
    }

    /// The waiting flash messages of a kind, as raw JSON, oldest first.
    ///
    /// # Errors
    /// `Decode`, when the stored flash messages are not in connect-flash's format.
    pub(crate) fn messages(self, kind: &str) -> Result<Vec<&'a str>, SessionError> {
        flash_queue::messages(kind, self.stored_flash(), self.log)
    }

    /// The flash messages of every kind. The errors are those of [`messages`](Self::messages).
    pub(crate) fn queues(self) -> Result<Vec<FlashQueue<'a>>, SessionError> {
        flash_queue::all(self.stored_flash(), self.log)
    }

    /// Applies the changes to the record, and returns the draft of the record to be stored. `new` is the
    /// cookie object for a session without a record.
    ///
    /// # Errors
    /// - `Decode`, when an update's closure cannot read the value in the record, or the stored flash messages
    ///   are not in connect-flash's format.
    /// - `Encode`, when the result of an update's closure cannot be written as JSON.
    pub(crate) fn replay<'d>(
        self,
        new: &'d CookieTemplate<'static>,
        configured: Option<Duration>,
    ) -> Result<Draft<'d>, SessionError>
    where
        'a: 'd,
    {
        let from = self.base.map_or(Source::Nothing(new), Source::Record);
        let mut draft = Draft::new(from, self.max_age(configured));
        for change in self.log {
            match change {
                Change::Set { key, value } => draft.put(key, Some(Json::Kept(value))),
                Change::Remove { key } => draft.put(key, None),
                Change::Clear => draft.clear(),
                Change::Update { key, apply, .. } => {
                    let after = apply(draft.get(key))?;
                    draft.put(key, after.map(Json::Made));
                }
                Change::FlashPush { .. } | Change::FlashTake { .. } | Change::MaxAge(_) => {}
            }
        }
        if self.log.iter().any(|change| change.flash_kind().is_some()) {
            draft.put(FLASH, Some(Json::Made(self.flash_text()?.into())));
        }
        Ok(draft)
    }

    /// The new `flash` object. The kinds that this request did not change keep their stored bytes.
    fn flash_text(self) -> Result<String, SessionError> {
        let mut text = String::from("{");
        let mut push = |raw_kind: &str, value: &str| {
            if text.len() > 1 {
                text.push(',');
            }
            text.push('"');
            text.push_str(raw_kind);
            text.push_str("\":");
            text.push_str(value);
        };
        for queue in self.queues()? {
            match queue.stored {
                Some(value) if !queue.has_changes() => push(&queue.raw_kind(), value),
                _ => {
                    let messages = queue.messages()?;
                    if !messages.is_empty() {
                        push(&queue.raw_kind(), &format!("[{}]", messages.join(",")));
                    }
                }
            }
        }
        text.push('}');
        Ok(text)
    }
}
