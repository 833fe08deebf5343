//! Queues for the requests that want one record: a fixed set of locks that ids are spread over.

use std::hash::{BuildHasher as _, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::id::SessionId;

const LANES: usize = 64;

pub(crate) struct Lanes {
    locks: Vec<Mutex<()>>,
    spread: RandomState,
}

impl Lanes {
    /// Waits until no other request of this configuration is in the lane of this id.
    pub(crate) async fn enter(&self, id: &SessionId) -> MutexGuard<'_, ()> {
        let lane = self.spread.hash_one(id.as_str()) as usize % LANES;
        self.locks[lane].lock().await
    }
}

impl Default for Lanes {
    fn default() -> Self {
        let locks = std::iter::repeat_with(|| Mutex::new(())).take(LANES).collect();
        Self { locks, spread: RandomState::new() }
    }
}
