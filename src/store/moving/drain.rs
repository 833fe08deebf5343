//! [`Drain`]: moves the sessions that no request has moved.

use std::fmt;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::Moving;
use super::side::PAGE;
use super::steps::Stores;
use crate::error::StoreError;
use crate::id::SessionId;

/// How many sessions are moved at the same time.
const AT_ONCE: usize = 32;

/// Moves sessions from the old store to the new one, a few at a time: what [`Moving::drain`] returns.
///
/// It works only while [`next`](Self::next) is awaited. It can be dropped at any moment, also in the middle of
/// a call, and the process can be killed; another one begins where it has stopped. Two at a time do no harm.
#[must_use = "it moves nothing until `next` is called"]
pub struct Drain<'m> {
    moving: &'m Moving,
    pass: Option<BoxStream<'m, Result<SessionId, StoreError>>>,
    /// Whether this pass has found nothing to move so far.
    is_last: bool,
    so_far: Drained,
    per_second: Option<u32>,
}

/// What a [`Drain`] has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How many sessions it has moved. Those that requests have moved are not among them.
    pub moved: u64,
    /// How many records of the old store cannot be read. They stay where they are.
    pub unreadable: u64,
}

impl Moving {
    /// Moves what is left in the old store. Call it in one process when **all of them use `Moving`**: from the
    /// first call of [`Drain::next`] on, new sessions begin in the new store.
    ///
    /// When it is done, nothing is left in the old store but records that cannot be read, and sessions under
    /// ids that the old store keeps only as hashes.
    pub fn drain(&self) -> Drain<'_> {
        Drain { moving: self, pass: None, is_last: false, so_far: Drained::default(), per_second: None }
    }
}

impl Drain<'_> {
    /// Moves at most so many sessions each second. Default: as many as the stores carry.
    pub fn per_second(mut self, sessions: u32) -> Self {
        self.per_second = Some(sessions.max(1));
        self
    }

    /// Moves some sessions, 256 at most, and returns what was done so far. `None`: nothing is left to move.
    ///
    /// # Errors
    /// Those of the stores. Call it again to go on. [`StoreError::unsupported`]: the old store does not list
    /// its [`ids`](crate::SessionStore::ids), so that a session moves when it is next written to, or both
    /// stores are one.
    pub async fn next(&mut self) -> Result<Option<Drained>, StoreError> {
        let began = Instant::now();
        let stores = &self.moving.0;
        loop {
            let pass = match &mut self.pass {
                Some(pass) => pass,
                None => {
                    stores.begin_filling().await?;
                    let ids = stores.old.store.ids();
                    let ids = ids.ok_or_else(|| StoreError::unsupported("a list of the old store's ids"))?;
                    self.is_last = true;
                    self.so_far.unreadable = 0;
                    self.pass.insert(ids)
                }
            };
            let most = self.per_second.map_or(PAGE, |most| PAGE.min(most as usize));
            // Until all of them have moved, this pass cannot be the last, also if this call is dropped.
            let was_last = std::mem::replace(&mut self.is_last, false);
            let ids = pass.take(most).try_collect::<Vec<_>>().await;
            let ids = match ids {
                Ok(ids) if !ids.is_empty() => ids,
                Ok(_) => {
                    self.pass = None;
                    // What came while the ids were listed may not have been among them.
                    if was_last {
                        return Ok(None);
                    }
                    continue;
                }
                Err(error) => {
                    self.pass = None;
                    return Err(error);
                }
            };
            let moved = move_all(stores, &ids).await?;
            self.so_far.moved += moved.moved;
            self.so_far.unreadable += moved.unreadable;
            self.is_last = was_last && moved.moved == 0;
            if let Some(most) = self.per_second {
                let due = Duration::from_secs_f64(ids.len() as f64 / f64::from(most));
                tokio::time::sleep_until(began + due).await;
            }
            return Ok(Some(self.so_far));
        }
    }
}

async fn move_all(stores: &Stores, ids: &[SessionId]) -> Result<Drained, StoreError> {
    let filling = Stores::filling();
    let ids: Vec<_> = ids.iter().filter(|id| **id != filling).cloned().collect();
    let found = stores.old.get_many(&ids).await?;
    let moves = ids.iter().zip(found).map(|(id, found)| async move {
        let mut drained = Drained::default();
        match found {
            Some(stored) => {
                stores.bring_seen(id, stored).await?;
                drained.moved = 1;
            }
            // It has moved or ended, or it is no record.
            None => match stores.old.get(id).await {
                Err(error) if error.is_corrupt() => drained.unreadable = 1,
                Err(error) => return Err(error),
                Ok(None) => {}
                Ok(Some(_)) => {
                    stores.bring(id).await?;
                    drained.moved = 1;
                }
            },
        }
        Ok(drained)
    });
    // Boxed, because the compiler cannot show otherwise that this future can be sent between threads.
    let moves: Vec<_> = moves.map(futures_util::FutureExt::boxed).collect();
    let all = stream::iter(moves).buffer_unordered(AT_ONCE);
    all.try_fold(Drained::default(), async |all, one| {
        Ok(Drained { moved: all.moved + one.moved, unreadable: all.unreadable + one.unreadable })
    })
    .await
}

impl fmt::Debug for Drain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("so_far", &self.so_far).finish_non_exhaustive()
    }
}
