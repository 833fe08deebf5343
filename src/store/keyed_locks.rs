//! [`KeyedLocks`]: one lock for each record that is being written, so that the requests of one configuration write to a
//! record one after the other, or [together](super::joint).

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use dashmap::{DashMap, Entry};
use foldhash::quality::RandomState;
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::timeout;

use crate::id::SessionId;
use crate::store::joint::{LastWritten, Member, Outcome, Sent};

/// How long a request waits for a record's lock: twice the time that a store on a server has for one answer,
/// so that a request whose predecessor runs into that timeout still gets its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How long a request waits for whoever writes its changes, once those are on their way to the store: longer than a store
/// takes with all its timeouts. The other one may be a future that its program does not poll any more.
const LONGEST_ANSWER: Duration = Duration::from_secs(60);

type Queues = DashMap<SessionId, VecDeque<Waiter>, RandomState>;

/// The requests that wait for the locks of records, in the order of asking.
///
/// Invariant: a record has a queue here, though it may be empty, exactly as long as its [`RecordLock`] exists.
/// No code of the program runs under the lock of the map: what is dropped is dropped outside of it.
#[derive(Clone, Default)]
pub(crate) struct KeyedLocks(Arc<Queues>);

enum Waiter {
    /// Wants the lock.
    Alone(Sender<RecordLock>),
    /// Wants its changes written, by the lock's holder or as its holder.
    Joins(Joined),
}

/// A request whose changes can be written with those of others, and where it waits for the outcome.
pub(crate) struct Joined {
    pub(crate) member: Member,
    answer: Sender<Turn>,
}

/// What a request gets that has left its changes in the queue.
pub(crate) enum Turn {
    /// The lock. The changes are not written.
    Lock(RecordLock, Member),
    /// Another request has written the changes, or has tried to. The number says how often another process
    /// had written the record first.
    Over(Outcome, u32),
}

/// Why a request has got nothing.
#[derive(Debug)]
pub(crate) enum NoTurn {
    /// The other requests kept the record's lock for longer than a request waits.
    Busy,
    /// The task that wrote for this request has ended without an outcome, because its runtime was shut down or the store
    /// has panicked; or it has told none for [`LONGEST_ANSWER`].
    Lost,
}

/// A held lock. Dropping it lets the next request in, in the order of asking.
pub(crate) struct RecordLock {
    queues: Arc<Queues>,
    id: SessionId,
    /// The record that the lock's last holder has written, if the record has had no pause since. The next
    /// holder applies its changes to this record instead of the older one that it has loaded, and so avoids a
    /// conflict.
    last_written: Option<LastWritten>,
}

impl KeyedLocks {
    /// Waits until no other request holds the lock of this id.
    ///
    /// # Errors
    /// [`NoTurn::Busy`] after [`LONGEST_WAIT`].
    pub(crate) async fn lock(&self, id: &SessionId) -> Result<RecordLock, NoTurn> {
        let waiting = match self.0.entry(id.clone()) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                return Ok(self.first(id));
            }
            Entry::Occupied(mut queue) => {
                let (lock, waiting) = oneshot::channel();
                queue.get_mut().push_back(Waiter::Alone(lock));
                waiting
            }
        };
        let lock = timeout(LONGEST_WAIT, waiting).await.map_err(|_| NoTurn::Busy)?;
        lock.map_err(|_| NoTurn::Busy)
    }

    /// Waits until another request has written the changes of this one, or for the lock.
    ///
    /// # Errors
    /// - [`NoTurn::Busy`] after [`LONGEST_WAIT`]. Nothing was written.
    /// - [`NoTurn::Lost`]. Nobody knows.
    pub(crate) async fn join(&self, id: &SessionId, member: Member) -> Result<Turn, NoTurn> {
        let sent = member.sent.clone();
        let mut waiting = match self.0.entry(id.clone()) {
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                return Ok(Turn::Lock(self.first(id), member));
            }
            Entry::Occupied(mut queue) => {
                let (joined, waiting) = Joined::new(member);
                queue.get_mut().push_back(Waiter::Joins(joined));
                waiting
            }
        };
        let turn = match timeout(LONGEST_WAIT, &mut waiting).await {
            Ok(turn) => turn,
            Err(_) if self.leave(id, &sent) => return Err(NoTurn::Busy),
            // The changes are on their way to the store, which has a timeout of its own.
            Err(_) => timeout(LONGEST_ANSWER, waiting).await.map_err(|_| NoTurn::Lost)?,
        };
        turn.map_err(|_| NoTurn::Lost)
    }

    /// The first lock of a record that has a queue since just now.
    fn first(&self, id: &SessionId) -> RecordLock {
        RecordLock { queues: Arc::clone(&self.0), id: id.clone(), last_written: None }
    }

    /// Takes a request out of the queue again. `false`: it is no longer there.
    fn leave(&self, id: &SessionId, sent: &Sent) -> bool {
        let left = self.0.get_mut(id).and_then(|mut queue| {
            let is_own = |waiter: &Waiter| matches!(waiter, Waiter::Joins(own) if own.member.sent.is(sent));
            let place = queue.iter().position(is_own)?;
            queue.remove(place)
        });
        left.is_some()
    }
}

