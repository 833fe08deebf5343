//! [`Told`]: what a commit tells the program of, once it is over.

use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::commit::decision::Write;
use crate::commit::execution::{CommitOutcome, Execution};
use crate::config::ConfigInner;
use crate::config::event::{EndReason, RefusalReason, SessionEventKind};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::metadata::Metadata;
use crate::session::snapshot::Snapshot;
use crate::session::stage::NewId;

/// What has happened in a commit, in its order.
#[derive(Default)]
pub(crate) struct Told(SmallVec<[Happened; 2]>);

struct Happened {
    kind: SessionEventKind,
    id: Option<SessionId>,
    old_id: Option<SessionId>,
    user: Option<SmolStr>,
}

impl Told {
    pub(crate) fn of(
        write: Write,
        outcome: &Result<CommitOutcome, SessionError>,
        execution: &Execution<'_>,
    ) -> Self {
        let mut told = Self::default();
        if !execution.config.is_watched() {
            return told;
        }
        let old = execution.before.as_deref();
        let old_id = old.map(|(id, _)| id.clone());
        let of_old = |kind| Happened {
            kind,
            id: old_id.clone(),
            old_id: None,
            user: old.and_then(|(_, record)| Metadata::of(record).user),
        };
        let ended = |reason| of_old(SessionEventKind::Ended { reason, sessions: 1 });
        if execution.conflicts > 0 {
            told.0.push(of_old(SessionEventKind::Conflict { retries: execution.conflicts }));
        }
        match (write, outcome) {
            (_, Err(error)) => told.0.push(of_old(SessionEventKind::Refused(refusal(error)))),
            (Write::Create, Ok(CommitOutcome::Written(new))) => told.created(new, None, execution),
            (Write::NewId(NewId::Cycle), Ok(CommitOutcome::Written(new))) => {
                told.created(new, old_id, execution);
            }
            (Write::NewId(how), Ok(CommitOutcome::Written(new))) => {
                let reason = match how {
                    NewId::AfterDestroy => EndReason::Destroyed,
                    NewId::Regenerate | NewId::Cycle => EndReason::Regenerated,
                };
                told.0.extend(old.is_some().then(|| ended(reason)));
                told.created(new, None, execution);
            }
            (Write::Destroy, Ok(_)) => told.0.extend(old.is_some().then(|| ended(EndReason::Destroyed))),
            (_, Ok(CommitOutcome::Gone)) => {
                told.0.push(of_old(SessionEventKind::Refused(RefusalReason::Gone)));
            }
            (_, Ok(_)) => {}
        }
        told
    }

    /// A record was stored under a new id, and perhaps a user has logged in with it.
    fn created(&mut self, new: &Snapshot, old_id: Option<SessionId>, execution: &Execution<'_>) {
        let kind = match old_id {
            None => SessionEventKind::Created,
            Some(_) => SessionEventKind::IdChanged,
        };
        let user = Metadata::of(&new.record).user;
        self.0.push(Happened { kind, id: Some(new.id.clone()), old_id, user: user.clone() });
        if execution.changes.log_in() {
            let kind = SessionEventKind::LoggedIn;
            self.0.push(Happened { kind, id: Some(new.id.clone()), old_id: None, user });
        }
    }

    /// Calls the program's function. No lock of the session may be held.
    pub(crate) fn tell(self, config: &ConfigInner) {
        for Happened { kind, id, old_id, user } in self.0 {
            config.tell_of(kind, id.as_ref(), old_id.as_ref(), user.as_deref());
        }
    }
}

fn refusal(error: &SessionError) -> RefusalReason {
    match error {
        SessionError::Gone => RefusalReason::Gone,
        SessionError::Conflict => RefusalReason::Conflict,
        SessionError::TooManySessions => RefusalReason::TooManySessions,
        _ => RefusalReason::Failed,
    }
}
