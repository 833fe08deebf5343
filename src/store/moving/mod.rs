//! [`Moving`]: a store over two stores, while sessions move from one to the other.

pub(crate) mod drain;
mod marks;
mod side;
mod steps;
mod users;

use std::collections::HashSet;
use std::fmt;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryChunksError, TryStreamExt as _, select};

use self::side::{PAGE, Side, is_expected};
use self::steps::{InNew, Place, Rounds, Stores, plain};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::users::UserIndex;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// Two stores as one, while the sessions move from the old one to the new one and the program runs. Nobody is
/// logged out, and every promise holds at each moment: those of [the crate](crate#what-it-promises), among all
/// processes that use `Moving`.
///
/// Until somebody calls [`drain`](Self::drain), everything is written to the old store, so that processes
/// which do not know the new one yet find it. From then on new sessions begin in the new store, and a session
/// moves at the next write to it; `drain` moves all others. When it is done, the new store can be used alone.
/// [The guide](crate::guide::moving) tells the steps for a program with several processes.
///
/// A clone is another handle on the same move. Give the configuration one, and keep one to drain.
///
/// ```
/// use sessile::{MemoryStore, Moving, SessionConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// # let secret = "a secret of at least 32 bytes, from the environment";
/// # let before = SessionConfig::builder(secret).store(old.clone()).build()?;
/// # let created = before.create_session(async |session| session.insert("cart", 3)).await?;
/// let stores = Moving::new(old.clone(), new.clone());
/// let config = SessionConfig::builder(secret).store(stores.clone()).build()?;
/// # let headers = [("cookie".parse()?, created.cookie().clone())].into_iter().collect();
/// # let session = config.session_from_headers(&headers).await?;
/// # assert_eq!(session.get::<u32>("cart")?, Some(3));
///
/// // In a task of one of the processes, once all of them run `Moving`:
/// let mut drain = stores.drain();
/// while let Some(so_far) = drain.next().await? {
///     println!("{} sessions have moved", so_far.moved);
/// }
/// assert!(old.is_empty());
/// # let session = config.session_from_headers(&headers).await?;
/// # assert_eq!(session.get::<u32>("cart")?, Some(3));
/// # Ok(())
/// # }
/// ```
///
/// # The two stores
/// - They **keep their records apart**: another server, table, prefix or folder. `drain` refuses a store that
///   is both. To seal records, give [`Sealed`](crate::Sealed) a table of its own.
/// - The new one is empty, or the old one of an earlier move: to go back, stop all processes, exchange the two, and
///   drain.
/// - **No other program writes to either of them** while they move. Express finds no session that has moved,
///   and must not use the new store before `drain` is done.
/// - The lists of users' sessions move as well, if both stores keep lists. If the new one does not,
///   `sessions_of` is [unsupported](StoreError::unsupported) and `per_user` is refused.
/// - A store whose `get` returns no [`Version`] keeps its promises within one process, here as without
///   `Moving`. All requests of the process and `drain` then use clones of one `Moving`.
///
/// # What it costs
/// A read of a session that has moved costs what it does without `Moving`, one that has not takes a call to
/// each store, and one of a session that is not there three calls. A write takes two or three calls, and the
/// first one after `drain` has begun about ten, with which the session moves.
#[derive(Clone)]
pub struct Moving(Arc<Stores>);

impl Moving {
    /// Moves from `old` to `new`.
    pub fn new(old: impl SessionStore, new: impl SessionStore) -> Self {
        Self(Arc::new(Stores::new(Side::new(old), Side::new(new))))
    }

    /// Creates a record in the old store. `None`: the new one is being filled, so that the record belongs
    /// there.
    async fn create_in_old(
        &self,
        id: &SessionId,
        record: &Record,
        ttl: Duration,
    ) -> Result<Option<bool>, StoreError> {
        if self.0.is_filling() {
            return Ok(None);
        }
        if !self.0.old.create(id, record, ttl).await? {
            return Ok(Some(false));
        }
        if !self.0.look_whether_filling().await? {
            return Ok(Some(true));
        }
        // Another process may have created it in the new store meanwhile, and has not seen this one. Nobody
        // else knows the id.
        if let Replaced::Done(_) = self.0.old.destroy_if(id, &Stored::from(record.clone())).await? {
            return Ok(None);
        }
        let moved = self.0.get(id).await?;
        Ok(Some(moved.is_some_and(|moved| moved.record.same(record))))
    }
}

