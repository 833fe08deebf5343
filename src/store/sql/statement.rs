//! One statement of a SQL store: its text, and the values that a call binds to it.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database uses all parameters")
)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;

/// What a parameter of a statement holds.
#[derive(Clone, Copy)]
pub(super) enum Param {
    /// The key of the session's row.
    Id,
    /// The record that the statement writes.
    Record,
    /// The record that must still be stored for the statement to change a row.
    Expected,
    /// The SHA-256 of that record in hexadecimal digits.
    ExpectedHash,
    /// The time to live in whole seconds, rounded up.
    TtlSeconds,
    /// The time to live in milliseconds.
    TtlMillis,
    /// The current time. Only SQLite takes it: servers have a clock of their own.
    Now,
    /// The time zone of Postgres' `expire` column.
    TimeZone,
    /// The keys of several rows, as a JSON list.
    KeyList,
    /// The keys of several rows, a parameter each. In the text of the statement they are `(?)`.
    EachKey,
    /// The user whose text the statement is about.
    User,
    /// The line to append, or the text to write.
    Text,
    /// The text that must still be stored for the statement to change a row.
    Was,
    /// The SHA-256 of that text in hexadecimal digits.
    WasHash,
}

/// The values that a call provides for the parameters of its statement. Each is there if the statement needs
/// it.
#[derive(Clone, Copy, Default)]
pub(super) struct Values<'v> {
    pub(super) id: Option<&'v SessionId>,
    pub(super) record: Option<&'v Record>,
    pub(super) expected: Option<&'v Version>,
    pub(super) ttl: Duration,
    pub(super) keys: &'v [Cow<'v, str>],
    pub(super) user: &'v str,
    pub(super) text: &'v str,
    pub(super) was: &'v str,
}

/// The text of a statement, and what its parameters hold, in the order in which they are bound.
#[derive(Clone)]
pub(super) struct Statement {
    pub(super) sql: Arc<str>,
    pub(super) params: &'static [Param],
}

impl Statement {
    pub(super) fn new(sql: String, params: &'static [Param]) -> Self {
        Self { sql: sql.into(), params }
    }
}

/// Whether a URL says that connections keep no statements.
#[cfg(feature = "postgres")]
pub(super) fn keeps_no_statements(url: &str) -> bool {
    let options = url.split_once('?').map_or("", |(_, options)| options);
    options.split('&').any(|option| option == "statement-cache-capacity=0")
}