impl Joined {
    pub(crate) fn new(member: Member) -> (Self, Receiver<Turn>) {
        let (answer, waiting) = oneshot::channel();
        (Self { member, answer }, waiting)
    }

    /// Whether the request was dropped.
    pub(crate) fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    pub(crate) fn answer(self, outcome: Outcome, conflicts: u32) {
        let _ = self.answer.send(Turn::Over(outcome, conflicts));
    }

    /// Gives the request's changes back with what its code has panicked with.
    pub(crate) fn panicked(self, payload: Box<dyn Any + Send>) {
        let _ = self.answer.send(Turn::Over(Outcome::Panicked(self.member, payload), 0));
    }
}

impl RecordLock {
    pub(crate) fn last_written(&self) -> Option<&LastWritten> {
        self.last_written.as_ref()
    }

    /// Hands the record on that this holder has written. `None`: the record is gone.
    pub(crate) fn hand_on(&mut self, written: Option<LastWritten>) {
        self.last_written = written;
    }

    /// Takes requests out of the queue that want their changes written, at most so many. Those that want the
    /// lock for themselves stay.
    pub(crate) fn take_waiting(&self, most: usize) -> Vec<Joined> {
        let mut taken = Vec::new();
        let mut stay = Vec::new();
        let Some(mut queue) = self.queues.get_mut(&self.id) else { return taken };
        while taken.len() < most
            && let Some(waiter) = queue.pop_front()
        {
            match waiter {
                Waiter::Joins(joined) => taken.push(joined),
                Waiter::Alone(_) => stay.push(waiter),
            }
        }
        stay.into_iter().rev().for_each(|waiter| queue.push_front(waiter));
        taken
    }

    /// The first request that waits. If there is none, the lock is free from now on.
    fn next(&self) -> Option<Waiter> {
        // Invariant: the entry is occupied, see `KeyedLocks`.
        let Entry::Occupied(mut queue) = self.queues.entry(self.id.clone()) else { return None };
        let next = queue.get_mut().pop_front();
        if next.is_none() {
            queue.remove();
        }
        next
    }
}

