//! The periodic removal of expired records.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::error::{StoreError, cause};

/// Stops the sweep it was given for when it is dropped.
#[derive(Debug)]
#[must_use = "the sweep stops when this handle is dropped"]
pub struct SweepHandle(JoinHandle<()>);

impl SweepHandle {
    /// Calls `sweep` every `period`, first after one period. An error is logged, and the next round comes as planned.
    pub(in crate::store) fn start<F>(period: Duration, mut sweep: impl FnMut() -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<u64, StoreError>> + Send,
    {
        Self(tokio::spawn(async move {
            let mut rounds = tokio::time::interval(period.max(Duration::from_millis(1)));
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
