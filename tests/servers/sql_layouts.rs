//! Tables that users bring along: each keeps what a store promises, or `check` names the column and says what
//! mends it, and that is true.

use sessile::testing::{contract, promises};
use sessile::{SessionStore, StoreError};

/// What every error of the chain says.
fn chain(error: &StoreError) -> String {
    assert!(error.is_unavailable(), "{error:?}");
    let errors = std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source());
    errors.map(|error| format!("{error}; ")).collect()
}

/// Holds a store to its contract, and sessions over it to what concurrent requests need.
async fn serves<S: SessionStore + Clone>(store: S) {
    store.check().await.unwrap();
    contract::what_is_set_is_read(store.clone()).await;
    contract::bytes_survive(store.clone()).await;
    contract::distinct_ids_never_meet(store.clone()).await;
    contract::a_large_record_fits(store.clone()).await;
    contract::create_is_exclusive(store.clone()).await;
    contract::one_of_many_creates(store.clone()).await;
    contract::replace_compares(store.clone()).await;
    contract::one_of_many_replaces(store.clone()).await;
    contract::destroy_if_compares(store.clone()).await;
    contract::touch_changes_expiry_only(store.clone()).await;
    contract::every_writer_sets_an_expiry(store.clone()).await;
    sessile::testing::users::many_are_read_like_one(store.clone()).await;
    promises::no_update_is_lost(store.clone()).await;
    promises::logout_beats_a_slow_writer(store.clone()).await;
    promises::a_repeated_commit_counts_once(store).await;
}

/// What a table may get wrong that `check` does not refuse any more.
async fn keeps_ids_and_records<S: SessionStore + Clone>(store: S) {
    contract::bytes_survive(store.clone()).await;
    contract::distinct_ids_never_meet(store.clone()).await;
    contract::a_large_record_fits(store.clone()).await;
    contract::create_is_exclusive(store.clone()).await;
    contract::replace_compares(store).await;
}

