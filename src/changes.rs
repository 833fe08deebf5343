//! What a request did to its session, as a list that can be played again over a fresher record.
//!
//! The list is also the request's own view: a read looks here first, newest entry first, and then in the record.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::quality::RandomState;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::error::{Refused, SessionError};
use crate::json;
use crate::record::{CookieTemplate, Draft, FLASH, Record, Value};

/// Recomputes a value from the raw JSON that stands there now.
pub(crate) type UpdateFn = dyn Fn(Option<&str>) -> Result<Option<SmolStr>, SessionError> + Send + Sync;

/// What a request did, oldest first. Most requests that do something do one thing.
pub(crate) type Log = SmallVec<[Change; 1]>;

#[derive(Clone)]
pub(crate) enum Change {
    Set { key: SmolStr, value: SmolStr },
    Remove { key: SmolStr },
    Clear,
    Update { key: SmolStr, apply: Arc<UpdateFn>, now: Option<SmolStr> },
    FlashPush { kind: SmolStr, message: SmolStr },
    FlashTake { kind: SmolStr, messages: Vec<SmolStr> },
    MaxAge(Option<Duration>),
}

impl Change {
    fn key(&self) -> Option<&str> {
        match self {
            Self::Set { key, .. } | Self::Remove { key } | Self::Update { key, .. } => Some(key),
            Self::Clear | Self::FlashPush { .. } | Self::FlashTake { .. } | Self::MaxAge(_) => None,
        }
    }

    fn flash_kind(&self) -> Option<&str> {
        match self {
            Self::FlashPush { kind, .. } | Self::FlashTake { kind, .. } => Some(kind),
            _ => None,
        }
    }
}

/// A session as one request sees it: the record it was loaded with, if any, and what it did since.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) base: Option<&'a Record>,
    pub(crate) log: &'a [Change],
}

