//! Queues for the requests that want one record: a fixed set of locks that ids are spread over.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::id::SessionId;

const LOCKS: usize = 64;

pub(crate) struct KeyedLocks {
    locks: Vec<Mutex<()>>,
    spread: RandomState,
}

impl KeyedLocks {
    /// Waits until no other request of this configuration is in the lock of this id.
    pub(crate) async fn lock(&self, id: &SessionId) -> MutexGuard<'_, ()> {
        let lock = self.spread.hash_one(id.as_str()) as usize % LOCKS;
        self.locks[lock].lock().await
    }
}

impl Default for KeyedLocks {
    fn default() -> Self {
        let locks = std::iter::repeat_with(|| Mutex::new(())).take(LOCKS).collect();
        Self { locks, spread: RandomState::new() }
    }
}
