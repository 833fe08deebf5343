//! Records in SQL databases, in the tables of the Express stores. What a statement compares is the record's text, so that
//! writers that count no versions are noticed.

mod calls;
mod identifier;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use identifier::InvalidIdentifier;
#[cfg(feature = "mysql")]
pub use mysql::MySqlStore;
#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
