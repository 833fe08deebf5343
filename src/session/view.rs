//! A session as one request sees it: the record with the request's changes over it, to be read or written.
//!
//! A read looks at the changes first, newest first, and then in the record.

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

/// A session as one request sees it: the record it was loaded with, if any, and what it did since.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: Option<&'a Record>,
    pub(crate) log: &'a [Change],
}

impl<'a> View<'a> {
    /// The raw value under a key, this request's changes included.
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

    fn stored(self, key: &str) -> Option<&'a [u8]> {
        if key == FLASH { None } else { self.base?.raw(key) }
    }

    /// The data's keys, in the order they will be stored in.
    pub(crate) fn keys(self) -> Vec<String> {
        let stored = self.base.into_iter().flat_map(Record::entries);
        // A key that is no Unicode (a lone surrogate, which JavaScript can write) has no text.
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

    /// The session's own lifetime, this request's change included.
    pub(crate) fn max_age(self, configured: Option<Duration>) -> Option<Duration> {
        self.new_max_age(configured).unwrap_or_else(|| self.stored_max_age(configured))
    }

    /// The record's lifetime, or the configured one of a new session.
    pub(crate) fn stored_max_age(self, configured: Option<Duration>) -> Option<Duration> {
        self.base.map_or(configured, Record::max_age)
    }

    /// The lifetime that this request gave the session, where it is another one.
    pub(crate) fn new_max_age(self, configured: Option<Duration>) -> Option<Option<Duration>> {
        let last = self.log.iter().rev().find_map(|change| match change {
            Change::MaxAge(max_age) => Some(*max_age),
            _ => None,
        });
        last.filter(|now| *now != self.stored_max_age(configured))
    }

    /// Whether what would be stored differs from what was loaded.
    pub(crate) fn is_modified(self, configured: Option<Duration>) -> bool {
        self.new_max_age(configured).is_some() || self.has_new_data()
    }

    /// The same of data and flash messages.
    pub(crate) fn has_new_data(self) -> bool {
        if self.log.is_empty() {
            return false;
        }
        let data = || self.log.iter().filter_map(Change::key).any(|key| self.get(key) != self.stored(key));
        let cleared = || {
            self.log.iter().any(|change| matches!(change, Change::Clear))
                && self
                    .base
                    .is_some_and(|base| base.entries().any(|(raw_key, value)| self.lost(raw_key, value)))
        };
        let flash = || {
            self.log.iter().any(|change| change.flash_kind().is_some())
                && self.queues().map_or(true, |queues| queues.iter().any(FlashQueue::is_modified))
        };
        data() || cleared() || flash()
    }

    fn lost(self, raw_key: &str, value: &str) -> bool {
        match unescape(raw_key) {
            Some(key) => key != FLASH && self.get(&key) != Some(value.as_bytes()),
            None => true,
        }
    }

    /// The stored `flash` object. connect-flash takes `null` for none, and so for a kind's list.
    fn stored_flash(self) -> Option<&'a str> {
        self.base?.raw(FLASH).map(text).filter(|flash| *flash != "null")
    }

    /// The waiting flash messages of a kind, as raw JSON, oldest first.
    pub(crate) fn messages(self, kind: &str) -> Result<Vec<&'a str>, SessionError> {
        flash_queue::messages(kind, self.stored_flash(), self.log)
    }

    /// The flash messages of every kind.
    pub(crate) fn queues(self) -> Result<Vec<FlashQueue<'a>>, SessionError> {
        flash_queue::all(self.stored_flash(), self.log)
    }

    /// Plays the list over the record: what is to be stored. `new` is the cookie object of a session without a record.
    ///
    /// # Errors
    /// `Decode`, when an update's closure cannot read the value that stands there now, or the flash messages are not
    /// connect-flash's.
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

    /// The whole `flash` object anew, the kinds this request left alone byte for byte.
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
                Some(value) if !queue.is_touched() => push(&queue.raw_kind(), value),
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