impl Drop for RecordLock {
    fn drop(&mut self) {
        while let Some(next) = self.next() {
            let is_gone = match &next {
                Waiter::Alone(lock) => lock.is_closed(),
                Waiter::Joins(joined) => joined.is_gone(),
            };
            if is_gone {
                continue;
            }
            let (queues, id) = (Arc::clone(&self.queues), self.id.clone());
            let lock = Self { queues, id, last_written: self.last_written.take() };
            // If the request is dropped at this very moment, this drops the lock, which goes on from here.
            match next {
                Waiter::Alone(waiting) => drop(waiting.send(lock)),
                Waiter::Joins(Joined { member, answer }) => drop(answer.send(Turn::Lock(lock, member))),
            }
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;
    use crate::error::SessionError;
    use crate::record::Record;
    use crate::store::joint::{ChangeList, Sent};
    use crate::store::loaded::CompareBy;

    struct Nothing;

    impl ChangeList for Nothing {
        fn recognise(&mut self, _: &Record) {}

        fn compose(&self, base: &Record) -> Result<Record, SessionError> {
            Ok(base.clone())
        }
    }

    fn member() -> Member {
        Member { changes: Box::new(Nothing), sent: Sent::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_lasts_as_long_as_somebody_wants_the_lock() {
        let (locks, id, other) = (KeyedLocks::default(), SessionId::random(), SessionId::random());
        let first = locks.lock(&id).await.unwrap();
        let _other = locks.lock(&other).await.unwrap();
        let mut second = Box::pin(locks.lock(&id));
        let mut third = Box::pin(locks.lock(&id));
        let mut joins = Box::pin(locks.join(&id, member()));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        assert!(poll!(&mut joins).is_pending());
        drop(first);
        let second = second.await.unwrap();
        assert!(poll!(&mut third).is_pending());
        drop(second);
        assert!(poll!(&mut joins).is_pending());
        // The lock was sent to a waiter that gives up, and goes on to the next one.
        drop(third);
        assert!(matches!(joins.await, Ok(Turn::Lock(..))));
        assert_eq!(locks.0.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_ends() {
        let (locks, id) = (KeyedLocks::default(), SessionId::random());
        let held = locks.lock(&id).await.unwrap();
        let began = tokio::time::Instant::now();
        let (alone, joined) = futures_util::join!(locks.lock(&id), locks.join(&id, member()));
        assert!(matches!(alone, Err(NoTurn::Busy)) && matches!(joined, Err(NoTurn::Busy)));
        assert_eq!(began.elapsed().as_secs(), LONGEST_WAIT.as_secs());
        assert!(held.take_waiting(1).is_empty());
    }

    /// Whose changes are on their way to the store waits for the answer, but not for ever.
    #[tokio::test(start_paused = true)]
    async fn the_wait_for_an_answer_outlasts_the_store() {
        let (locks, id) = (KeyedLocks::default(), SessionId::random());
        let held = locks.lock(&id).await.unwrap();
        let mut joins = Box::pin(locks.join(&id, member()));
        let mut alone = Box::pin(locks.lock(&id));
        assert!(poll!(&mut alone).is_pending() && poll!(&mut joins).is_pending());
        let mut taken = held.take_waiting(2);
        assert_eq!(taken.len(), 1, "who wants the lock stays");
        tokio::time::sleep(LONGEST_WAIT * 2).await;
        assert!(poll!(&mut joins).is_pending());
        taken.remove(0).answer(Outcome::Failed(SessionError::Gone), 3);
        assert!(matches!(joins.await, Ok(Turn::Over(Outcome::Failed(SessionError::Gone), 3))));
        // Whoever writes for others and is silent for good leaves nobody waiting, as little as one who ends.
        let silent = Box::pin(locks.join(&id, member()));
        let (silent, taken) = futures_util::join!(silent, async { held.take_waiting(1) });
        assert!(matches!(silent, Err(NoTurn::Lost)) && taken.len() == 1);
        let lost = Box::pin(locks.join(&id, member()));
        let (lost, ()) = futures_util::join!(lost, async { drop(held.take_waiting(1)) });
        assert!(matches!(lost, Err(NoTurn::Lost)));
    }

    #[tokio::test]
    async fn what_was_written_is_handed_on_and_forgotten_with_the_last_waiter() {
        let (locks, id) = (KeyedLocks::default(), SessionId::random());
        let mut first = locks.lock(&id).await.unwrap();
        assert!(first.last_written().is_none());
        let mut second = Box::pin(locks.lock(&id));
        assert!(poll!(&mut second).is_pending());
        first.hand_on(Some(LastWritten { record: Record::default(), compare_by: CompareBy::Record }));
        drop(first);
        let second = second.await.unwrap();
        assert!(second.last_written().is_some());
        drop(second);
        assert!(locks.lock(&id).await.unwrap().last_written().is_none());
    }
}