impl<'a> View<'a> {
    /// The raw value under a key, this request's changes included.
    pub(crate) fn get(self, key: &str) -> Option<&'a str> {
        for change in self.log.iter().rev() {
            match change {
                Change::Set { key: at, value } if **at == *key => return Some(value),
                Change::Remove { key: at } if **at == *key => return None,
                Change::Update { key: at, now, .. } if **at == *key => return now.as_deref(),
                Change::Clear => return None,
                _ => {}
            }
        }
        self.stored(key)
    }

    fn stored(self, key: &str) -> Option<&'a str> {
        if key == FLASH { None } else { self.base?.raw(key) }
    }

    /// The data's keys, in the order they will be stored in.
    pub(crate) fn keys(self) -> Vec<String> {
        let stored = self.base.into_iter().flat_map(Record::entries);
        // A key that is no Unicode (a lone surrogate, which JavaScript can write) has no text.
        let stored = stored.filter_map(|(raw_key, _)| json::unescape(raw_key)).filter(|key| key != FLASH);
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
        self.changed_max_age().unwrap_or_else(|| self.base.map_or(configured, Record::max_age))
    }

    fn changed_max_age(self) -> Option<Option<Duration>> {
        self.log.iter().rev().find_map(|change| match change {
            Change::MaxAge(max_age) => Some(*max_age),
            _ => None,
        })
    }

    /// Whether the lifetime is another than the record's, or than the configured one of a new session.
    pub(crate) fn max_age_differs(self, configured: Option<Duration>) -> bool {
        let before = self.base.map_or(configured, Record::max_age);
        self.changed_max_age().is_some_and(|now| now != before)
    }

    /// Whether what would be stored differs from what was loaded.
    pub(crate) fn is_modified(self, configured: Option<Duration>) -> bool {
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
            let before = View { base: self.base, log: &[] };
            let kinds = self.log.iter().filter_map(Change::flash_kind);
            kinds.into_iter().any(|kind| match (self.messages(kind), before.messages(kind)) {
                (Ok(now), Ok(then)) => now != then,
                _ => true,
            })
        };
        self.max_age_differs(configured) || data() || cleared() || flash()
    }

    fn lost(self, raw_key: &str, value: &str) -> bool {
        match json::unescape(raw_key) {
            Some(key) => key != FLASH && self.get(&key) != Some(value),
            None => true,
        }
    }

    /// The stored `flash` object. connect-flash takes `null` for none, and so for a kind's list.
    fn stored_flash(self) -> Option<&'a str> {
        self.base?.raw(FLASH).filter(|flash| *flash != "null")
    }

    /// The waiting flash messages of a kind, as raw JSON, oldest first.
    pub(crate) fn messages(self, kind: &str) -> Result<Vec<&'a str>, SessionError> {
        let mut messages = match self.stored_flash() {
            None => Vec::new(),
            Some(flash) => match members(flash)?.iter().find(|member| member.is(flash, kind)) {
                None => Vec::new(),
                Some(member) => list(kind, member.value.of(flash))?,
            },
        };
        for change in self.log {
            match change {
                Change::FlashPush { kind: at, message } if **at == *kind => messages.push(message),
                Change::FlashTake { kind: at, messages: taken } if **at == *kind => {
                    // Of equal ones the oldest go.
                    let mut left = HashMap::<&str, usize, RandomState>::default();
                    for message in taken {
                        *left.entry(message).or_default() += 1;
                    }
                    messages.retain(|message| match left.get_mut(message) {
                        Some(left) if *left > 0 => {
                            *left -= 1;
                            false
                        }
                        _ => true,
                    });
                }
                _ => {}
            }
        }
        Ok(messages)
    }

    /// The kinds that have or had messages, in the order they are stored in.
    pub(crate) fn flash_kinds(self) -> Result<Vec<Cow<'a, str>>, SessionError> {
        let mut kinds = Vec::<Cow<'a, str>>::new();
        if let Some(flash) = self.stored_flash() {
            for member in members(flash)? {
                kinds.extend(json::unescape(member.key.of(flash)));
            }
        }
        for kind in self.log.iter().filter_map(Change::flash_kind) {
            if !kinds.iter().any(|known| known == kind) {
                kinds.push(Cow::Borrowed(kind));
            }
        }
        Ok(kinds)
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
        let cookie = self.base.map_or_else(|| new.clone(), |base| base.cookie_template());
        let mut draft = Draft::new(cookie, self.max_age(configured), self.base);
        for change in self.log {
            match change {
                Change::Set { key, value } => draft.put(key, Some(Value::Kept(value))),
                Change::Remove { key } => draft.put(key, None),
                Change::Clear => draft.clear(),
                Change::Update { key, apply, .. } => {
                    let after = apply(draft.get(key))?;
                    draft.put(key, after.map(Value::Made));
                }
                Change::FlashPush { .. } | Change::FlashTake { .. } | Change::MaxAge(_) => {}
            }
        }
        if self.log.iter().any(|change| change.flash_kind().is_some()) {
            draft.put(FLASH, Some(Value::Made(self.flash_text()?.into())));
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
        let touched = |kind: &str| self.log.iter().any(|change| change.flash_kind() == Some(kind));
        let mut written = Vec::<String>::new();
        if let Some(flash) = self.stored_flash() {
            for member in members(flash)? {
                let raw = member.key.of(flash);
                let Some(kind) = json::unescape(raw).filter(|kind| touched(kind)) else {
                    push(raw, member.value.of(flash));
                    continue;
                };
                let messages = self.messages(&kind)?;
                if !messages.is_empty() {
                    push(raw, &format!("[{}]", messages.join(",")));
                }
                written.push(kind.into_owned());
            }
        }
        for kind in self.log.iter().filter_map(Change::flash_kind) {
            if written.iter().any(|done| done == kind) {
                continue;
            }
            written.push(kind.to_owned());
            let messages = self.messages(kind)?;
            if !messages.is_empty() {
                push(&json::escape(kind), &format!("[{}]", messages.join(",")));
            }
        }
        text.push('}');
        Ok(text)
    }
}

fn members(flash: &str) -> Result<Vec<json::Member>, SessionError> {
    json::members(flash)
        .map_err(|_| SessionError::Decode { key: FLASH.to_owned(), source: Refused::ForeignFlash.into() })
}

fn list<'j>(kind: &str, json: &'j str) -> Result<Vec<&'j str>, SessionError> {
    if json == "null" {
        return Ok(Vec::new());
    }
    let raw: Vec<&serde_json::value::RawValue> = serde_json::from_str(json).map_err(|_| {
        SessionError::Decode { key: format!("{FLASH}.{kind}"), source: Refused::ForeignFlash.into() }
    })?;
    Ok(raw.into_iter().map(serde_json::value::RawValue::get).collect())
}

/// Whether two raw values are the same: the same bytes, or objects and arrays of one length that differ only in the
/// order a hash map gave their keys. Numbers are compared as text, so none is rounded.
pub(crate) fn same_value(one: &str, other: &str) -> bool {
    same_within(one, other, 32)
}

fn same_within(one: &str, other: &str, depth: usize) -> bool {
    if one == other {
        return true;
    }
    if one.len() != other.len() || depth == 0 {
        return false;
    }
    if one.starts_with('[') {
        let (Ok(a), Ok(b)) = (list("", one), list("", other)) else { return false };
        return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same_within(a, b, depth - 1));
    }
    if !one.starts_with('{') {
        return false;
    }
    let sorted = |text| {
        let mut members = members(text).ok()?;
        members.sort_unstable_by_key(|member| member.key.of(text));
        Some(members)
    };
    let (Some(a), Some(b)) = (sorted(one), sorted(other)) else { return false };
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| {
            a.key.of(one) == b.key.of(other) && same_within(a.value.of(one), b.value.of(other), depth - 1)
        })
}
