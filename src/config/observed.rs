//! A span, and with the feature `metrics` a measured time, for what a request waits for.

#[cfg(feature = "metrics")]
use std::time::Instant;

use tracing::Instrument as _;

/// What a request waits for.
#[derive(Clone, Copy)]
pub(crate) enum Waiting {
    Load,
    Commit,
}

/// Waits for a load or a commit that has to wait for the store. A store in memory is not waited for.
pub(crate) async fn observed<F: Future>(waiting: Waiting, future: F) -> F::Output {
    let (span, _call) = match waiting {
        Waiting::Load => (tracing::debug_span!("session load"), "load"),
        Waiting::Commit => (tracing::debug_span!("session commit"), "commit"),
    };
    #[cfg(feature = "metrics")]
    let began = Instant::now();
    let answer = future.instrument(span).await;
    #[cfg(feature = "metrics")]
    super::metrics::waited(_call, began.elapsed());
    answer
}
