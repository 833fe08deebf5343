//! Stores in SQL databases, in the tables of the Express stores.
//!
//! Conditional statements compare the text of the record, so that they detect writers that keep no version
//! numbers, as Express does not.

mod calls;
mod identifier;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;

pub use identifier::InvalidIdentifier;
#[cfg(feature = "mysql")]
pub use mysql::MySqlStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
