//! What a table in PostgreSQL has to be.

use super::{Layout, Misfit};
use crate::store::sql::statement::Statement;

/// The length of the ids that sessions get.
const ID_LEN: u64 = 36;

/// Asks the catalog of the table, whose name is in quotes.
pub(in crate::store::sql) fn statement(table: &str) -> Statement {
    // Older servers do not have all of these columns: in JSON they are missing, and no error.
    let sql = format!(
        "SELECT (
           SELECT string_agg(concat_ws(' ', a.attname, t.typname,
             CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN (a.atttypmod - 4)::text
                  ELSE '-' END,
             CASE to_jsonb(c) ->> 'collisdeterministic' WHEN 'false' THEN c.collname ELSE '-' END), E'\\n')
           FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation c ON c.oid = a.attcollation
           WHERE a.attrelid = to_regclass('{table}') AND a.attname IN ('sid', 'sess', 'expire')
         ), (
           SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE i.indrelid = to_regclass('{table}') AND a.attname = 'sid'
             AND i.indisunique AND i.indimmediate AND i.indpred IS NULL
             AND coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts) = 1
         ), (
           SELECT c.conname::text FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid
           WHERE c.conrelid = to_regclass('{table}') AND a.attname = 'sid' AND c.conkey = ARRAY[a.attnum]
             AND c.contype IN ('p', 'u') AND c.condeferrable LIMIT 1
         )"
    );
    Statement::new(sql, &[])
}

/// Finds what keeps the table from holding sessions.
pub(in crate::store::sql) fn judge(layout: &Layout, table: &str) -> Result<(), Misfit> {
    let misfit = |column, why: String, change: &str| {
        let remedy = format!("this mends it: ALTER TABLE {table} {change}");
        Err(Misfit { table: table.to_owned(), column, why, remedy })
    };
    let retype = "ALTER COLUMN sid TYPE varchar COLLATE \"default\"";
    if let Some(sid) = layout.column("sid") {
        if let Some(collation) = &sid.collation {
            let why = format!("has the collation {collation}, which takes different ids for the same");
            return misfit("sid", why, retype);
        }
        // `citext` takes letters of different case for the same; `char(n)` adds spaces.
        if !matches!(&*sid.kind, "varchar" | "text") {
            let why = format!("is of the type {}, which does not keep every id as it is", sid.kind);
            return misfit("sid", why, retype);
        }
        if let Some(limit) = sid.limit.filter(|limit| *limit < ID_LEN) {
            let why = format!("holds {limit} characters, and an id has {ID_LEN}");
            return misfit("sid", why, retype);
        }
        if let Some(constraint) = &layout.in_the_way {
            let why =
                format!("has the constraint {constraint}, which is deferrable: no insertion can rely on it");
            return misfit("sid", why, &format!("DROP CONSTRAINT \"{constraint}\", ADD UNIQUE (sid)"));
        }
        if !layout.is_id_unique {
            let why = "has no unique index of its own, and is no primary key".to_owned();
            return misfit("sid", why, "ADD UNIQUE (sid)");
        }
    }
    if let Some(sess) = layout.column("sess")
        && !matches!(&*sess.kind, "json" | "text" | "varchar")
    {
        let why = match &*sess.kind {
            "jsonb" => "is of the type jsonb, which changes the text of a record".to_owned(),
            kind => format!("is of the type {kind}, which holds no record"),
        };
        return misfit("sess", why, "ALTER COLUMN sess TYPE json USING sess::text::json");
    }
    if let Some(expire) = layout.column("expire")
        && expire.kind != "timestamp"
    {
        let why = format!("is of the type {}, and not a timestamp without time zone", expire.kind);
        return misfit("expire", why, "ALTER COLUMN expire TYPE timestamp(6)");
    }
    Ok(())
}
