//! [`SweepHandle`]: the periodic removal of expired records.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::error::{StoreError, cause};

/// A sweep that runs in the background: a task that removes a store's expired records again and again.
///
/// Dropping the handle stops the sweep, so keep it for as long as the store is used.
#[derive(Debug)]
#[must_use = "the sweep stops when this handle is dropped"]
pub struct SweepHandle(JoinHandle<()>);

impl SweepHandle {
    /// Calls `sweep` every `period`, for the first time after one period.
    ///
    /// An error is logged and does not stop the sweep. A round that takes longer than a period delays the
    /// next ones instead of being followed by several at once.
    pub(in crate::store) fn start<F>(period: Duration, mut sweep: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<u64, StoreError>> + Send,
    {
        Self(tokio::spawn(async move {
            // `interval` panics on a period of zero.
            let mut rounds = tokio::time::interval(period.max(Duration::from_millis(1)));
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // The first tick of an interval completes immediately.
            rounds.tick().await;
            loop {
                rounds.tick().await;
                match sweep().await {
                    Ok(removed) => tracing::debug!(removed, "expired sessions removed"),
                    Err(error) => {
                        tracing::warn!(
                            error = cause(&error),
                            "expired sessions could not be removed; trying again next round"
                        );
                    }
                }
            }
        }))
    }
}

impl Drop for SweepHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}
