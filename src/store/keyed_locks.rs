//! [`KeyedLocks`]: one lock for each record that is being written, so that the requests of one configuration write to a
//! record one after the other.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use foldhash::quality::RandomState;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::id::SessionId;
use crate::record::Record;
use crate::store::loaded::CompareBy;

/// How long a request waits for a record's lock: twice the time that a store on a server has for one answer,
/// so that a request whose predecessor runs into that timeout still gets its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

type Locks = DashMap<SessionId, Arc<Mutex<Option<LastWritten>>>, RandomState>;

/// The locks of the records that are being written, each under its session's id. A lock exists as long as
/// somebody holds it or waits for it.
#[derive(Clone, Default)]
pub(crate) struct KeyedLocks(Arc<Locks>);

/// The record that the lock's last holder has written. The next holder applies its changes to this record
/// instead of the older one that it has loaded, and so avoids a conflict.
#[derive(Clone)]
pub(crate) struct LastWritten {
    pub(crate) record: Record,
    pub(crate) compare_by: CompareBy,
}

/// The other requests kept the record's lock for longer than a request waits.
#[derive(Debug)]
pub(crate) struct Busy;

/// A held lock. Dropping it lets the next request in, in the order of asking.
pub(crate) struct RecordLock {
    // Invariant: the fields are dropped in this order, so the lock is free before its entry looks for
    // waiters.
    last_written: OwnedMutexGuard<Option<LastWritten>>,
    _entry: Entry,
}

/// A share in a lock's entry. The last share that is dropped removes the entry.
struct Entry {
    locks: Arc<Locks>,
    id: SessionId,
    lock: Arc<Mutex<Option<LastWritten>>>,
}

impl KeyedLocks {
    /// Waits until no other request holds the lock of this id.
    ///
    /// # Errors
    /// [`Busy`] after [`LONGEST_WAIT`].
    pub(crate) async fn lock(&self, id: &SessionId) -> Result<RecordLock, Busy> {
        let lock = Arc::clone(self.0.entry(id.clone()).or_default().value());
        let entry = Entry { locks: Arc::clone(&self.0), id: id.clone(), lock };
        let last_written = match Arc::clone(&entry.lock).try_lock_owned() {
            Ok(free) => free,
            Err(_) => {
                let waiting = Arc::clone(&entry.lock).lock_owned();
                tokio::time::timeout(LONGEST_WAIT, waiting).await.map_err(|_| Busy)?
            }
        };
        Ok(RecordLock { last_written, _entry: entry })
    }
}

impl RecordLock {
    /// What the lock's last holder has written, if the record has had no pause since.
    pub(crate) fn last_written(&self) -> Option<&LastWritten> {
        self.last_written.as_ref()
    }

    /// Hands the record on that this holder has written. `None`: the record is gone, or its state is not
    /// known.
    pub(crate) fn hand_on(&mut self, written: Option<LastWritten>) {
        *self.last_written = written;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // Invariant: shares are made under the map's own lock, so two references, the map's and this one,
        // mean that nobody else holds the lock or waits for it.
        self.locks.remove_if(&self.id, |_, lock| Arc::strong_count(lock) <= 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_entry_lasts_as_long_as_somebody_wants_the_lock() {
        let (locks, id, other) = (KeyedLocks::default(), SessionId::random(), SessionId::random());
        let first = locks.lock(&id).await.unwrap();
        let _other = locks.lock(&other).await.unwrap();
        let mut second = Box::pin(locks.lock(&id));
        let mut third = Box::pin(locks.lock(&id));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(first);
        let second = second.await.unwrap();
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(second);
        assert_eq!(locks.0.len(), 2);
        // A waiter that gives up leaves nothing behind.
        drop(third);
        assert_eq!(locks.0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends() {
        let (locks, id) = (KeyedLocks::default(), SessionId::random());
        let _held = locks.lock(&id).await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(locks.lock(&id).await.is_err());
        assert_eq!(began.elapsed().as_secs(), LONGEST_WAIT.as_secs());
    }

    #[tokio::test]
    async fn what_was_written_is_handed_on_and_forgotten_with_the_last_waiter() {
        let (locks, id) = (KeyedLocks::default(), SessionId::random());
        let mut first = locks.lock(&id).await.unwrap();
        assert!(first.last_written().is_none());
        let mut second = Box::pin(locks.lock(&id));
        assert!(futures_util::poll!(&mut second).is_pending());
        first.hand_on(Some(LastWritten { record: Record::default(), compare_by: CompareBy::Record }));
        drop(first);
        let second = second.await.unwrap();
        assert!(second.last_written().is_some());
        drop(second);
        assert!(locks.lock(&id).await.unwrap().last_written().is_none());
    }
}
