//! What the three SQL stores share.

use std::io::ErrorKind;

use sqlx::Error;

/// The calls that are the same on every store of this module, over its own `len` and `sweep`.
macro_rules! shared_calls {
    ($store:ident) => {
        impl $store {
            /// How long one operation may take, a second try included. Default: 5 seconds.
            #[must_use]
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                std::sync::Arc::make_mut(&mut self.settings).timeout = timeout;
                self
            }

            /// Whether no live session is there.
            ///
            /// # Errors
            /// [`StoreError::unavailable`](crate::StoreError::unavailable).
            pub async fn is_empty(&self) -> Result<bool, crate::error::StoreError> {
                Ok(self.len().await? == 0)
            }

            /// Sweeps every `period` until the handle is dropped. An error is logged, and the next round comes as
            /// planned.
            ///
            /// # Panics
            /// Outside of a Tokio runtime.
            pub fn sweep_every(&self, period: std::time::Duration) -> crate::store::SweepHandle {
                let store = self.clone();
                crate::store::SweepHandle::start(period, move || {
                    let store = store.clone();
                    async move { store.sweep().await }
                })
            }

            /// What a conditional write that met no row has to answer.
            async fn conflict_or_gone(
                &self,
                id: &crate::id::SessionId,
            ) -> Result<crate::store::Replaced, crate::error::StoreError> {
                let stored = crate::store::SessionStore::get(self, id).await?;
                Ok(stored.map_or(crate::store::Replaced::Gone, crate::store::Replaced::Conflict))
            }

            /// One statement, and the same once more when the connection dropped under it.
            async fn with_retry<T: Send, F>(
                &self,
                operation: impl Fn() -> F + Send,
            ) -> Result<(T, crate::store::remote::Attempt), crate::error::StoreError>
            where
                F: Future<Output = Result<T, sqlx::Error>> + Send,
            {
                crate::store::remote::with_retry(
                    self.settings.timeout,
                    crate::store::sql::calls::is_connection_dropped,
                    operation,
                )
                .await
            }
        }
    };
}
pub(super) use shared_calls;

/// Whether the connection is gone, so that another one may do.
pub(super) fn is_connection_dropped(error: &Error) -> bool {
    match error {
        // The server could not be reached at all: a second try would find the same.
        Error::Io(error) => error.kind() != ErrorKind::ConnectionRefused,
        // Postgres: terminated by an administrator, or shutting down. MySQL: server shutdown.
        Error::Database(error) => {
            error.code().is_some_and(|code| matches!(&*code, "57P01" | "57P02" | "08S01"))
        }
        _ => false,
    }
}
