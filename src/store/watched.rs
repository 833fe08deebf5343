//! [`Watched`]: the sessions whose end somebody waits for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::id::SessionId;
use crate::sync::lock;

/// How a session came to its end: what [`Session::ended`](crate::Session::ended) resolves with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// This process has ended the session: by [`destroy`](crate::Session::destroy) or
    /// [`regenerate`](crate::Session::regenerate), because another user logged in, because the user's
    /// sessions were ended ([`UserSessions`](crate::UserSessions)), or because the user had too many of
    /// them.
    Destroyed,
    /// The session was not used for too long, or has reached its absolute timeout.
    Expired,
    /// This process has given the session a new id, and its data lives on:
    /// [`cycle_id`](crate::Session::cycle_id), or [`log_in`](crate::Session::log_in) by a guest or by the
    /// same user.
    Moved,
    /// The store does not have the session, and no more is known: another process has ended it or given it a
    /// new id, it had ended before anybody asked, or it was never stored.
    Gone,
}

/// The sessions of one configuration whose end somebody waits for. Sessions that nobody watches are not in
/// it.
#[derive(Default)]
pub(crate) struct Watched {
    /// The number of watched sessions, which is read without the lock by everybody who ends a session.
    ///
    /// Invariant: it changes with `sessions` and under its lock. A session that is watched just too late for
    /// an end to be told of it is looked up in the store right afterwards.
    len: AtomicUsize,
    inner: Mutex<Inner>,
    /// There are sessions to look up at once.
    added: Notify,
}

#[derive(Default)]
struct Inner {
    /// By their [keys](SessionId::key).
    sessions: HashMap<SessionId, Entry>,
    /// The number of entries that there have been.
    serial: u64,
    /// What looks at the store. `None`, when nothing is watched.
    task: Option<AbortHandle>,
}

/// A watched session.
struct Entry {
    /// Tells it from an earlier entry of the same id.
    serial: u64,
    end: watch::Sender<Option<Ended>>,
    /// How many wait.
    watches: usize,
    /// When the record expires, as far as this process knows.
    expires: Option<SystemTime>,
    /// Whether the store has had the session. A request that is still under way may be about to store it.
    is_stored: bool,
    /// Whether nobody has looked for it in the store yet.
    is_new: bool,
    /// How many calls are under way that end the session. They know how it ended, while the store only says
    /// that it is gone.
    endings: usize,
}

impl Watched {
    /// Begins to watch a session. `stored`: the record is in the store, and expires then.
    pub(crate) fn watch(self: &Arc<Self>, id: &SessionId, stored: Option<SystemTime>) -> Watch {
        let id = id.key();
        let mut guard = lock(&self.inner);
        let inner = &mut *guard;
        let entry = inner.sessions.entry(id.clone()).or_insert_with(|| Entry {
            serial: inner.serial,
            end: watch::Sender::new(None),
            watches: 0,
            expires: None,
            is_stored: false,
            is_new: true,
            endings: 0,
        });
        entry.watches += 1;
        entry.is_stored |= stored.is_some();
        entry.expires = stored.or(entry.expires);
        let (serial, end) = (entry.serial, entry.end.subscribe());
        inner.serial += 1;
        self.counted(inner);
        Watch { watched: Arc::clone(self), id: id.clone(), serial, end }
    }

    /// Sees to it that somebody looks at the store while sessions are watched.
    pub(crate) fn look_with(&self, spawn: impl FnOnce() -> AbortHandle) {
        let mut inner = lock(&self.inner);
        if inner.sessions.is_empty() {
            return;
        }
        if inner.task.as_ref().is_none_or(AbortHandle::is_finished) {
            inner.task = Some(spawn());
        }
        self.added.notify_one();
    }

    /// Waits until there are sessions to look up at once.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// The sessions to look up in the store: all, or those that were never looked up.
    pub(crate) fn to_look_up(&self, all: bool) -> Vec<SessionId> {
        let mut inner = lock(&self.inner);
        let due = inner.sessions.iter_mut().filter(|(_, entry)| entry.is_stored && (all || entry.is_new));
        due.map(|(id, entry)| {
            entry.is_new = false;
            id.clone()
        })
        .collect()
    }

    /// Notes that the store has a session, and until when.
    pub(crate) fn is_there(&self, id: &SessionId, expires: Option<SystemTime>) {
        if let Some(entry) = lock(&self.inner).sessions.get_mut(id) {
            entry.expires = expires;
        }
    }

