//! What the requests of a run were told, and when.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::SET_COOKIE;
use axum::response::IntoResponse as _;
use serde_json::value::RawValue;
use sessile::{Origin, Session, SessionConfig, SessionError, SessionGuard};
use smol_str::SmolStr;

use crate::program::{KINDS, Op};
use crate::users::{USERS, name_of};

/// A session's contents: raw JSON values by key, waiting messages by kind, and its lifetime in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Contents {
    pub(crate) values: BTreeMap<SmolStr, SmolStr>,
    pub(crate) flash: BTreeMap<SmolStr, Vec<SmolStr>>,
    pub(crate) max_age: Option<u64>,
    /// The user who is logged in, or as whom the logged-in user acts.
    pub(crate) user: Option<&'static str>,
    /// Whether somebody acts as the user.
    pub(crate) acted: bool,
    /// When the user last proved who they are, in milliseconds since 1970.
    pub(crate) confirmed: Option<u64>,
}

impl Contents {
    /// What a handler sees, whose clock shows `now`.
    pub(crate) fn seen(session: &Session, now: SystemTime) -> Self {
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
            user: if session.is_logged_in() {
                USERS.into_iter().find(|user| session.belongs_to(user)).or(Some("?"))
            } else {
                None
            },
            acted: session.is_impersonated(),
            confirmed: confirmed(session, now),
        }
    }

    /// A value that is a text.
    pub(crate) fn text(&self, key: &str) -> Option<&SmolStr> {
        self.values.get(key)
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
        let metadata = members.remove("__sessile");
        let metadata: serde_json::Value = match &metadata {
            Some(metadata) => serde_json::from_str(metadata.get()).ok()?,
            None => serde_json::Value::Null,
        };
        let name = |key| metadata.get(key).and_then(serde_json::Value::as_str);
        let user = name("user").map(|hash| name_of(hash).unwrap_or("?"));
        let acted = name("actor").is_some();
        let confirmed = metadata.get("confirmed").and_then(serde_json::Value::as_u64);
        let values = members.into_iter().map(|(key, raw)| (key.into(), raw.get().into())).collect();
        Some(Self { values, flash, max_age, user, acted, confirmed })
    }
}

/// When the user of a session last proved who they are: found by asking whether it was that long ago.
fn confirmed(session: &Session, now: SystemTime) -> Option<u64> {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    // The record has whole milliseconds.
    let (millis, rest) = (since.as_millis() as u64, since.subsec_nanos() % 1_000_000);
    let is_within =
        |ago: u64| session.confirmed_within(Duration::from_millis(ago) + Duration::from_nanos(rest.into()));
    if !is_within(millis) {
        return None;
    }
    let (mut from, mut to) = (0, millis);
    while from < to {
        let middle = from + (to - from) / 2;
        if is_within(middle) { to = middle } else { from = middle + 1 }
    }
    Some(millis - to)
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
    TooMany,
    NotLoggedIn,
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
            SessionError::TooManySessions => Self::TooMany,
            SessionError::NotLoggedIn => Self::NotLoggedIn,
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
    /// When the call was made, in milliseconds since 1970.
    At(u64),
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
    /// A call of `sessions_of`.
    Users {
        op: Op,
        asked: u64,
        answered: Option<u64>,
        /// The session that is to be ended.
        target: Option<SmolStr>,
        /// `None`: the request was dropped.
        result: Option<Result<UsersTold, Failure>>,
    },
}

impl Step {
    /// When it was answered. `None` also for what asks no store.
    pub(crate) fn answered(&self) -> Option<u64> {
        match self {
            Self::Load { answered, .. } | Self::Store { answered, .. } | Self::Users { answered, .. } => {
                *answered
            }
            Self::Local { .. } => None,
        }
    }
}

/// What a call of `sessions_of` returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UsersTold {
    Began,
    /// The ids.
    Listed(Vec<SmolStr>),
    Counted(usize),
    Ended(bool),
    EndedSome(usize),
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
    /// A user's list was told that the session has been logged out that has this id or moves away from it.
    LoggedOut,
    /// A user's list was told of a session with this id and a place of its own.
    Entered,
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
    /// When each call was carried out, in order. The clock has moved right before.
    pub(crate) calls: Vec<u64>,
    /// What each call wrote that was carried out.
    pub(crate) writes: Vec<(u64, SmolStr, Contents)>,
    /// Of each user: the ids in the list at last, as far as a session has one.
    pub(crate) listed: BTreeMap<&'static str, Vec<SmolStr>>,
    /// What was still there after all sessions of all users were ended at last.
    pub(crate) undying: BTreeMap<SmolStr, Contents>,
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
