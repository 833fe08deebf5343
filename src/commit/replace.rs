//! How a commit writes to the record of an existing session, and retries where another request has written it
//! first.
//!
//! The memory store is asked at once. Over any other store the commit takes the record's lock, and then writes
//! the changes of all who have come to wait for the lock together with its own: see
//! [`joint`](crate::store::joint) for what they are promised. So a commit waits for two writes at most, the one
//! that is under way and its own, however many requests write to the session; other processes can make it
//! wait longer.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::commit::changes::Changes;
use crate::commit::execution::{ATTEMPTS, Execution, backoff};
use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::record::Record;
use crate::session::snapshot::Snapshot;
use crate::store::exclusive::WriteError;
use crate::store::joint::{ChangeList, Fate, LastWritten, Member, Outcome, Sent};
use crate::store::keyed_locks::{Joined, NoTurn, RecordLock, Turn};
use crate::store::loaded::{CompareBy, Loaded, ReplaceOutcome};
use crate::store::run_to_end::run_to_end;

/// How many requests at most write together with one, and how many bytes they compose at most, so that this
/// takes a few milliseconds of the thread.
const MOST_TOGETHER: usize = 64;
const MOST_COMPOSED: usize = 4 << 20;

impl Execution<'_> {
    /// Writes the changes to the existing record. After a conflict they are applied to the record that the
    /// other request has written, and the write is retried.
    pub(super) async fn replace(&mut self, snapshot: Snapshot) -> Result<Snapshot, SessionError> {
        if self.config.store.is_locked_to_write() {
            // Boxed, so that the future of a commit to the memory store stays small.
            Box::pin(self.replace_together(snapshot)).await
        } else {
            self.replace_in_memory(snapshot).await
        }
    }

    async fn replace_in_memory(&mut self, mut snapshot: Snapshot) -> Result<Snapshot, SessionError> {
        let store = &self.config.store;
        let mut lock: Option<RecordLock> = None;
        for attempt in 0..ATTEMPTS {
            let record = self.compose(Some(&snapshot.record))?;
            let ttl = self.config.policy.ttl(record.max_age());
            let base = (&snapshot.record, &snapshot.compare_by);
            match store.replace(&mut lock, &snapshot.id, base, &record, ttl).await? {
                ReplaceOutcome::Done(version) => {
                    snapshot.rewritten(record, version);
                    if let Some(lock) = &mut lock {
                        lock.hand_on(Some(snapshot.last_written()));
                    }
                    return Ok(snapshot.extended(self.changes.now, ttl));
                }
                ReplaceOutcome::Gone => {
                    if let Some(lock) = &mut lock {
                        lock.hand_on(None);
                    }
                    return Err(SessionError::Gone);
                }
                ReplaceOutcome::Conflict(fresh) => {
                    self.conflicts += 1;
                    snapshot.refresh(fresh);
                }
            }
            match &lock {
                // From here on the requests that have met a conflict write one after the other.
                None => {
                    let locked = store.lock(&snapshot.id).await?;
                    if let Some(last) = locked.last_written() {
                        snapshot.continue_from(last.clone());
                    }
                    lock = Some(locked);
                }
                // A request without the lock was faster, and against those only waiting helps. After a wait the
                // record at hand is stale, so every other attempt follows its conflict at once.
                Some(_) if attempt % 2 == 0 => backoff(attempt).await,
                Some(_) => {}
            }
        }
        Err(SessionError::Conflict)
    }

    async fn replace_together(&mut self, mut snapshot: Snapshot) -> Result<Snapshot, SessionError> {
        let sent = self.sent.insert(Sent::default()).clone();
        let changes =
            Box::new(OwnedChanges { config: self.shared_config.clone(), changes: self.changes.take() });
        let turn = self.config.store.join(&snapshot.id, Member { changes, sent }).await?;
        let mut turn = match turn {
            // What panics in another request's task need not panic in its own.
            Turn::Over(Outcome::Panicked(member, _), _) => {
                Turn::Lock(self.config.store.lock(&snapshot.id).await?, member)
            }
            turn => turn,
        };
        if let Turn::Lock(lock, member) = turn {
            let (own, mut answer) = Joined::new(member);
            let write = Write::new(self.shared_config.clone(), snapshot.clone(), own);
            run_to_end(write.run(lock)).await;
            turn = answer.try_recv().map_err(|_| WriteError::from(NoTurn::Lost))?;
        }
        let (outcome, conflicts) = match turn {
            Turn::Over(outcome, conflicts) => (outcome, conflicts),
            // Invariant: a write answers with the outcome.
            Turn::Lock(..) => return Err(SessionError::Conflict),
        };
        self.conflicts += conflicts;
        match outcome {
            Outcome::Written(written) => {
                let ttl = self.config.policy.ttl(written.record.max_age());
                snapshot.continue_from(written);
                Ok(snapshot.extended(self.changes.now, ttl))
            }
            Outcome::Failed(error) => Err(error),
            Outcome::Panicked(_, payload) => resume_unwind(payload),
        }
    }
}

