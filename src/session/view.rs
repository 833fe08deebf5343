//! [`View`]: a session as one request sees it, which is the record with the request's changes applied.
//!
//! A read searches the changes from the newest to the oldest, and then the record. Where there are many of
//! either, it asks the index of the [`Log`]. A commit [replays](View::replay) the changes over a record.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use foldhash::quality::RandomState;
use smol_str::SmolStr;

use crate::error::SessionError;
use crate::json::object::FEW;
use crate::json::text::unescape;
use crate::record::cookie_object::CookieTemplate;
use crate::record::draft::{Draft, Json, Source};
use crate::record::metadata::{Metadata, ask_user, to_millis};
use crate::record::{FLASH, METADATA, Record, is_reserved};
use crate::session::change::{Change, Log};
use crate::session::flash_queue::FlashQueues;
use crate::session::key_index::{KeyIndex, Place};
use crate::session::value::RawValue;

/// A session as one request sees it: the record, if there is one, and the changes over it, oldest first.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: Option<&'a Record>,
    pub(crate) log: &'a Log,
}

/// Which results a replay takes for those of `update`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Updates {
    /// The closures run, on the record that is at hand.
    Run,
    /// The record is the one on which the closures have run: their results hold.
    Hold,
}

impl<'a> View<'a> {
    /// The raw JSON under a key, with this request's changes applied.
    pub(crate) fn get(self, key: &str) -> Option<RawValue<'a>> {
        if self.log.len() > FEW {
            return match self.log.keys(self.base, |keys| keys.find(key)) {
                Place::Log(place) => self.log[place].value().map(RawValue::Changed),
                Place::Record(span) => Some(RawValue::Stored(self.base?, span)),
                Place::Nowhere => None,
            };
        }
        for change in self.log.iter().rev() {
            match change.key() {
                Some(at) if *at == *key => return change.value().map(RawValue::Changed),
                None if matches!(change, Change::Clear) => return None,
                _ => {}
            }
        }
        self.stored(key)
    }

    /// Whether this is the raw JSON under a key; `None` stands for no value.
    pub(crate) fn has(self, key: &str, json: Option<&[u8]>) -> bool {
        self.get(key).map(RawValue::bytes) == json
    }

    /// The raw JSON under a key in the record. Flash messages and metadata do not count as data.
    fn stored(self, key: &str) -> Option<RawValue<'a>> {
        if is_reserved(key) { None } else { self.stored_member(key) }
    }

    /// The same, where flash messages and metadata count too.
    fn stored_member(self, key: &str) -> Option<RawValue<'a>> {
        let base = self.base?;
        Some(RawValue::Stored(base, self.log.find_stored(base, key)?))
    }

    /// The number of keys that have a value.
    pub(crate) fn len(self) -> usize {
        if self.log.len() > FEW || self.base.is_some_and(|base| base.count() > FEW) {
            return self.log.keys(self.base, KeyIndex::len);
        }
        self.keys().len()
    }

    /// The keys that have a value, in the order in which they are stored.
    pub(crate) fn keys(self) -> Vec<String> {
        let stored = self.base.into_iter().flat_map(Record::entries);
        // A key that is not valid Unicode (JavaScript can write a lone surrogate) cannot be a Rust string.
        let stored = stored.filter_map(|(raw_key, _)| unescape(raw_key)).filter(|key| !is_reserved(key));
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
                Change::FlashPush { .. } | Change::FlashTake { .. } => {}
                Change::MaxAge(_) | Change::Metadata(_) => {}
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
        self.log.max_age().filter(|now| *now != self.stored_max_age(configured))
    }

    /// Whether the data, the flash messages or the max-age differ from the record.
    pub(crate) fn is_modified(self, configured: Option<Duration>) -> bool {
        self.new_max_age(configured).is_some() || self.has_new_data()
    }

    /// Whether the data, the flash messages or the metadata differ from the record.
    pub(crate) fn has_new_data(self) -> bool {
        if self.log.is_empty() {
            return false;
        }
        let flash = || self.log.has_flash() && self.log.flash(self.base, |queues| queues.is_modified());
        if self.log.is_one_new_value() || self.has_new_metadata() {
            return true;
        }
        if self.log.len() > FEW {
            return self.log.keys(self.base, KeyIndex::is_modified) || flash();
        }
        let stored = |key| self.stored(key).map(RawValue::bytes);
        let data = || self.log.iter().filter_map(Change::key).any(|key| !self.has(key, stored(key)));
        let cleared = || {
            self.log.iter().any(|change| matches!(change, Change::Clear))
                && self.base.is_some_and(|base| {
                    base.entries().any(|(raw_key, value)| self.is_changed(raw_key, value))
                })
        };
        data() || cleared() || flash()
    }

    /// Whether a stored member no longer has its stored value.
    fn is_changed(self, raw_key: &str, value: &str) -> bool {
        match unescape(raw_key) {
            Some(key) => !is_reserved(&key) && !self.has(&key, Some(value.as_bytes())),
            // No change names a key that is not valid Unicode. The caller has seen a `Clear`, which removes
            // it.
            None => true,
        }
    }

    /// The waiting flash messages of a kind, as raw JSON, oldest first.
    ///
    /// # Errors
    /// `Decode`, when the stored flash messages are not in connect-flash's format.
    pub(crate) fn messages(self, kind: &str) -> Result<Vec<SmolStr>, SessionError> {
        self.flash(|queues| queues.messages(kind)).unwrap_or(Ok(Vec::new()))
    }

    /// Checks that flash messages of a kind can be queued. The errors are those of
    /// [`messages`](Self::messages).
    pub(crate) fn check_flash(self, kind: &str) -> Result<(), SessionError> {
        self.flash(|queues| queues.check(kind)).unwrap_or(Ok(()))
    }

    /// The waiting flash messages of every kind that can be read.
    pub(crate) fn all_messages(self) -> Vec<(String, Vec<SmolStr>)> {
        self.flash(FlashQueues::all).unwrap_or_default()
    }

    /// Asks the queues of flash messages; `None`, when there are no messages.
    fn flash<R>(self, ask: impl FnOnce(&mut FlashQueues) -> R) -> Option<R> {
        let some = self.log.has_flash() || self.stored_member(FLASH).is_some();
        some.then(|| self.log.flash(self.base, ask))
    }

    /// What this crate itself keeps of the session, with this request's changes applied.
    pub(crate) fn metadata(self) -> Metadata {
        let mut metadata = self.stored_metadata();
        self.log.apply_to_metadata(&mut metadata);
        metadata
    }

    /// Asks about the keyed hash of the user who is logged in; `None`, if nobody is.
    pub(crate) fn ask_user<T>(self, ask: impl FnOnce(&str) -> T) -> Option<T> {
        if self.log.changes_metadata() {
            return self.metadata().user.map(|user| ask(&user));
        }
        ask_user(self.stored_member(METADATA).map(RawValue::bytes), ask)
    }

    fn stored_metadata(self) -> Metadata {
        Metadata::read(self.stored_member(METADATA).map(RawValue::bytes))
    }

    /// Whether what this crate keeps of the session differs from the record.
    fn has_new_metadata(self) -> bool {
        self.log.changes_metadata() && self.metadata() != self.stored_metadata()
    }

    /// Applies the changes to the record, and returns the draft of the record to be stored. `new` is the
    /// cookie object for a session without a record. `born` is the birth of a session whose birth is not
    /// known; without it, none is noted.
    ///
    /// # Errors
    /// - `Decode`, when an update's closure cannot read the value in the record, or the stored flash messages
    ///   are not in connect-flash's format.
    /// - `Encode`, when the result of an update's closure cannot be written as JSON.
    pub(crate) fn replay<'d>(
        self,
        new: &'d CookieTemplate<'static>,
        configured: Option<Duration>,
        born: Option<SystemTime>,
        updates: Updates,
    ) -> Result<Draft<'d>, SessionError>
    where
        'a: 'd,
    {
        let from = self.base.map_or(Source::Nothing(new), Source::Record);
        let mut draft = Draft::new(from, self.max_age(configured));
        for change in self.log.iter() {
            match change {
                Change::Set { key, value } => draft.put(key, Some(Json::Kept(value))),
                Change::Remove { key } => draft.put(key, None),
                Change::Clear => draft.clear(),
                Change::Update { key, now, .. } if updates == Updates::Hold => {
                    draft.put(key, now.as_deref().map(Json::Kept));
                }
                Change::Update { key, apply, .. } => {
                    let after = apply(draft.get(key))?;
                    draft.put(key, after.map(Json::Made));
                }
                Change::FlashPush { .. } | Change::FlashTake { .. } => {}
                Change::MaxAge(_) | Change::Metadata(_) => {}
            }
        }
        if self.log.has_flash() {
            let mut queues = FlashQueues::new(self.base);
            self.log.iter().for_each(|change| change.apply_to_flash(&mut queues));
            draft.put(FLASH, Some(Json::Made(queues.into_text()?.into())));
        }
        if self.log.changes_metadata() || born.is_some() {
            let mut metadata = self.metadata();
            metadata.born = metadata.born.or(born.map(to_millis));
            draft.put(METADATA, metadata.to_json().map(Json::Made));
        }
        Ok(draft)
    }
}
