//! [`Execution`]: makes a commit's calls to the store, and retries where another request has written the
//! record first.

use std::time::{Duration, SystemTime};

use crate::commit::decision::Write;
use crate::commit::leaving::{leave_lists, log_out};
use crate::config::ConfigInner;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::request::Transport;
use crate::session::change::Log;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{PendingId, Stage};
use crate::session::state::{Attempt, State};
use crate::session::view::View;
use crate::store::keyed_locks::LastWritten;
use crate::store::loaded::ReplaceOutcome;

/// How many times a write is attempted while other requests keep writing the record first. 64 attempts are
/// enough for 200 parallel updates of one key (the check `no_update_is_lost` of the feature `testing`).
pub(super) const ATTEMPTS: u32 = 64;

/// A running commit: a copy of the session's state at its start, so that no lock on the state is held while
/// the store works.
pub(crate) struct Execution<'c> {
    pub(super) config: &'c ConfigInner,
    /// The changes to write.
    pub(super) log: Log,
    /// The id of the new record.
    ///
    /// Invariant: a commit that stores a record under a new id has one.
    pub(super) id: Option<SessionId>,
    /// The id under which this commit, or an earlier one of this request that failed, has stored the new
    /// record of a session that changes its id. The id was never sent, so no other request knows the record.
    pub(crate) stored_id: Option<SessionId>,
    /// Whether an earlier commit of this request has failed at removing the old record, so that nobody can
    /// tell whether that commit or another request has removed it.
    pub(super) removal_failed: bool,
    /// The record in the store: the one to write to, or the old one when the id changes.
    pub(super) snapshot: Option<Snapshot>,
    transport: Transport,
    /// The writes of earlier commits of this request that got no answer, as far as their changes are in
    /// `log`.
    unanswered: Vec<Attempt>,
    /// The changes as they were when some of them were found in the store. A record that is composed over
    /// nothing has all of them.
    whole_log: Option<Log>,
    /// The record that this commit has sent to the store, until the store answers.
    sent: Option<Record>,
    /// The session that the commit begins with, if anybody wants to know what happens.
    pub(super) before: Option<Box<(SessionId, Record)>>,
    /// How often another request had written the record first.
    pub(super) conflicts: u32,
    /// When the commit began. The new expiry counts from here.
    pub(crate) now: SystemTime,
}

/// What a commit has done in the store.
pub(crate) enum CommitOutcome {
    /// No record was written or touched.
    Nothing,
    /// The record was to be extended, and is gone. The request had no change to lose.
    Gone,
    Written(Snapshot),
    Touched(Snapshot),
}

impl<'c> Execution<'c> {
    /// Begins the commit in `state`, and copies from it what the calls to the store need.
    pub(crate) fn new(config: &'c ConfigInner, state: &mut State, transport: Transport) -> Self {
        let snapshot = match &state.stage {
            Stage::New { .. } => None,
            Stage::Existing(snapshot) => Some(snapshot.clone()),
            Stage::NewId { replaces: old, .. } | Stage::Destroyed { stored: old, .. } => {
                old.as_deref().cloned()
            }
        };
        let (id, stored_id) = match &state.stage {
            Stage::New { id } => (id.clone(), None),
            Stage::NewId { id: PendingId::Stored(id), .. } => (Some(id.clone()), Some(id.clone())),
            Stage::NewId { id: PendingId::Chosen(id), .. } => (Some(id.clone()), None),
            Stage::NewId { id: PendingId::NotChosen, .. } | Stage::Existing(_) | Stage::Destroyed { .. } => {
                (None, None)
            }
        };
        let before = snapshot.as_ref().filter(|_| config.is_watched());
        let before = before.map(|old| Box::new((old.id.clone(), old.record.clone())));
        let removal_failed = stored_id.is_some();
        let unanswered = state.unanswered().to_vec();
        let (log, now) = (state.begin_commit(), config.clock.now());
        Self {
            config,
            log,
            id,
            stored_id,
            removal_failed,
            before,
            conflicts: 0,
            snapshot,
            transport,
            unanswered,
            whole_log: None,
            sent: None,
            now,
        }
    }

