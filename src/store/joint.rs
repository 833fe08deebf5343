//! Joint writes: one call of the store for the changes of several requests to one record.
//!
//! A request that finds the record's lock held leaves its changes in the lock's queue, as a [`Member`] of the
//! next write. Whoever gets the lock applies the changes of all who wait, one request's after the other's,
//! and sends the record that they make to the store once. `commit/replace.rs` does so. It promises:
//!
//! - **Each request gets the outcome of a write of its own**, made right after that of the request before it:
//!   the record with its changes and with those of the requests before it, or its own error. An error of the
//!   store goes to all.
//! - **A request that is dropped while it waits writes nothing.** Once its changes are on their way to the
//!   store they may be written, and [`Sent`] tells a later commit of the same session what became of them.
//! - **No request needs another one to live.** The write runs to its end when the request that makes it is
//!   dropped, and a request whose code panics in another one's task runs it again in its own.

use std::any::Any;
use std::sync::{Arc, Mutex};

use crate::error::SessionError;
use crate::record::Record;
use crate::store::loaded::CompareBy;
use crate::sync::lock;

/// The changes of one request.
pub(crate) trait ChangeList: Send + Sync {
    /// Drops the changes that `stored`, a record that the store holds, is known to contain.
    fn recognise(&mut self, stored: &Record);

    /// The record that the changes make of `base`. This may run code of the program, which may panic.
    fn compose(&self, base: &Record) -> Result<Record, SessionError>;
}

/// A request that takes part in a write.
pub(crate) struct Member {
    pub(crate) changes: Box<dyn ChangeList>,
    pub(crate) sent: Sent,
}

/// What has become of a request's changes. The request and whoever writes for it share it.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<Mutex<Fate>>);

#[derive(Default)]
pub(crate) enum Fate {
    /// The store was not asked, or has refused the record that contained them.
    #[default]
    NotWritten,
    /// This record, which contains them, was sent, and there is no answer.
    Unanswered(Record),
    Written,
}

impl Sent {
    pub(crate) fn note(&self, fate: Fate) {
        // The old record is dropped after the lock is free.
        drop(std::mem::replace(&mut *lock(&self.0), fate));
    }

    /// Whether the store may have the changes.
    pub(crate) fn may_be_written(&self) -> bool {
        !matches!(*lock(&self.0), Fate::NotWritten)
    }

    /// Whether the changes are known to be written, now that the store holds `stored`.
    pub(crate) fn is_in(&self, stored: &Record) -> bool {
        match &*lock(&self.0) {
            Fate::NotWritten => false,
            Fate::Unanswered(record) => record.same(stored),
            Fate::Written => true,
        }
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A record that was written, and how the store detects later writes to it.
#[derive(Clone)]
pub(crate) struct LastWritten {
    pub(crate) record: Record,
    pub(crate) compare_by: CompareBy,
}

/// How a write ended for one of the requests that took part.
pub(crate) enum Outcome {
    Written(LastWritten),
    Failed(SessionError),
    /// The request's own code has panicked.
    Panicked(Member, Box<dyn Any + Send>),
}