/// Does what the errors say until the table serves, and returns them. Each names the table and the column.
async fn mended<S: SessionStore>(
    store: &S,
    table: &str,
    column: &str,
    run: &impl AsyncFn(String),
) -> Vec<String> {
    let mut said = Vec::new();
    while let Err(error) = store.check().await {
        let error = chain(&error);
        let remedy = error.split_once("this mends it: ");
        let remedy = remedy.unwrap_or_else(|| panic!("{table}: {error}")).1.split("; ").next().unwrap();
        assert!(error.contains(table), "{table}: {error}");
        run(remedy.to_owned()).await;
        said.push(error);
        assert!(said.len() < 4, "{table}: nothing helps: {said:?}");
    }
    let first = said.first().unwrap_or_else(|| panic!("{table} is taken as it is"));
    println!("{first}");
    assert!(first.contains(&format!("column `{column}`")), "{table}: {first}");
    said
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres() {
    use sessile::PostgresStore;
    use sqlx::postgres::PgPool;

    let Some(server) = sessile_test_servers::postgres("UTC", &[]) else { return };
    let pool = PgPool::connect(&format!("postgres://postgres@{}/postgres", server.address())).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let store = |table: &str| PostgresStore::new(pool.clone()).table(table).unwrap();
    run("CREATE EXTENSION citext;
         CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE SCHEMA web"
        .into())
    .await;
    const ID: &str = "sid varchar NOT NULL PRIMARY KEY";
    const REST: &str = "sess json NOT NULL, expire timestamp(6) NOT NULL";
    // connect-pg-simple's own file, and what others make of it.
    for (table, columns) in [
        (
            "simple",
            r#"sid varchar NOT NULL COLLATE "default", sess json NOT NULL, expire timestamp(6) NOT NULL,
               CONSTRAINT simple_pkey PRIMARY KEY (sid) NOT DEFERRABLE INITIALLY IMMEDIATE"#,
        ),
        (
            "by_hand",
            "id serial PRIMARY KEY, sid text NOT NULL, sess text, expire timestamp, by_whom text, UNIQUE (sid)",
        ),
    ] {
        run(format!("CREATE TABLE {table} ({columns})")).await;
        serves(store(table)).await;
    }
    // Ids that sessions get fit; a longer one of the application is an error of the server.
    run(format!("CREATE TABLE knex (sid varchar(255) PRIMARY KEY, {REST})")).await;
    store("knex").check().await.unwrap();
    for prepared in [true, false] {
        store("simple").prepared(prepared).check().await.unwrap();
    }
    for (table, columns, column) in [
        ("no_key", format!("sid varchar NOT NULL, {REST}"), "sid"),
        ("half_a_key", format!("sid varchar NOT NULL, {REST}, PRIMARY KEY (sid, expire)"), "sid"),
        ("deferred", format!("sid varchar NOT NULL, {REST}, UNIQUE (sid) DEFERRABLE"), "sid"),
        ("short", format!("sid varchar(32) PRIMARY KEY, {REST}"), "sid"),
        ("padded", format!("sid char(64) PRIMARY KEY, {REST}"), "sid"),
        ("uuids", format!("sid uuid PRIMARY KEY, {REST}"), "sid"),
        ("citext_ids", format!("sid citext PRIMARY KEY, {REST}"), "sid"),
        ("loose_ids", format!("sid varchar COLLATE loose PRIMARY KEY, {REST}"), "sid"),
        ("binary_json", format!("{ID}, sess jsonb NOT NULL, expire timestamp(6) NOT NULL"), "sess"),
        ("zoned", format!("{ID}, sess json NOT NULL, expire timestamptz NOT NULL"), "expire"),
    ] {
        run(format!("CREATE TABLE {table} ({columns})")).await;
        mended(&store(table), &format!(r#""{table}""#), column, &run).await;
        keeps_ids_and_records(store(table)).await;
    }
    // Another schema, and an index that holds for some rows only.
    run(format!(
        "CREATE TABLE web.session (sid varchar, {REST});
         CREATE UNIQUE INDEX ON web.session (sid) WHERE expire > '2020-01-01'"
    ))
    .await;
    let elsewhere = PostgresStore::new(pool.clone()).schema("web").unwrap();
    mended(&elsewhere, r#""web"."session""#, "sid", &run).await;
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql() {
    use sessile::MySqlStore;
    use sqlx::mysql::MySqlPool;

    let Some(server) = sessile_test_servers::mariadb(&[]) else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    let pool = MySqlPool::connect(&url).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let store = |table: &str| MySqlStore::new(pool.clone()).table(table).unwrap();
    const UTF8: &str = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
    let id = format!("session_id varchar(128) {UTF8} NOT NULL PRIMARY KEY");
    let data = format!("data mediumtext {UTF8}");
    let rest = format!("expires int(11) unsigned NOT NULL, {data}");
    for (table, columns) in [
        // express-mysql-session's own file.
        (
            "express",
            "`session_id` varchar(128) COLLATE utf8mb4_bin NOT NULL, `expires` int(11) unsigned NOT NULL,
             `data` mediumtext COLLATE utf8mb4_bin, PRIMARY KEY (`session_id`)"
                .to_owned(),
        ),
        (
            "by_hand",
            "id int AUTO_INCREMENT PRIMARY KEY, Session_ID varbinary(512) NOT NULL UNIQUE, expires bigint, data longblob"
                .to_owned(),
        ),
        // Letters of different case are the same in this column, but not in a record.
        ("loose_data", format!("{id}, expires int unsigned, data longtext COLLATE utf8mb4_general_ci")),
    ] {
        run(format!("CREATE TABLE {table} ({columns}) DEFAULT CHARSET utf8mb4")).await;
        serves(store(table)).await;
    }
    // On MariaDB this is a text with a check: a record that is nested too deep is an error of the server.
    run(format!("CREATE TABLE maria_json ({id}, expires int unsigned, data json)")).await;
    store("maria_json").check().await.unwrap();
    for (table, columns, column) in [
        ("no_key", format!("session_id varchar(128) {UTF8} NOT NULL, {rest}"), "session_id"),
        (
            "half_a_key",
            format!("session_id varchar(128) {UTF8}, {rest}, PRIMARY KEY (session_id, expires)"),
            "session_id",
        ),
        (
            "beginnings",
            format!("session_id varchar(128) {UTF8}, {rest}, KEY (session_id), UNIQUE (expires, session_id(9))"),
            "session_id",
        ),
        ("short", format!("session_id varchar(32) {UTF8} PRIMARY KEY, {rest}"), "session_id"),
        (
            "loose_ids",
            format!("session_id varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, {rest}"),
            "session_id",
        ),
        (
            "old",
            "session_id varchar(255) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin PRIMARY KEY, expires int unsigned,
             data text CHARACTER SET utf8mb3"
                .to_owned(),
            "session_id",
        ),
        ("padded", format!("session_id binary(128) PRIMARY KEY, {rest}"), "session_id"),
        ("few_bytes", format!("session_id varbinary(128) PRIMARY KEY, {rest}"), "session_id"),
        ("text_ids", format!("session_id text {UTF8}, {rest}, UNIQUE (session_id(99))"), "session_id"),
        ("short_data", format!("{id}, expires int unsigned, data text {UTF8}"), "data"),
        ("old_data", format!("{id}, expires int unsigned, data mediumtext CHARACTER SET utf8mb3"), "data"),
        ("latin_data", format!("{id}, expires int unsigned, data longtext CHARACTER SET latin1"), "data"),
        ("dates", format!("{id}, expires datetime NOT NULL, {data}"), "expires"),
    ] {
        run(format!("CREATE TABLE {table} ({columns})")).await;
        mended(&store(table), &format!("`{table}`"), column, &run).await;
        keeps_ids_and_records(store(table)).await;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite() {
    use sessile::SqliteStore;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let opened = SqliteStore::open(&file).await.unwrap();
    let pool = SqlitePool::connect_with(SqliteConnectOptions::new().filename(&file)).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let store = |table: &str| opened.clone().table(table).unwrap();
    for (table, definition) in [
        // connect-sqlite3's own.
        ("connect", "(sid PRIMARY KEY, expired, sess)"),
        ("by_hand", "(id INTEGER PRIMARY KEY, SID VARCHAR(9) NOT NULL UNIQUE, expired DATETIME, sess TEXT)"),
        ("without_rowid", "(sid TEXT NOT NULL PRIMARY KEY, expired INTEGER, sess BLOB) WITHOUT ROWID"),
        ("strict", "(sid TEXT PRIMARY KEY, expired INT, sess TEXT) STRICT"),
    ] {
        run(format!("CREATE TABLE {table} {definition}")).await;
        serves(store(table)).await;
    }
    for (table, columns) in [
        ("no_key", "sid, expired, sess"),
        ("half_a_key", "sid TEXT, expired, sess, PRIMARY KEY (sid, expired)"),
    ] {
        run(format!("CREATE TABLE {table} ({columns})")).await;
        mended(&store(table), &format!(r#""{table}""#), "sid", &run).await;
        keeps_ids_and_records(store(table)).await;
    }
    // SQLite changes no column of a table.
    for (table, columns, why) in [
        ("loose_ids", "sid TEXT COLLATE NOCASE PRIMARY KEY, expired, sess", "collation NOCASE"),
        ("trimmed", "sid TEXT COLLATE RTRIM PRIMARY KEY, expired, sess", "collation RTRIM"),
        ("rowids", "sid INTEGER PRIMARY KEY, expired, sess", "type INTEGER"),
        ("numbers", "sid STRING PRIMARY KEY, expired, sess", "type STRING"),
    ] {
        run(format!("CREATE TABLE {table} ({columns})")).await;
        let error = chain(&store(table).check().await.unwrap_err());
        println!("{error}");
        for part in [table, "column `sid`", why, "rename it"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