/// The changes of a commit that others may write.
struct OwnedChanges {
    config: SessionConfig,
    changes: Changes,
}

impl ChangeList for OwnedChanges {
    fn recognise(&mut self, stored: &Record) {
        self.changes.recognise(stored);
    }

    fn compose(&self, base: &Record) -> Result<Record, SessionError> {
        self.changes.compose(self.config.inner(), Some(base))
    }
}

/// A write of several requests' changes to one record.
struct Write {
    config: SessionConfig,
    /// The record in the store, as far as it is known.
    base: Snapshot,
    /// Those whose changes are written, in the order in which they are made.
    parts: Vec<Part>,
}

struct Part {
    joined: Joined,
    /// The record with the changes of this request and of those before it.
    composed: Result<Record, SessionError>,
    /// How often another process had written the record first.
    conflicts: u32,
}

impl Part {
    fn new(joined: Joined, base: &Record) -> Self {
        Self { joined, composed: Ok(base.clone()), conflicts: 0 }
    }

    fn note(&self, fate: Fate) {
        self.joined.member.sent.note(fate);
    }

    fn fail(self, error: SessionError) {
        self.joined.answer(Outcome::Failed(error), self.conflicts);
    }
}

impl Write {
    fn new(config: SessionConfig, base: Snapshot, first: Joined) -> Self {
        let first = Part::new(first, &base.record);
        Self { config, base, parts: vec![first] }
    }

    /// Writes, and answers each request that takes part.
    async fn run(mut self, lock: RecordLock) {
        if let Some(last) = lock.last_written() {
            self.base.continue_from(last.clone());
        }
        // Whether the record at hand is older than the commit of one who takes part.
        let mut is_older = lock.last_written().is_some();
        let mut lock = Some(lock);
        for attempt in 0..ATTEMPTS {
            // Those who join have half of the attempts at least.
            if let Some(lock) = lock.as_ref().filter(|_| attempt < ATTEMPTS / 2) {
                is_older |= self.take_in(lock);
            }
            // After that: whoever was dropped, and has joined once more with the same changes, is not here twice.
            self.parts.retain(|part| !part.joined.is_gone());
            let Some(record) = self.compose() else {
                if !std::mem::take(&mut is_older) || self.parts.is_empty() {
                    return self.answer_unwritten();
                }
                // Another process may have removed the record since. Then nothing is wrong with the changes that cannot
                // be made to it.
                match self.look_again().await {
                    Ok(true) => continue,
                    Ok(false) => {
                        if let Some(lock) = &mut lock {
                            lock.hand_on(None);
                        }
                        return self.fail_all(|| SessionError::Gone);
                    }
                    Err(error) => return self.answer_failed(error),
                }
            };
            let composed = self.parts.iter().filter(|part| part.composed.is_ok());
            composed.for_each(|part| part.note(Fate::Unanswered(record.clone())));
            let ttl = self.config.inner().policy.ttl(record.max_age());
            let base = (&self.base.record, &self.base.compare_by);
            let store = &self.config.inner().store;
            match store.replace(&mut lock, &self.base.id, base, &record, ttl).await {
                Ok(ReplaceOutcome::Done(version)) => {
                    self.base.rewritten(record, version);
                    if let Some(lock) = &mut lock {
                        lock.hand_on(Some(self.base.last_written()));
                    }
                    return self.answer_written();
                }
                Ok(ReplaceOutcome::Gone) => {
                    if let Some(lock) = &mut lock {
                        lock.hand_on(None);
                    }
                    return self.fail_all(|| SessionError::Gone);
                }
                Ok(ReplaceOutcome::Conflict(fresh)) => self.base.refresh(fresh),
                // Nobody knows whether a store that failed has carried it out.
                Err(error) => return self.answer_failed(error),
            }
            for part in &mut self.parts {
                part.note(Fate::NotWritten);
                part.conflicts += 1;
            }
            // Another process was faster, and against other processes only waiting helps. After a wait the
            // record at hand is stale if that process is busy, so every other attempt follows its conflict
            // at once.
            if attempt % 2 == 0 {
                backoff(attempt).await;
            }
        }
        self.fail_all(|| SessionError::Conflict);
    }

