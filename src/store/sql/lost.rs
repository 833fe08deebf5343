//! Which errors say that a connection is of no more use.

use std::io::ErrorKind;

use sqlx::Error;
use sqlx::error::DatabaseError;

use crate::error::StoreError;
use crate::store::retry::DriverError;

/// Why another connection may give another answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// The connection dropped, or the server is about to drop it.
    Dropped,
    /// The server refuses to write. After a fail-over, the address leads to another server that does not,
    /// while open connections stay with the old one.
    Refused,
}

impl Lost {
    pub(super) fn by(error: &Error) -> Option<Self> {
        match error {
            // A refused connection was never made: no server listens there, and a retry would be refused too.
            Error::Io(error) => (error.kind() != ErrorKind::ConnectionRefused).then_some(Self::Dropped),
            Error::Database(error) => Self::by_database_error(&**error),
            _ => None,
        }
    }

    fn by_database_error(error: &dyn DatabaseError) -> Option<Self> {
        // MySQL 8.0.24 gives most of its errors the state HY000, so the number tells them apart:
        // `ER_OPTION_PREVENTS_STATEMENT` (of these statements it is `read_only` that prevents some),
        // `ER_READ_ONLY_MODE`, `ER_CLIENT_INTERACTION_TIMEOUT` and MariaDB's `ER_CONNECTION_KILLED`.
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            match error.number() {
                1290 | 1836 => return Some(Self::Refused),
                4031 | 1927 => return Some(Self::Dropped),
                _ => {}
            }
        }
        match &*error.code()? {
            // `read_only_sql_transaction`.
            "25006" => Some(Self::Refused),
            // Postgres' `admin_shutdown`, `crash_shutdown`, `cannot_connect_now`, `database_dropped` and
            // `idle_session_timeout`.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Some(Self::Dropped),
            // Connection exceptions, such as MySQL's `ER_SERVER_SHUTDOWN` (08S01), and what PgBouncer says
            // when its connection to the server dropped (08P01).
            code if code.starts_with("08") => Some(Self::Dropped),
            _ => None,
        }
    }
}

impl DriverError for Error {
    fn is_connection_dropped(&self) -> bool {
        Lost::by(self) == Some(Lost::Dropped)
    }

    fn is_refused_by_replica(&self) -> bool {
        Lost::by(self) == Some(Lost::Refused)
    }

    fn into_store_error(self) -> StoreError {
        StoreError::unavailable(self)
    }
}