    /// Notes that the store has said at `now` that a session is not there.
    pub(crate) fn is_absent(&self, id: &SessionId, now: SystemTime) {
        let how = match lock(&self.inner).sessions.get(id) {
            Some(entry) if entry.endings > 0 => return,
            Some(entry) if entry.expires.is_some_and(|expires| expires <= now) => Ended::Expired,
            Some(_) => Ended::Gone,
            None => return,
        };
        self.end(id, how);
    }

    /// Notes that a call begins which ends this session, if it succeeds.
    pub(crate) fn ending<'w>(&'w self, id: &'w SessionId) -> Ending<'w> {
        let is_noted = self.change(id, |entry| entry.endings += 1);
        Ending { watched: self, id, is_noted }
    }

    /// Tells those who watch a session that it is over. The store must have confirmed it.
    pub(crate) fn end(&self, id: &SessionId, how: Ended) {
        if self.is_empty() {
            return;
        }
        let mut inner = lock(&self.inner);
        if let Some(entry) = inner.sessions.remove(id.key()) {
            self.removed(inner);
            // Wakes others, and so without the lock.
            entry.end.send_replace(Some(how));
        }
    }

    /// Whether nothing is watched.
    fn is_empty(&self) -> bool {
        self.len.load(Ordering::SeqCst) == 0
    }

    /// Changes a session's entry, if it is watched.
    fn change(&self, id: &SessionId, change: impl FnOnce(&mut Entry)) -> bool {
        if self.is_empty() {
            return false;
        }
        lock(&self.inner).sessions.get_mut(id.key()).map(change).is_some()
    }

    fn counted(&self, inner: &Inner) {
        self.len.store(inner.sessions.len(), Ordering::SeqCst);
    }

    /// Ends the task when nothing is watched any more.
    fn removed(&self, mut inner: MutexGuard<'_, Inner>) {
        self.counted(&inner);
        let task = if inner.sessions.is_empty() { inner.task.take() } else { None };
        drop(inner);
        if let Some(task) = task {
            task.abort();
        }
    }
}

/// Somebody who waits for the end of a session. When the last one leaves, the session is no longer watched.
pub(crate) struct Watch {
    watched: Arc<Watched>,
    id: SessionId,
    serial: u64,
    end: watch::Receiver<Option<Ended>>,
}

impl Watch {
    pub(crate) async fn ended(mut self) -> Ended {
        let end = self.end.wait_for(Option::is_some).await.map(|end| *end);
        // Invariant: an entry is removed either after it was told of the end, or when nobody watches it.
        debug_assert!(end.is_ok(), "a watched session was forgotten");
        end.ok().flatten().unwrap_or(Ended::Gone)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut inner = lock(&self.watched.inner);
        // The entry is no longer there if the session is over, and another one may have the same id by now.
        let own = inner.sessions.get_mut(&self.id).filter(|entry| entry.serial == self.serial);
        let Some(entry) = own else { return };
        // Counted here, because the receivers are dropped after the lock.
        entry.watches -= 1;
        if entry.watches == 0 {
            inner.sessions.remove(&self.id);
            self.watched.removed(inner);
        }
    }
}

/// A call that ends a session, as long as it is under way.
pub(crate) struct Ending<'w> {
    watched: &'w Watched,
    id: &'w SessionId,
    is_noted: bool,
}

impl Ending<'_> {
    /// The store has confirmed the end.
    pub(crate) fn confirmed(self, how: Ended) {
        self.watched.end(self.id, how);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.is_noted {
            self.watched.change(self.id, |entry| entry.endings = entry.endings.saturating_sub(1));
        }
    }
}

/// A watched session that a request has not stored yet. Dropped, it says that the request will not.
pub(crate) struct Unstored {
    watched: Arc<Watched>,
    id: SessionId,
    how: Ended,
}

impl Unstored {
    pub(crate) fn new(watched: &Arc<Watched>, id: SessionId) -> Self {
        Self { watched: Arc::clone(watched), id, how: Ended::Gone }
    }

    /// The session will never be stored under this id.
    pub(crate) fn over(mut self, how: Ended) {
        self.how = how;
    }

    /// The request has stored the session under this id, which is another one if the first was taken.
    pub(crate) fn stored(mut self, id: &SessionId) {
        if *id != self.id {
            self.how = Ended::Moved;
        } else if self.watched.change(id, |entry| entry.is_stored = true) {
            // The first look learns when the record expires.
            self.watched.added.notify_one();
        }
    }
}

impl Drop for Unstored {
    fn drop(&mut self) {
        if self.watched.is_empty() {
            return;
        }
        let is_stored =
            |inner: &Inner| inner.sessions.get(self.id.key()).is_some_and(|entry| entry.is_stored);
        if !is_stored(&lock(&self.watched.inner)) {
            self.watched.end(&self.id, self.how);
        }
    }
}
