//! [`Stage`]: where a session stands between the request and the store, and how far its changes are committed.

use crate::id::SessionId;
use crate::record::Record;
use crate::session::snapshot::Snapshot;

/// Where a session stands between the request and the store.
///
/// A session begins as `New`. The legal transitions, each with the method of [`State`](super::state::State)
/// that makes it:
///
/// - `New` → `Existing`: `loaded`, when the request's cookie names a record in the store; `finish_write`,
///   when the commit has created the record.
/// - `New`, `Existing` → `NewId`: `change_id`. `replaces` is the existing session's snapshot, if there is
///   one.
/// - `NewId` → `NewId`: `change_id`. Another id takes the place of the unused one, `replaces` stays, and
///   `AfterDestroy` prevails over `Regenerate`, and that over `Cycle`. An id that is `Stored` stays where `Cycle`
///   meets `Cycle`; otherwise its record is left to the next commit, to be removed. `leave`, when a commit has failed
///   or was dropped: the id is `Stored` from then on if the new record is, and `NotChosen` if nobody can tell.
/// - `New` → `New`: `leave`, likewise.
/// - `NewId` → `Existing`: `finish_write`, when the commit has stored the record under the new id;
///   `reloaded`, which drops the change of id.
/// - `Existing` → `Existing`: `finish_write` and `expiry_extended`, when the commit has replaced or touched
///   the record; `reloaded`, when the record was read again.
/// - `New`, `Existing`, `NewId` → `Destroyed`: `mark_destroyed`; `keep_ending`, when a request that has
///   regenerated an existing session fails. `stored` is the existing session's snapshot, if there is one.
/// - `Destroyed` → `Destroyed`: the commit that has removed the record clears `stored`. `change_id` and
///   `mark_destroyed` do nothing, and `Session::reload` refuses.
/// - `Destroyed` → `NewId`: `push`, when something is written or flashed. The session begins anew, without
///   data, and the next commit still removes the old record.
///
/// Another handle may change the stage while a commit runs. `finish_write` then keeps the new stage, and puts
/// the snapshot of what was written into `replaces` or `stored`, so that the next commit removes that record.
///
/// Use these methods to change the stage, and over the memory store `created_in_place`. `adopted` sets it for a session of
/// another library. `record_destroyed` notes that the commit has removed what a `Destroyed` or `NewId` has stored.
pub(crate) enum Stage {
    /// The session is not in the store. Its id is generated when it is first needed.
    New { id: Option<SessionId> },
    /// The session is in the store.
    Existing(Snapshot),
    /// The next commit stores the session under a new id, and removes the record that it `replaces`.
    NewId { id: PendingId, replaces: Option<Box<Snapshot>>, how: NewId, removal: Removal },
    /// The next commit removes the record, if the session is in the store. `next_id` is the id of the session
    /// that a later write would begin, once somebody has asked for it.
    Destroyed { stored: Option<Box<Snapshot>>, next_id: Option<SessionId> },
}

/// The new id of a session that gets one.
#[derive(Clone)]
pub(crate) enum PendingId {
    /// The id is generated when it is first needed.
    NotChosen,
    /// The id is known, and nothing is stored under it.
    Chosen(SessionId),
    /// An earlier commit of this request has stored the new record under this id, and then failed. The id was
    /// never sent, so no other request knows it.
    Stored(SessionId),
}

/// Whether a commit has asked for the removal of the record that a new id replaces.
#[derive(Clone)]
pub(crate) enum Removal {
    /// No commit has, or the store has answered since that the record is there.
    NotAsked,
    /// An earlier commit of this request has, and got no answer: if the record is gone, nobody can tell whether
    /// that commit or another request has removed it.
    Unanswered,
    /// An earlier commit of this request has removed it, and failed afterwards. This is what it held: the new record has
    /// it, so the next commit makes its changes to it.
    Done(Box<Record>),
}

/// What a commit that fails, or is dropped, leaves to the next one.
pub(crate) struct Unfinished {
    /// `NotChosen`, where the store was asked to write the new record and has not answered. It may still do so
    /// when the session has long ended, so another commit takes another id, and nobody ever learns this one.
    pub(crate) id: PendingId,
    pub(crate) removal: Removal,
}

impl PendingId {
    pub(crate) fn get(&self) -> Option<&SessionId> {
        match self {
            Self::NotChosen => None,
            Self::Chosen(id) | Self::Stored(id) => Some(id),
        }
    }

    pub(crate) fn chosen(id: Option<SessionId>) -> Self {
        id.map_or(Self::NotChosen, Self::Chosen)
    }
}

/// What a session under a new id keeps of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewId {
    /// Nothing: `regenerate()`.
    Regenerate,
    /// Nothing: the session was destroyed, and then something was written, which begins a new one.
    AfterDestroy,
    /// Everything: `cycle_id()`.
    Cycle,
}

/// How far the changes of this request have been committed.
///
/// The transitions:
///
/// - any → `Pending`: the session is changed or touched (`push`, `change_id`, `mark_destroyed`,
///   `Session::touch`).
/// - any → `Running`: a commit begins (`begin_commit`).
/// - `Running` → `Done`: the commit is complete (`end_commit`). Where another handle made a change meanwhile,
///   the state is `Pending`, and stays so.
/// - any → `Done`: a commit that has nothing to write, or that was made in place (`committed_in_place`).
/// - any → `Failed`: the commit returned an error (`failed`).
/// - any but `Done` → `Failed`: the layer gives the changes up after a server error.
///
/// A commit that is dropped before its end leaves `Running` behind, and the next commit starts from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// There may be changes that no commit has taken up yet.
    Pending,
    /// A commit is running, or was dropped before its end. No change was made since it began.
    Running,
    /// The last commit failed and its caller has the error, or the layer has given the changes up. Dropping
    /// the session then logs no warning about lost changes.
    Failed,
    /// The last commit is complete, and no change was made since it began.
    Done,
}
