//! Whether a table fits that somebody else has made: what the catalog of the database says of its columns,
//! and what each database makes of that.
//!
//! A statement that touches no row finds a column that is missing, and not one that would change what is
//! written to it.

#![cfg_attr(
    not(all(feature = "postgres", feature = "mysql", feature = "sqlite")),
    allow(dead_code, reason = "no database looks at all of a column")
)]

#[cfg(feature = "mysql")]
pub(super) mod mysql;
#[cfg(feature = "postgres")]
pub(super) mod postgres;
#[cfg(feature = "sqlite")]
pub(super) mod sqlite;

use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::error::StoreError;

/// What the catalog says of a table.
pub(super) struct Layout {
    columns: Vec<Column>,
    /// Whether an index makes sure that no two rows have the same id.
    is_id_unique: bool,
    /// The name of an index or constraint over the id that keeps the store from writing.
    in_the_way: Option<String>,
}

/// A column of the table.
pub(super) struct Column {
    name: String,
    /// Its type, without length.
    kind: String,
    /// How long a value may be. What that counts differs from database to database.
    limit: Option<u64>,
    collation: Option<String>,
}

/// Why a table cannot hold sessions.
#[derive(Debug, thiserror::Error)]
#[error("the session store cannot use its table {table}: the column `{column}` {why}; {remedy}")]
pub(super) struct Misfit {
    table: String,
    column: &'static str,
    why: String,
    remedy: String,
}

impl Layout {
    /// Reads the row of a statement that asks the catalog: a line for each column, of its name, its type, its
    /// limit and its collation, `-` where there is none; how many indexes make ids unique; and the name of one
    /// that is in the way, if there is one. `None` if the database does not show its catalog.
    pub(super) fn from_row<'r, R>(row: &'r R) -> Result<Option<Self>, StoreError>
    where
        R: Row,
        usize: ColumnIndex<R>,
        Option<Vec<u8>>: Decode<'r, R::Database>,
        i64: Decode<'r, R::Database> + Type<R::Database>,
    {
        // MySQL sends text of its catalog as bytes.
        let lines: Option<Vec<u8>> = row.try_get_unchecked(0).map_err(StoreError::unavailable)?;
        let unique: i64 = row.try_get(1).map_err(StoreError::unavailable)?;
        let in_the_way: Option<Vec<u8>> = row.try_get_unchecked(2).map_err(StoreError::unavailable)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(lines.map(|lines| Self::parse(&text(lines), unique > 0, in_the_way.map(text))))
    }

    fn parse(lines: &str, is_id_unique: bool, in_the_way: Option<String>) -> Self {
        let column = |line: &str| {
            let mut words = line.split(' ').map(|word| (word != "-").then_some(word));
            Some(Column {
                name: words.next()??.to_owned(),
                kind: words.next()?.unwrap_or_default().to_owned(),
                limit: words.next()?.and_then(|limit| limit.parse().ok()),
                collation: words.next()?.map(str::to_owned),
            })
        };
        Self { columns: lines.lines().filter_map(column).collect(), is_id_unique, in_the_way }
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}
