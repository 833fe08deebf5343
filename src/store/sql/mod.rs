//! Stores in SQL databases, in the tables of the Express stores.
//!
//! Conditional statements compare the text of the record, so that they detect writers that keep no version
//! numbers, as Express does not.

#[cfg(feature = "postgres")]
mod announced;
mod calls;
mod check;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod encryption;
#[cfg(feature = "sqlite")]
mod file_watch;
pub(crate) mod identifier;
mod layout;
mod lent;
mod lost;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
mod row;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
mod statement;
mod statements;
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "an SQLite file has no server")
)]
mod turns;
mod user_table;
mod users;
