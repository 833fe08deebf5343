//! [`KeyedLocks`]: locks on session ids, for stores that cannot compare and write in one step.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::id::SessionId;

/// How many locks there are. The number is fixed, so that memory does not grow with the number of sessions.
/// Two ids that share a lock only wait for each other.
const LOCKS: usize = 64;

/// The locks of one configuration. Each id has one of them, chosen by its hash.
///
/// Invariant: a task holds at most one of these locks at a time, so sharing a lock cannot cause a deadlock.
pub(crate) struct KeyedLocks {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl KeyedLocks {
    /// Waits until no other request of this configuration holds the lock of this id, and takes it.
    pub(crate) async fn lock(&self, id: &SessionId) -> MutexGuard<'_, ()> {
        let lock = self.hasher.hash_one(id.as_str()) as usize % LOCKS;
        self.locks[lock].lock().await
    }
}

impl Default for KeyedLocks {
    fn default() -> Self {
        let locks = std::iter::repeat_with(|| Mutex::new(())).take(LOCKS).collect();
        Self { locks, hasher: RandomState::new() }
    }
}
