//! What a table in SQLite has to be.

use super::{Layout, Misfit};
use crate::store::sql::statement::Statement;

/// Asks the catalog of the table, whose name is in quotes.
pub(in crate::store::sql) fn statement(table: &str) -> Statement {
    let table = table.trim_matches('"');
    // The indexes over nothing but the id.
    let uniques = format!(
        "SELECT x.coll FROM pragma_index_list('{table}') AS i, pragma_index_xinfo(i.name) AS x
         WHERE i.\"unique\" AND NOT i.partial AND x.key AND lower(x.name) = 'sid'
           AND (SELECT count(*) FROM pragma_index_xinfo(i.name) AS y WHERE y.key) = 1"
    );
    // A type may have spaces, and may be missing.
    let sql = format!(
        "SELECT (
           SELECT group_concat(lower(c.name) || ' ' || coalesce(nullif(replace(upper(c.type), ' ', '_'), ''), '-')
             || ' - ' || coalesce((SELECT coll FROM ({uniques}) ORDER BY coll = 'BINARY' LIMIT 1), '-'), char(10))
           FROM pragma_table_xinfo('{table}') AS c WHERE lower(c.name) IN ('sid', 'expired', 'sess')
         ), (SELECT count(*) FROM ({uniques})), NULL"
    );
    Statement::new(sql, &[])
}

/// Finds what keeps the table from holding sessions.
pub(in crate::store::sql) fn judge(layout: &Layout, table: &str) -> Result<(), Misfit> {
    let misfit =
        |why: String, remedy: String| Err(Misfit { table: table.to_owned(), column: "sid", why, remedy });
    let again = || {
        format!(
            "rename it, let `migrate` make it anew, and copy the rows: INSERT INTO {table} (sid, expired, sess) \
             SELECT sid, expired, sess FROM …"
        )
    };
    let Some(sid) = layout.column("sid") else { return Ok(()) };
    if is_numeric(&sid.kind) {
        let why = format!("is of the type {}, which turns ids of digits into numbers", sid.kind);
        return misfit(why, again());
    }
    if !layout.is_id_unique {
        let index = format!("{}_sid", table.trim_matches('"'));
        let remedy = format!("this mends it: CREATE UNIQUE INDEX \"{index}\" ON {table} (sid)");
        return misfit("has no unique index of its own, and is no primary key".to_owned(), remedy);
    }
    match &sid.collation {
        Some(collation) if collation != "BINARY" => {
            misfit(format!("has the collation {collation}, which takes different ids for the same"), again())
        }
        _ => Ok(()),
    }
}

/// Whether a column of this type turns texts into numbers where it can: the rules of SQLite for the affinity
/// of a type.
fn is_numeric(kind: &str) -> bool {
    let has = |part: &str| kind.contains(part);
    let is_text =
        has("CHAR") || has("CLOB") || has("TEXT") || has("BLOB") || kind.is_empty() || kind == "ANY";
    has("INT") || !is_text
}