    /// Takes up the record that the store has. `false`: there is none.
    async fn look_again(&mut self) -> Result<bool, WriteError> {
        let config = self.config.inner();
        let stored = config.store.get_again(&self.base.id, &config.clock).await?;
        let is_there = stored.is_some();
        if let Some(Loaded { record, compare_by, .. }) = stored {
            self.base.continue_from(LastWritten { record, compare_by });
        }
        Ok(is_there)
    }

    /// Takes in the requests that wait for the lock. Returns whether there are any.
    fn take_in(&mut self, lock: &RecordLock) -> bool {
        let most = (MOST_COMPOSED / self.base.record.as_bytes().len().max(1)).clamp(1, MOST_TOGETHER);
        let waiting = lock.take_waiting(most.saturating_sub(self.parts.len()));
        let base = &self.base.record;
        let before = self.parts.len();
        self.parts.extend(waiting.into_iter().map(|new| Part::new(new, base)));
        self.parts.len() > before
    }

    /// Applies the changes of all, one after the other. `None`: there are none to write.
    fn compose(&mut self) -> Option<Record> {
        let mut record = None;
        for mut part in std::mem::take(&mut self.parts) {
            let changes = &mut part.joined.member.changes;
            changes.recognise(&self.base.record);
            let base = record.as_ref().unwrap_or(&self.base.record);
            // The changes are not looked at again if this panics, but given back to their request.
            match catch_unwind(AssertUnwindSafe(|| changes.compose(base))) {
                Ok(composed) => {
                    if let Ok(composed) = &composed {
                        record = Some(composed.clone());
                    }
                    self.parts.push(Part { composed, ..part });
                }
                Err(payload) => part.joined.panicked(payload),
            }
        }
        record
    }

    /// The last of those whose changes were made knows the version of the record that was written. For the
    /// others the session is what they have made it, and what came after counts as another request's write.
    fn answer_written(self) {
        let last = self.parts.iter().rposition(|part| part.composed.is_ok());
        for (place, part) in self.parts.into_iter().enumerate() {
            let compare_by =
                if Some(place) == last { self.base.compare_by.clone() } else { CompareBy::Nothing };
            match part.composed {
                Ok(record) => {
                    part.joined.member.sent.note(Fate::Written);
                    part.joined.answer(Outcome::Written(LastWritten { record, compare_by }), part.conflicts);
                }
                Err(error) => part.joined.answer(Outcome::Failed(error), part.conflicts),
            }
        }
    }

    /// All have failed before the store was asked.
    fn answer_unwritten(self) {
        for part in self.parts {
            let error = part.composed.err().unwrap_or(SessionError::Conflict);
            part.joined.answer(Outcome::Failed(error), part.conflicts);
        }
    }

    /// The store was not reached, or has failed.
    fn answer_failed(self, error: WriteError) {
        match error {
            WriteError::Busy => self.fail_all(|| SessionError::Conflict),
            WriteError::Store(error) => {
                self.parts.into_iter().for_each(|part| part.fail(error.share().into()));
            }
        }
    }

    /// Nothing was written.
    fn fail_all(self, error: impl Fn() -> SessionError) {
        for part in self.parts {
            part.note(Fate::NotWritten);
            part.fail(error());
        }
    }
}
