//! A simple model of what the store holds, of one request's session, and of a browser.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use sessile::SessionId;

/// What a session holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Contents {
    pub(super) data: BTreeMap<String, Value>,
    /// No list is empty.
    pub(super) flash: BTreeMap<String, Vec<Value>>,
    pub(super) max_age: Option<Duration>,
}

impl Contents {
    pub(super) fn empty(max_age: Option<Duration>) -> Self {
        Self { data: BTreeMap::new(), flash: BTreeMap::new(), max_age }
    }

    pub(super) fn messages(&self, kind: &str) -> Vec<Value> {
        self.flash.get(kind).cloned().unwrap_or_default()
    }
}

/// A record in the store.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) contents: Contents,
    /// When its text was written. A touch leaves the text alone.
    pub(super) written: SystemTime,
    pub(super) expires: SystemTime,
    /// The text, as it was first seen after the write.
    pub(super) text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    New,
    Existing,
    NewId { keeps_data: bool },
    Destroyed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum SentCookie {
    Set,
    Expired,
}

/// The options that a program varies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) save_uninitialized: bool,
    pub(super) resave: bool,
    pub(super) rolling: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) store_ttl: Duration,
    pub(super) touch_after: Duration,
}

impl Options {
    pub(super) fn ttl(&self, max_age: Option<Duration>) -> Duration {
        max_age.unwrap_or(self.store_ttl)
    }
}

/// One request's session.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) stage: Stage,
    /// The id of the record that this session has in the store.
    pub(super) stored: Option<SessionId>,
    pub(super) view: Contents,
    pub(super) touched: bool,
    /// Whether the request carried a cookie of the session's name.
    pub(super) carried: bool,
    pub(super) cookie: Option<SentCookie>,
}

/// What a commit does to the store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Write {
    Nothing,
    /// It may write the session or not: the page of differences from Express decides.
    PerhapsCreate,
    Create,
    Replace,
    Touch,
    Destroy,
}

impl Request {
    /// What stands in the store under the request's changes.
    fn base(&self, store: &BTreeMap<String, Stored>, options: &Options) -> Contents {
        match (&self.stage, &self.stored) {
            (Stage::Existing | Stage::NewId { keeps_data: true }, Some(id)) => {
                store[id.as_str()].contents.clone()
            }
            _ => Contents::empty(options.max_age),
        }
    }

    pub(super) fn is_modified(&self, store: &BTreeMap<String, Stored>, options: &Options) -> bool {
        self.base(store, options) != self.view
    }

    /// The commit table.
    pub(super) fn decide(
        &self,
        saving: bool,
        store: &BTreeMap<String, Stored>,
        options: &Options,
    ) -> (Write, Option<SentCookie>) {
        let base = self.base(store, options);
        let set_if = |due: bool| due.then_some(SentCookie::Set);
        match self.stage {
            Stage::Destroyed if self.stored.is_some() => (Write::Destroy, Some(SentCookie::Expired)),
            Stage::Destroyed => (Write::Nothing, self.carried.then_some(SentCookie::Expired)),
            Stage::NewId { .. } => (Write::Create, Some(SentCookie::Set)),
            Stage::New if self.view != base || saving => (Write::Create, Some(SentCookie::Set)),
            Stage::New if options.save_uninitialized && self.carried => (Write::PerhapsCreate, None),
            Stage::New if options.save_uninitialized => (Write::Create, Some(SentCookie::Set)),
            Stage::New => (Write::Nothing, None),
            Stage::Existing if self.view != base => (
                Write::Replace,
                set_if(options.rolling || base.max_age.is_some() || self.view.max_age.is_some()),
            ),
            Stage::Existing if options.resave || saving => (Write::Replace, set_if(options.rolling)),
            Stage::Existing if options.rolling || self.touched => (Write::Touch, set_if(options.rolling)),
            Stage::Existing => (Write::Nothing, None),
        }
    }
}

/// A browser's cookie of the session's name.
#[derive(Debug, Clone)]
pub(super) struct Cookie {
    pub(super) id: SessionId,
    /// When the browser drops it; `None`: when it is closed.
    pub(super) until: Option<SystemTime>,
}
