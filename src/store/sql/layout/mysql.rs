//! What a table in MySQL or MariaDB has to be.

use super::{Layout, Misfit};
use crate::store::sql::statement::Statement;

/// How long the keys of rows are at most, in characters.
pub(in crate::store::sql) const MAX_KEY_LEN: usize = 128;

/// How many bytes the column of the records holds at least: as many as `mediumtext` and `mediumblob`.
const RECORD_LEN: u64 = (1 << 24) - 1;

/// The collations that hold every id and compare it byte for byte, except for spaces at its end.
const EXACT: [&str; 3] = ["utf8mb4_bin", "utf8mb4_nopad_bin", "utf8mb4_0900_bin"];

/// Asks the catalog of the table, whose name is in quotes.
pub(in crate::store::sql) fn statement(table: &str) -> Statement {
    let table = table.trim_matches('`');
    let of_table = format!("TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'");
    let sql = format!(
        "SELECT (
           SELECT GROUP_CONCAT(CONCAT_WS(' ', LOWER(COLUMN_NAME), LOWER(DATA_TYPE),
             COALESCE(CHARACTER_MAXIMUM_LENGTH, '-'), COALESCE(COLLATION_NAME, '-')) SEPARATOR '\n')
           FROM information_schema.COLUMNS
           WHERE {of_table} AND COLUMN_NAME IN ('session_id', 'expires', 'data')
         ), (
           SELECT COUNT(*) FROM (
             SELECT INDEX_NAME FROM information_schema.STATISTICS WHERE {of_table} AND NON_UNIQUE = 0
             GROUP BY INDEX_NAME
             HAVING COUNT(*) = 1 AND LOWER(MAX(COLUMN_NAME)) = 'session_id' AND MAX(SUB_PART) IS NULL
           ) AS uniques
         ), (
           SELECT MAX(INDEX_NAME) FROM information_schema.STATISTICS
           WHERE {of_table} AND NON_UNIQUE = 0 AND SUB_PART IS NOT NULL AND LOWER(COLUMN_NAME) = 'session_id'
         )"
    );
    Statement::new(sql, &[])
}

/// Finds what keeps the table from holding sessions.
///
/// A server that is not strict cuts off what is too long, and replaces letters that a column cannot hold. So
/// the columns have to hold everything.
pub(in crate::store::sql) fn judge(layout: &Layout, table: &str) -> Result<(), Misfit> {
    const UTF8: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    let misfit = |column, why: String, change: &str| {
        let remedy = format!("this mends it: ALTER TABLE {table} {change}");
        Err(Misfit { table: table.to_owned(), column, why, remedy })
    };
    if let Some(id) = layout.column("session_id") {
        let limit = id.limit.unwrap_or(0);
        let retype = format!("MODIFY session_id varchar({}) {UTF8} NOT NULL", limit.clamp(128, 255));
        let collation = id.collation.as_deref();
        // `binary(n)` adds bytes to a value that is shorter, and an index over a text holds the beginning.
        if !matches!(&*id.kind, "varchar" | "char" | "varbinary") {
            let why = format!("is of the type {}, which does not keep every id as it is", id.kind);
            return misfit("session_id", why, &retype);
        }
        // A character may be 4 bytes long.
        let wanted = if collation.is_some() { MAX_KEY_LEN } else { 4 * MAX_KEY_LEN } as u64;
        if limit < wanted {
            let unit = if collation.is_some() { "characters" } else { "bytes" };
            let why = format!("holds {limit} {unit}, and an id may have {wanted}");
            return misfit("session_id", why, &retype);
        }
        if let Some(collation) = collation.filter(|collation| !EXACT.contains(collation)) {
            let why =
                format!("has the collation {collation}, and not utf8mb4_bin, which tells all ids apart");
            return misfit("session_id", why, &retype);
        }
        if let Some(index) = &layout.in_the_way {
            let why =
                format!("has the unique index {index} over its beginning alone, which different ids share");
            return misfit("session_id", why, &format!("DROP INDEX `{index}`"));
        }
        if !layout.is_id_unique {
            let why = "has no unique index of its own, and is no primary key".to_owned();
            return misfit("session_id", why, "ADD UNIQUE (session_id)");
        }
    }
    if let Some(data) = layout.column("data") {
        let retype = format!("MODIFY data mediumtext {UTF8}");
        let charset = data.collation.as_deref().and_then(|collation| collation.split('_').next());
        let why = if data.kind == "json" {
            "is of the type json, which changes the text of a record".to_owned()
        } else if data.limit.is_none_or(|limit| limit < RECORD_LEN) {
            format!("is of the type {}, which is too short for a long record", data.kind)
        } else if let Some(charset) = charset.filter(|charset| *charset != "utf8mb4") {
            format!("has the character set {charset}, which does not have every character")
        } else {
            return judge_expiry(layout, misfit);
        };
        return misfit("data", why, &retype);
    }
    Ok(())
}

fn judge_expiry(
    layout: &Layout,
    misfit: impl Fn(&'static str, String, &str) -> Result<(), Misfit>,
) -> Result<(), Misfit> {
    match layout.column("expires") {
        Some(expires) if !matches!(&*expires.kind, "int" | "bigint") => {
            let why = format!("is of the type {}, and not a number of seconds", expires.kind);
            misfit("expires", why, "MODIFY expires int unsigned NOT NULL")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MySQL's own `json`. That of MariaDB is another name for `longtext`.
    #[test]
    fn a_column_that_changes_the_text_of_records_is_refused() {
        let layout = |data: &str| {
            let lines = format!("session_id varchar 128 utf8mb4_bin\nexpires int - -\ndata {data}");
            Layout::parse(&lines, true, None)
        };
        let refused = judge(&layout("json - -"), "`sessions`").unwrap_err().to_string();
        assert!(
            refused.contains("`data` is of the type json") && refused.contains("MODIFY data"),
            "{refused}"
        );
        assert!(judge(&layout("longtext 4294967295 utf8mb4_bin"), "`sessions`").is_ok());
    }
}
