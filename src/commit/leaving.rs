//! How a session leaves the lists of its users: by its end, or because nobody is logged in any more.

use crate::commit::membership::Membership;
use crate::config::ConfigInner;
use crate::record::metadata::Metadata;
use crate::session::snapshot::Snapshot;
use crate::store::users::calls::UserLogs;

/// Takes a session out of its users' lists whose record was destroyed, but not out of those in which it moves
/// to a new id. If that fails the entry is dropped later.
pub(super) async fn log_out(config: &ConfigInner, before: &Snapshot, moves: Option<&Membership<'_>>) {
    let metadata = Metadata::of(&before.record);
    let Some(logs) = UserLogs::of(&config.store, &config.clock, config.policy.limits()) else { return };
    for user in metadata.users().filter(|user| !moves.is_some_and(|lists| lists.moves_in(user))) {
        logs.log_out(user, &before.id).await;
    }
}

/// Takes the id of a record that belongs to other users now, or to nobody, out of the lists in which it no
/// longer stands. If that fails the entry is dropped later.
pub(super) async fn leave_lists(config: &ConfigInner, before: &Snapshot, now: &Metadata) {
    let metadata = Metadata::of(&before.record);
    let Some(logs) = UserLogs::of(&config.store, &config.clock, config.policy.limits()) else { return };
    for user in metadata.users().filter(|user| !now.is_of(user)) {
        logs.forget(user, &before.id).await;
    }
}