impl SessionStore for Moving {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.0.get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            let is_done = match self.0.locate(id).await {
                Ok(Place::Nowhere) => self.create(id, record, ttl).await?,
                Ok(Place::New(stored)) => is_done(&self.0.new.replace(id, &stored, record, ttl).await?),
                Ok(Place::Old(stored)) => {
                    let is_done = is_done(&self.0.old.replace(id, &stored, record, ttl).await?);
                    if is_done {
                        self.0.wrote_to_old(id, ttl).await?;
                    }
                    is_done
                }
                // What is no record is overwritten.
                Err(error) if error.is_corrupt() => {
                    self.destroy(id).await?;
                    false
                }
                Err(error) => return Err(error),
            };
            if is_done {
                return Ok(());
            }
        }
    }

    /// In the old store first: who fills a placeholder has seen the session there before, so the placeholder
    /// was there, and what became of it goes with the second step.
    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.old.destroy(id).await?;
        self.0.new.destroy(id).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            match self.0.locate(id).await? {
                Place::Nowhere => return Ok(false),
                // By its own touch, the store would extend a placeholder as well.
                Place::New(stored) => {
                    if is_done(&self.0.new.replace(id, &stored, &stored.record, ttl).await?) {
                        return Ok(true);
                    }
                }
                Place::Old(_) => {
                    if self.0.old.touch(id, ttl).await? {
                        self.0.wrote_to_old(id, ttl).await?;
                        return Ok(true);
                    }
                }
            }
        }
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        if let Some(created) = self.create_in_old(id, record, ttl).await? {
            return Ok(created);
        }
        self.0.bring_lists(record).await?;
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            if self.0.get(id).await?.is_some() {
                return Ok(false);
            }
            // Invariant: no process creates a record in the old store, and does not take it back, after this one
            // has seen that there is none.
            if self.0.new.create(id, record, ttl).await? {
                return Ok(true);
            }
        }
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            match self.0.locate(id).await? {
                Place::Nowhere => return Ok(Replaced::Gone),
                Place::New(stored) if !is_expected(&stored, expected) => {
                    return Ok(Replaced::Conflict(stored));
                }
                Place::New(stored) => {
                    if let done @ Replaced::Done(_) = self.0.new.replace(id, &stored, record, ttl).await? {
                        return Ok(done);
                    }
                }
                Place::Old(stored) if !is_expected(&stored, expected) => {
                    return Ok(Replaced::Conflict(plain(stored)));
                }
                Place::Old(stored) => {
                    if is_done(&self.0.old.replace(id, &stored, record, ttl).await?) {
                        self.0.wrote_to_old(id, ttl).await?;
                        return Ok(Replaced::Done(Version::of(record)));
                    }
                }
            }
        }
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            let (side, stored) = match self.0.locate(id).await? {
                Place::Nowhere => return Ok(Replaced::Gone),
                Place::New(stored) if is_expected(&stored, expected) => (&self.0.new, stored),
                Place::Old(stored) if is_expected(&stored, expected) => (&self.0.old, stored),
                Place::New(stored) => return Ok(Replaced::Conflict(stored)),
                Place::Old(stored) => return Ok(Replaced::Conflict(plain(stored))),
            };
            if is_done(&side.destroy_if(id, &stored).await?) {
                return Ok(Replaced::Done(expected.clone()));
            }
        }
    }

    /// Asks both stores.
    async fn check(&self) -> Result<(), StoreError> {
        self.0.old.store.check().await?;
        self.0.new.store.check().await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let mut found = Vec::with_capacity(ids.len());
        let mut missing = Vec::new();
        for (stored, at) in self.0.new.get_many(ids).await?.into_iter().zip(0..) {
            found.push(match self.0.in_new(stored) {
                InNew::Session(stored) => Some(stored),
                InNew::Copy(stored) => Some(plain(stored)),
                InNew::Placeholder(_) | InNew::Nothing => {
                    missing.push(at);
                    None
                }
            });
        }
        let old: Vec<_> = missing.iter().map(|&at: &usize| ids[at].clone()).collect();
        let absent = match old.is_empty() {
            true => Vec::new(),
            false => {
                let old = self.0.old.get_many(&old).await?;
                let mut absent = Vec::new();
                for (at, stored) in missing.into_iter().zip(old) {
                    found[at] = stored.map(plain);
                    if found[at].is_none() {
                        absent.push(at);
                    }
                }
                absent
            }
        };
        // These may have moved between the two looks.
        for at in absent {
            found[at] = match self.0.get(&ids[at]).await {
                Err(error) if error.is_corrupt() => None,
                answer => answer?,
            };
        }
        Ok(found)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        self.0.new.store.users().map(|_| &*self.0 as &dyn UserIndex)
    }

    /// The ends that one of the stores tells. That a session is gone from the old one may mean that it has moved.
    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        let ends = match (self.0.old.store.watch(), self.0.new.store.watch()) {
            (Some(old), Some(new)) => select(old, new).boxed(),
            (old, new) => old.or(new)?,
        };
        let stores = Arc::clone(&self.0);
        let is_over = move |id: SessionId| {
            let stores = Arc::clone(&stores);
            async move { matches!(stores.get(&id).await, Ok(None)).then_some(id) }
        };
        Some(ends.filter_map(is_over).boxed())
    }

    /// Each id once. The old store comes first, so that none is missed that moves meanwhile.
    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        let (old, new) = (self.0.old.store.ids()?, self.0.new.store.ids()?);
        let pages = new.try_chunks(PAGE).map_err(|TryChunksError(_, error)| error);
        let pages = pages.and_then(|ids| self.0.sessions_among(ids));
        let new = pages.map_ok(|ids| stream::iter(ids).map(Ok)).try_flatten();
        let mut seen = HashSet::from([Stores::filling()]);
        Some(old.chain(new).try_filter(move |id| ready(seen.insert(id.clone()))).boxed())
    }
}

fn is_done(answer: &Replaced) -> bool {
    matches!(answer, Replaced::Done(_))
}

impl fmt::Debug for Moving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Moving").field("is_filling", &self.0.is_filling()).finish_non_exhaustive()
    }
}
