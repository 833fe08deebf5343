//! Records in SQL databases, in the tables of the Express stores. What a statement compares is the record's text, so that
//! writers that count no versions are noticed.

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
            pub fn sweep_every(&self, period: std::time::Duration) -> crate::store::sweeper::SweepHandle {
                let store = self.clone();
                crate::store::sweeper::SweepHandle::start(period, move || {
                    let store = store.clone();
                    async move { store.sweep().await }
                })
            }

            /// What a conditional write that met no row has to answer.
            async fn not_met(
                &self,
                id: &crate::id::SessionId,
            ) -> Result<crate::store::Replaced, crate::error::StoreError> {
                let stored = crate::store::SessionStore::get(self, id).await?;
                Ok(stored.map_or(crate::store::Replaced::Gone, crate::store::Replaced::Conflict))
            }

            /// One statement, and the same once more when the connection dropped under it.
            async fn ask<T: Send, F>(
                &self,
                question: impl Fn() -> F + Send,
            ) -> Result<(T, crate::store::retry::Try), crate::error::StoreError>
            where
                F: Future<Output = Result<T, sqlx::Error>> + Send,
            {
                crate::store::retry::ask(self.settings.timeout, super::dropped, question).await
            }
        }
    };
}
use shared_calls;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Error;

use super::{Stored, Version};
use crate::error::StoreError;
use crate::record::Record;

#[cfg(feature = "mysql")]
pub use mysql::MySqlStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;

/// A table or schema name that was refused: 1 to 63 ASCII letters, digits and `_`, not beginning with a digit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no table or schema name: 1 to 63 ASCII letters, digits and `_`, not beginning with a digit"
)]
pub struct InvalidIdentifier(String);

/// A name that can stand in a statement between quotes.
fn identifier(name: &str) -> Result<&str, InvalidIdentifier> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let legal = letters && (1..=63).contains(&name.len()) && !name.as_bytes()[0].is_ascii_digit();
    legal.then_some(name).ok_or_else(|| InvalidIdentifier(name.to_owned()))
}

/// Whether the connection is gone, so that another one may do.
fn dropped(error: &Error) -> bool {
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

/// A row of a live session: its text, and the milliseconds it has left.
type Row = (String, i64);

fn stored((json, left): Row) -> Result<Stored, StoreError> {
    let record = Record::from_json(json)?;
    let version = Version::of(&record);
    let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
    Ok(Stored::from(record).with_version(version).with_expires_in(left))
}

/// The text that a version stands for; no number is a version here.
fn text(version: &Version) -> &str {
    version.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for name in ["session", "_s", "Sessions_2", &"x".repeat(63)] {
            assert_eq!(identifier(name), Ok(name));
        }
        for name in ["", "2s", "a b", "a;drop table x", "a\"", "a`", "é", "a.b", "a-b", &"x".repeat(64)] {
            assert!(identifier(name).is_err(), "{name}");
        }
    }
}
