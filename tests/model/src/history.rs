//! What the requests of a run were told, and when.

use std::collections::BTreeMap;

use axum::http::header::SET_COOKIE;
use axum::response::IntoResponse as _;
use serde_json::value::RawValue;
use sessile::{Origin, Session, SessionConfig, SessionError, SessionGuard};
use smol_str::SmolStr;

use crate::program::{KINDS, Op};

/// A session's contents: raw JSON values by key, waiting messages by kind, and its lifetime in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Contents {
    pub(crate) values: BTreeMap<SmolStr, SmolStr>,
    pub(crate) flash: BTreeMap<SmolStr, Vec<SmolStr>>,
    pub(crate) max_age: Option<u64>,
}

impl Contents {
    /// What a handler sees.
    pub(crate) fn seen(session: &Session) -> Self {
        let value = |key: String| {
            let raw = session.get::<Box<RawValue>>(&key).ok().flatten();
            (SmolStr::from(key), raw.map_or_else(|| "?".into(), |raw| raw.get().into()))
        };
        let messages = |kind: &&str| {
            let raw = session.peek_flash::<Box<RawValue>>(kind).unwrap_or_default();
            let list: Vec<SmolStr> = raw.into_iter().map(|raw| raw.get().into()).collect();
            (!list.is_empty()).then(|| (SmolStr::from(*kind), list))
        };
        Self {
            values: session.keys().into_iter().map(value).collect(),
            flash: KINDS.iter().filter_map(messages).collect(),
            max_age: session.max_age().map(|age| age.as_millis() as u64),
        }
    }

    /// What is in a record.
    pub(crate) fn of_json(json: &str) -> Option<Self> {
        let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).ok()?;
        let cookie: serde_json::Value = serde_json::from_str(members.remove("cookie")?.get()).ok()?;
        let max_age = cookie.get("originalMaxAge").and_then(serde_json::Value::as_u64);
        let flash: BTreeMap<String, Vec<Box<RawValue>>> = match members.remove("flash") {
            Some(flash) => serde_json::from_str(flash.get()).ok()?,
            None => BTreeMap::new(),
        };
        let flash = flash.into_iter().filter(|(_, list)| !list.is_empty());
        let flash = flash
            .map(|(kind, list)| (kind.into(), list.into_iter().map(|raw| raw.get().into()).collect()))
            .collect();
        let values = members.into_iter().map(|(key, raw)| (key.into(), raw.get().into())).collect();
        Some(Self { values, flash, max_age })
    }
}

/// A cookie as a request carried it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: SmolStr,
    pub(crate) signature: Signed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    Not,
    ByOldSecret,
    Well,
}

/// What a guard does to the cookie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum CookieSeen {
    None,
    Set(SmolStr),
    Expired,
}

impl CookieSeen {
    /// # Errors
    /// When the response has several lines, or a cookie that does not verify.
    pub(crate) fn of(guard: SessionGuard, config: &SessionConfig) -> Result<Self, String> {
        let response = guard.into_response();
        let mut lines = response.headers().get_all(SET_COOKIE).iter();
        let Some(line) = lines.next() else { return Ok(Self::None) };
        if lines.next().is_some() {
            return Err("two Set-Cookie lines in one response".into());
        }
        let line = line.to_str().unwrap_or_default();
        let pair = line.split(';').next().unwrap_or_default();
        let Some((_, value)) = pair.split_once('=') else { return Err(format!("Set-Cookie: {line}")) };
        if value.is_empty() {
            return Ok(Self::Expired);
        }
        match config.verify(value) {
            Some(id) => Ok(Self::Set(id.as_str().into())),
            None => Err("a cookie was sent that does not verify".into()),
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Failure {
    Store,
    Gone,
    Conflict,
    Destroyed,
    Decode,
    Other,
}

impl From<&SessionError> for Failure {
    fn from(error: &SessionError) -> Self {
        match error {
            SessionError::Store(_) => Self::Store,
            SessionError::Gone => Self::Gone,
            SessionError::Conflict => Self::Conflict,
            SessionError::Destroyed => Self::Destroyed,
            SessionError::Decode { .. } => Self::Decode,
            _ => Self::Other,
        }
    }
}

/// What a call that asks no store returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Value(Option<SmolStr>),
    Messages(Vec<SmolStr>),
    All(BTreeMap<SmolStr, Vec<SmolStr>>),
    Id(SmolStr),
    Failed(Failure),
}

/// What a session is after a call that asked the store.
#[derive(Debug, Clone)]
pub(crate) struct After {
    /// The guard's cookie, of a commit.
    pub(crate) cookie: Option<CookieSeen>,
    pub(crate) is_new: bool,
    /// Its id, where it is stored as far as it says so.
    pub(crate) id: Option<SmolStr>,
    pub(crate) contents: Contents,
}

#[derive(Debug, Clone)]
pub(crate) struct LoadedSession {
    pub(crate) origin: Origin,
    pub(crate) contents: Contents,
}

/// One step of a request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Load {
        asked: u64,
        /// `None`: the request was dropped before.
        answered: Option<u64>,
        sent: Vec<Sent>,
        /// `None`: the request was rejected, or dropped.
        loaded: Option<LoadedSession>,
    },
    Local {
        op: Op,
        told: Told,
    },
    Store {
        op: Op,
        asked: u64,
        answered: Option<u64>,
        /// `None`: the request was dropped.
        result: Option<Result<After, Failure>>,
        /// What the session looks like after an error.
        contents: Option<Contents>,
    },
}

/// Something that happened, for the reader of a failed run.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// `None`: nobody's.
    pub(crate) actor: Option<usize>,
    pub(crate) text: String,
}

/// A write that the store carried out.
#[derive(Debug, Clone)]
pub(crate) struct Effect {
    pub(crate) at: u64,
    pub(crate) actor: usize,
    pub(crate) kind: EffectKind,
    pub(crate) id: SmolStr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EffectKind {
    /// A record was there that was not before.
    Created,
    /// `destroy` removed a record.
    Destroyed,
    /// `destroy_if` removed a record.
    Moved,
    /// Something was asked about the record, and an error was answered.
    Unanswered,
    /// The record was to be removed, and an error was answered.
    RemovalUnanswered,
}

/// A whole run.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) requests: Vec<Vec<Step>>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) minted: Vec<SmolStr>,
    /// The store at first and at last. `None`: what is there cannot be decoded.
    pub(crate) before: BTreeMap<SmolStr, Contents>,
    pub(crate) after: BTreeMap<SmolStr, Contents>,
    pub(crate) undecodable: Vec<SmolStr>,
    pub(crate) events: Vec<Event>,
    /// Something that no order of the steps could excuse.
    pub(crate) offence: Option<Violation>,
    /// So many times all had to wait until time passed.
    pub(crate) waits: u32,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise, in a word or two.
    pub kind: &'static str,
    /// What was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(kind: &'static str, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}
