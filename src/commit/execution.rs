//! [`Execution`]: makes a commit's calls to the store.

use std::time::Duration;

use crate::commit::changes::Changes;
use crate::commit::decision::Write;
use crate::commit::leaving::{leave_lists, log_out};
use crate::config::{ConfigInner, SessionConfig};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Metadata;
use crate::request::Transport;
use crate::session::snapshot::Snapshot;
use crate::session::stage::{PendingId, Removal, Stage, Unfinished};
use crate::session::state::State;
use crate::store::joint::Sent;

/// How many times a write is attempted while other requests keep writing the record first. 64 attempts are
/// enough for 200 parallel updates of one key (the check `no_update_is_lost` of the feature `testing`).
pub(super) const ATTEMPTS: u32 = 64;

/// A running commit: a copy of the session's state at its start, so that no lock on the state is held while
/// the store works.
pub(crate) struct Execution<'c> {
    pub(super) config: &'c ConfigInner,
    /// The same, for work that outlives the commit.
    pub(super) shared_config: &'c SessionConfig,
    /// The changes to write.
    pub(super) changes: Changes,
    /// The id of the new record.
    ///
    /// Invariant: a commit that stores a record under a new id has one.
    pub(super) id: Option<SessionId>,
    /// What the next commit of this request goes on with if this one fails or is dropped now.
    pub(crate) unfinished: Unfinished,
    /// Whether the session's state has taken up the outcome.
    pub(super) is_over: bool,
    /// The record in the store: the one to write to, or the old one when the id changes.
    pub(super) snapshot: Option<Snapshot>,
    /// What the store has of the changes, once this commit has begun to write over a record. A commit that is dropped in
    /// what comes after that write leaves it to the next one.
    pub(super) sent: Option<Sent>,
    /// New records that earlier commits of this request have left, for this one to remove.
    pub(super) left_behind: Vec<SessionId>,
    /// The session that the commit begins with, if anybody wants to know what happens.
    pub(super) before: Option<Box<(SessionId, Record)>>,
    /// How often another request had written the record first.
    pub(super) conflicts: u32,
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
    pub(crate) fn new(config: &'c SessionConfig, state: &mut State, transport: Transport) -> Self {
        let (shared_config, config) = (config, config.inner());
        let snapshot = match &state.stage {
            Stage::New { .. } => None,
            Stage::Existing(snapshot) => Some(snapshot.clone()),
            Stage::NewId { replaces: old, .. } | Stage::Destroyed { stored: old, .. } => {
                old.as_deref().cloned()
            }
        };
        let (pending, removal) = match &state.stage {
            Stage::New { id } => (PendingId::chosen(id.clone()), Removal::NotAsked),
            Stage::NewId { id, removal, .. } => (id.clone(), removal.clone()),
            Stage::Existing(_) | Stage::Destroyed { .. } => (PendingId::NotChosen, Removal::NotAsked),
        };
        let before = snapshot.as_ref().filter(|_| config.is_watched());
        let before = before.map(|old| Box::new((old.id.clone(), old.record.clone())));
        let unanswered = state.unanswered().to_vec();
        let left_behind = state.left_behind.clone();
        let (log, now) = (state.begin_commit(), config.clock.now());
        Self {
            config,
            shared_config,
            changes: Changes { log, whole_log: None, unanswered, transport, now },
            id: pending.get().cloned(),
            unfinished: Unfinished { id: pending, removal },
            is_over: false,
            before,
            conflicts: 0,
            snapshot,
            sent: None,
            left_behind,
        }
    }

    /// Makes the calls to the store that the decision asks for.
    pub(crate) async fn run(&mut self, write: Write) -> Result<CommitOutcome, SessionError> {
        if !self.left_behind.is_empty() && matches!(write, Write::Destroy | Write::NewId(_)) {
            Box::pin(self.remove_left_behind()).await?;
        }
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
                let before = self.changes.log.changes_metadata().then(|| snapshot.clone());
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
                    CommitOutcome::Touched(snapshot.extended(self.changes.now, ttl))
                } else {
                    CommitOutcome::Gone
                })
            }
            (Write::Destroy, None) => Ok(CommitOutcome::Nothing),
            (Write::Replace { .. } | Write::Touch, None) => {
                // Invariant: `decide` asks for these writes only when the stage has a snapshot.
                debug_assert!(false, "a write to a record that is not in the store");
                Ok(CommitOutcome::Nothing)
            }
        }
    }

    /// The record to be stored: the changes of this request, applied to `base`.
    pub(super) fn compose(&self, base: Option<&Record>) -> Result<Record, SessionError> {
        self.changes.compose(self.config, base)
    }

    /// What the store may have of this commit, if it was asked to write over a record and did not answer.
    pub(crate) fn take_sent(&mut self) -> Option<Sent> {
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
