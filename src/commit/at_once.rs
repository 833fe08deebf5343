//! Commits that need not wait: where nothing is written, and over the memory store.
//!
//! Most of these are made *in place*, under the lock on the session's state: the record is composed from the changes
//! where they are, the store is asked, and the state takes up the answer. It saves the copies of the changes and of
//! the snapshot that a commit needs which can be dropped, and its future: 300 ns of a write's 1,100.

use std::time::SystemTime;

use crate::commit::decision::{CookieDecision, Trigger, Write};
use crate::commit::execution::Execution;
use crate::commit::guard::SessionGuard;
use crate::commit::steps::{decide_next, guard, record_outcome};
use crate::config::event::SessionEventKind;
use crate::error::SessionError;
use crate::record::Record;
use crate::session::snapshot::Snapshot;
use crate::session::stage::Stage;
use crate::session::state::{CookieAction, State};
use crate::session::view::{Updates, View};
use crate::session::{Session, SessionInner};
use crate::store::loaded::{CompareBy, Expiry};

/// Commits without waiting, which is possible when there is nothing to write or the store is in memory.
/// `None`, when the commit would have to wait: then nothing was written, and
/// [`commit_when_free`](super::commit_when_free) makes the commit.
pub(crate) fn try_commit_now(
    session: &Session,
    trigger: Trigger,
) -> Option<Result<SessionGuard, SessionError>> {
    let inner = session.inner();
    let mut state = session.state();
    // Another commit is running, and this commit's guard needs the cookie that it decides on.
    if state.is_in_flight() {
        return None;
    }
    let (write, cookie) = match decide_next(inner, &state, trigger) {
        None => return Some(guard(inner, &mut state, None)),
        Some((Write::Nothing, CookieDecision::Keep)) => {
            let changes = state.committed_in_place(None);
            let committed = guard(inner, &mut state, None);
            drop(state);
            drop(changes);
            return Some(committed);
        }
        // A change of id takes two writes, and the future below could be dropped between them.
        Some((Write::NewId(_), _)) => return None,
        Some(decided) => decided,
    };
    let config = inner.config.inner();
    if write == Write::Create && state.id().is_none() {
        // `genid` is the program's own code and must not run under the state's lock.
        state.choose_id(config.random_id()?);
    }
    let _lock = inner.commit_lock.try_lock().ok()?;
    if let Some(now) = write_in_place(inner, &mut state, write) {
        let cookie_action = (cookie == CookieDecision::Set).then_some(CookieAction::Set);
        if cookie_action.is_some() {
            state.request_cookie = state.request_cookie.set();
        }
        let changes = state.committed_in_place(cookie_action);
        let committed = guard(inner, &mut state, Some(now));
        let created = (write == Write::Create && config.is_watched()).then(|| state.id().cloned());
        drop(state);
        drop(changes);
        if let Some(id) = created {
            config.tell(SessionEventKind::Created, id.as_ref(), None);
        }
        return Some(committed);
    }
    // The commit begins inside the future, because the future is dropped before its first poll unless the
    // store is in memory.
    //
    // Invariant: a future that is dropped after its first poll has written nothing. With the memory store
    // only a `replace` waits, and only after a conflict.
    let mut execution = None;
    let outcome = config.store.now_or_never(async {
        let execution = execution.insert(Execution::new(&inner.config, &mut state, inner.transport));
        drop(state);
        execution.run(write).await
    })?;
    // Invariant: a future that has completed has begun the commit.
    debug_assert!(execution.is_some(), "a commit without a beginning");
    Some(record_outcome(session, (write, cookie), outcome, &mut execution?))
}

/// Makes the write in the memory store and in the state. Returns when it began. `None`: nothing was written, and the
/// commit needs more than one call that succeeds at once.
fn write_in_place(session: &SessionInner, state: &mut State, write: Write) -> Option<SystemTime> {
    let config = session.config.inner();
    // Users' lists need calls of their own, and closures must not run under the state's lock.
    if !config.store.is_memory() || state.log.changes_metadata() || !state.log.updates_hold() {
        return None;
    }
    let now = config.clock.now();
    let State { stage, log, .. } = state;
    let compose = |base: Option<&Record>| {
        let template = config.templates.get(session.transport);
        let born = config.policy.absolute_timeout.map(|_| now);
        let draft = View { base, log }.replay(template, config.policy.max_age, born, Updates::Hold).ok()?;
        let record = draft.compose(now);
        config.policy.check_size(&record).ok()?;
        Some(record)
    };
    match (write, stage) {
        (Write::Replace { .. }, Stage::Existing(snapshot)) => {
            let record = compose(Some(&snapshot.record))?;
            let ttl = config.policy.ttl(record.max_age());
            if !config.store.replace_at_once(&snapshot.id, &snapshot.record, &record, ttl) {
                return None;
            }
            snapshot.record = record;
            snapshot.expires = Expiry::Wall(now).after(ttl);
        }
        (Write::Touch, Stage::Existing(snapshot)) => {
            let ttl = config.policy.ttl(snapshot.record.max_age());
            if !config.store.touch_at_once(&snapshot.id, ttl) {
                return None;
            }
            snapshot.expires = Expiry::Wall(now).after(ttl);
        }
        (Write::Create, Stage::New { id: Some(id) }) => {
            let record = compose(None)?;
            let ttl = config.policy.ttl(record.max_age());
            if !config.store.create_at_once(id, &record, ttl) {
                return None;
            }
            let (id, expires) = (id.clone(), Expiry::Wall(now).after(ttl));
            let (signature, compare_by) = (None, CompareBy::Record);
            state.created_in_place(Snapshot { id, signature, record, compare_by, expires });
        }
        _ => return None,
    }
    Some(now)
}