    /// Makes the calls to the store that the decision asks for.
    pub(crate) async fn run(&mut self, write: Write) -> Result<CommitOutcome, SessionError> {
        match (write, self.snapshot.take()) {
            (Write::Nothing, _) => Ok(CommitOutcome::Nothing),
            (Write::Create, _) => self.begin().await.map(CommitOutcome::Written),
            // Boxed, as are the calls for users' lists, so that the future of a plain write stays small.
            (Write::NewId(how), from) => {
                Box::pin(self.change_id(how, from)).await.map(CommitOutcome::Written)
            }
            (Write::Destroy, Some(snapshot)) => {
                self.config.store.destroy(&snapshot.id).await?;
                if snapshot.record.metadata().is_some() {
                    Box::pin(log_out(self.config, &snapshot, None)).await;
                }
                Ok(CommitOutcome::Nothing)
            }
            (Write::Replace { modified }, Some(snapshot)) => {
                let before = self.log.changes_metadata().then(|| snapshot.clone());
                match self.replace(snapshot).await {
                    Err(SessionError::Gone) if !modified => Ok(CommitOutcome::Gone),
                    Err(error) => Err(error),
                    Ok(written) => {
                        if let Some(before) = before {
                            let now = Metadata::of(&written.record);
                            Box::pin(leave_lists(self.config, &before, &now)).await;
                        }
                        Ok(CommitOutcome::Written(written))
                    }
                }
            }
            (Write::Touch, Some(snapshot)) => {
                let ttl = self.config.policy.ttl(snapshot.record.max_age());
                let found = self.config.store.touch(&snapshot.id, ttl).await?;
                Ok(if found {
                    CommitOutcome::Touched(snapshot.extended(self.now, ttl))
                } else {
                    CommitOutcome::Gone
                })
            }
            (Write::Destroy | Write::Replace { .. } | Write::Touch, None) => {
                // Invariant: `decide` asks for these writes only when the stage has a snapshot.
                debug_assert!(false, "a write to a record that is not in the store");
                Ok(CommitOutcome::Nothing)
            }
        }
    }

    /// The record to be stored: the changes of this request, applied to `base`.
    pub(super) fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        let log = self.whole_log.as_ref().filter(|_| base.is_none()).unwrap_or(&self.log);
        let born = self.config.policy.absolute_timeout.map(|_| self.now);
        let draft = View { base, log }.replay(
            self.config.templates.get(self.transport),
            self.config.policy.max_age,
            born,
        )?;
        let record = draft.compose(self.now);
        self.config.policy.check_size(&record)?;
        Ok(record)
    }

    /// Writes the changes to the existing record. After a conflict they are applied to the record that the
    /// other request has written, and the write is retried.
    async fn replace(&mut self, mut snapshot: Snapshot) -> Result<Snapshot, SessionError> {
        let store = &self.config.store;
        let mut lock = store.lock_to_write(&snapshot.id).await?;
        if let Some(last) = lock.as_ref().and_then(|lock| lock.last_written()) {
            snapshot.continue_from(last.clone());
            self.recognise(&snapshot);
        }
        for attempt in 0..ATTEMPTS {
            let record = self.compose(Some(&snapshot.record))?;
            let ttl = self.config.policy.ttl(record.max_age());
            let base = (&snapshot.record, &snapshot.compare_by);
            // The memory store, which is asked without a lock at first, always answers.
            self.sent = lock.is_some().then(|| record.clone());
            let answer = store.replace(&mut lock, &snapshot.id, base, &record, ttl).await?;
            self.sent = None;
            match answer {
                ReplaceOutcome::Done(version) => {
                    snapshot.rewritten(record, version);
                    if let Some(lock) = &mut lock {
                        let (record, compare_by) = (snapshot.record.clone(), snapshot.compare_by.clone());
                        lock.hand_on(Some(LastWritten { record, compare_by }));
                    }
                    return Ok(snapshot.extended(self.now, ttl));
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
                    self.recognise(&snapshot);
                }
            }
            match &lock {
                // The memory store was asked without the lock. From here on the requests of this process
                // write one after the other.
                None => {
                    let locked = store.lock(&snapshot.id).await?;
                    if let Some(last) = locked.last_written() {
                        snapshot.continue_from(last.clone());
                    }
                    lock = Some(locked);
                }
                // Another process was faster, and against other processes only waiting helps. After a wait
                // the record at hand is stale if that process is busy, so every other attempt follows its
                // conflict at once.
                Some(_) if attempt % 2 == 0 => backoff(attempt).await,
                Some(_) => {}
            }
        }
        Err(SessionError::Conflict)
    }

    /// Whether a user logs in.
    pub(super) fn logs_in(&self) -> bool {
        self.whole_log.as_ref().unwrap_or(&self.log).login().is_some()
    }

    /// Looks whether the store holds what an earlier commit of this request has sent without an answer. Its
    /// changes are then in the record, and are not made again.
    ///
    /// A record that another request has written over it cannot be told from any other record: changes in it
    /// are made twice.
    pub(super) fn recognise(&mut self, stored: &Snapshot) {
        let mut unanswered = self.unanswered.iter();
        let Some(attempt) = unanswered.find(|attempt| attempt.record.same(&stored.record)) else { return };
        let written = attempt.changes;
        // Invariant: an attempt has at most as many changes as the log, from which both lose the same number.
        debug_assert!(written <= self.log.len());
        self.whole_log.get_or_insert_with(|| self.log.clone());
        self.log.drain(..written.min(self.log.len()));
        self.unanswered.retain_mut(|attempt| attempt.outlast(written));
    }

    /// The record that this commit has sent to the store without an answer.
    pub(crate) fn take_sent(&mut self) -> Option<Record> {
        self.sent.take()
    }
}

/// Waits for a random time before the next attempt, so that requests in different processes do not collide
/// again. After the first three attempts there is no wait; after the fourth it is up to 0.8 ms, and the limit
/// doubles with each attempt up to 51.2 ms.
pub(super) async fn backoff(attempt: u32) {
    if attempt < 3 {
        return;
    }
    let longest = 100 * (1_u64 << attempt.min(9));
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..longest))).await;
}
