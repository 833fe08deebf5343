//! What happens to sessions, and how long the store takes, through the `metrics` facade.

use std::time::Duration;

use crate::config::event::SessionEventKind;

/// How often each thing has happened to sessions; an end of several sessions counts each of them.
const EVENTS: &str = "sessile_events_total";
/// How long a load or a commit has waited for the store.
const STORE: &str = "sessile_store_seconds";

pub(super) fn count(kind: SessionEventKind) {
    let times = match kind {
        SessionEventKind::Ended { sessions, .. } => u64::try_from(sessions).unwrap_or(u64::MAX),
        SessionEventKind::Conflict { retries } => retries.into(),
        _ => 1,
    };
    let (event, reason) = (kind.name(), kind.reason().unwrap_or("none"));
    metrics::counter!(EVENTS, "event" => event, "reason" => reason).increment(times);
}

pub(super) fn waited(call: &'static str, time: Duration) {
    metrics::histogram!(STORE, "call" => call).record(time);
}
