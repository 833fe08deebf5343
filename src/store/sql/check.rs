//! The error of [`check`](crate::SessionStore::check).

use crate::error::StoreError;
use crate::store::retry::DriverError;

/// What a store cannot do to its table. The source says why: a right, the table or a column is missing, or
/// the server cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("the session store cannot {what} its table {table}")]
pub(super) struct CheckFailed {
    pub(super) what: &'static str,
    pub(super) table: String,
    pub(super) source: sqlx::Error,
}

impl DriverError for CheckFailed {
    fn is_connection_dropped(&self) -> bool {
        self.source.is_connection_dropped()
    }

    fn is_refused_by_replica(&self) -> bool {
        self.source.is_refused_by_replica()
    }

    fn into_store_error(self) -> StoreError {
        StoreError::unavailable(self)
    }
}
