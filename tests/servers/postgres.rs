//! `PostgresStore`, on a server in UTC and on one in another zone.

use std::sync::LazyLock;
use std::time::Duration;

use sessile::{PostgresStore, Record, SessionId, SessionStore};
use sessile_test_servers as servers;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::lost_answers::{self, Proxy};
use crate::proxy::Switch;
use crate::{Shared, foreign, sql_networks, sql_users, trips};

const ZONE: &str = "America/New_York";

fn start(variable: &str, zone: &str) -> Shared {
    Shared::new(variable, || {
        let server = servers::postgres(zone, &[])?;
        Some((format!("postgres://postgres@{}/postgres", server.address()), vec![server]))
    })
}

pub(crate) static UTC: LazyLock<Shared> = LazyLock::new(|| start("DATABASE_URL", "UTC"));
static ZONED: LazyLock<Shared> = LazyLock::new(|| start("POSTGRES_ZONED_URL", ZONE));

/// A table of the tests' own.
pub(crate) async fn store(shared: &Shared, table: &str) -> Option<PostgresStore> {
    let store = PostgresStore::connect(shared.url.as_deref()?).await.unwrap().table(table).unwrap();
    // Many tests make it at the same time.
    store.migrate().await.unwrap();
    Some(store)
}

async fn pool(shared: &Shared) -> Option<PgPool> {
    Some(PgPoolOptions::new().max_connections(2).connect(shared.url.as_deref()?).await.unwrap())
}

mod utc {
    use super::*;
    sessile::session_store_tests!(async || store(&UTC, "kit_sessions").await);
}

#[cfg(feature = "sealed")]
mod sealed {
    use super::*;
    sessile::session_store_tests!(async || Some(sessile::Sealed::new(
        store(&UTC, "kit_sessions").await?,
        "a key of 32 bytes or more for the kit"
    )));
}

mod zoned {
    use super::*;
    sessile::session_store_tests!(async || { Some(store(&ZONED, "kit_sessions").await?.time_zone(ZONE)) });
}

#[tokio::test]
async fn the_table_is_connect_pg_simples() {
    let (Some(store), Some(pool)) = (store(&UTC, "shape").await, pool(&UTC).await) else { return };
    let id = SessionId::random();
    let record = Record::from_json(r#"{"cookie":{"originalMaxAge":60000},"n":1.0}"#).unwrap();
    store.set(&id, &record, Duration::from_secs(60)).await.unwrap();
    // As connect-pg-simple reads it.
    let sess: String =
        sqlx::query_scalar("SELECT sess::text FROM shape WHERE sid = $1 AND expire >= to_timestamp($2)")
            .bind(id.as_str())
            .bind(now() + 58.0)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(sess, record.as_json());
    let late: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM shape WHERE sid = $1 AND expire >= to_timestamp($2)")
            .bind(id.as_str())
            .bind(now() + 62.0)
            .fetch_optional(&pool)
            .await
            .unwrap();
    assert!(late.is_none());
    // As connect-pg-simple writes it.
    sqlx::query("INSERT INTO shape (sess, expire, sid) SELECT $1::json, to_timestamp($2), $3 ON CONFLICT (sid) DO UPDATE SET sess=$1::json, expire=to_timestamp($2)")
        .bind(r#"{"cookie":{"originalMaxAge":null},"by":"node"}"#)
        .bind(now() + 100.0)
        .bind(id.as_str())
        .execute(&pool)
        .await
        .unwrap();
    let stored = store.get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().ends_with(r#""by":"node"}"#));
    let left = stored.expires_in.unwrap().as_secs_f64();
    assert!((95.0..=100.5).contains(&left), "{left}");
}

#[tokio::test]
async fn nothing_foreign_is_a_session() {
    let (Some(store), Some(pool)) = (store(&UTC, "foreign_rows").await, pool(&UTC).await) else { return };
    // A table that somebody made by hand.
    sqlx::query("ALTER TABLE foreign_rows ALTER sess DROP NOT NULL").execute(&pool).await.unwrap();
    let is_json =
        |text: &str| !text.starts_with("hunter2") && text.matches('{').count() == text.matches('}').count();
    let texts = foreign::texts().into_iter().map(|(name, text)| (name, Some(text)));
    let texts = texts.filter(|(_, text)| text.as_deref().is_some_and(is_json));
    let plants =
        texts.chain([("NULL", None), ("null", Some("null".to_owned())), ("true", Some("true".to_owned()))]);
    let plant = async |id: &SessionId, sess: &Option<String>| {
        let update =
            sqlx::query("UPDATE foreign_rows SET sess = $1::json WHERE sid = $2").bind(sess.as_deref());
        assert_eq!(update.bind(id.as_str()).execute(&pool).await.unwrap().rows_affected(), 1);
    };
    let look = async |id: &SessionId| {
        let select =
            sqlx::query_scalar("SELECT sess::text FROM foreign_rows WHERE sid = $1").bind(id.as_str());
        let sess: Option<String> = select.fetch_one(&pool).await.unwrap();
        format!("{sess:?}")
    };
    foreign::check(store, plants, plant, look).await;
}

/// A database in SQL_ASCII takes any bytes for text.
#[tokio::test]
async fn bytes_that_are_no_text_are_no_session() {
    let (Some(url), Some(admin)) = (UTC.url.as_deref(), pool(&UTC).await) else { return };
    for sql in [
        "DROP DATABASE IF EXISTS sessile_bytes",
        "CREATE DATABASE sessile_bytes ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
    ] {
        sqlx::raw_sql(sql).execute(&admin).await.unwrap();
    }
    let options = url.parse::<PgConnectOptions>().unwrap().database("sessile_bytes");
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap();
    let store = PostgresStore::new(pool.clone());
    store.migrate().await.unwrap();
    let plant = async |id: &SessionId, letter: &i32| {
        let foreign = r#"UPDATE session SET sess = ('{"cookie":{},"password":"hunter2' || chr($1) || '"}')::json WHERE sid = $2"#;
        let update = sqlx::query(foreign).bind(letter).bind(id.as_str());
        assert_eq!(update.execute(&pool).await.unwrap().rows_affected(), 1);
    };
    let look = async |id: &SessionId| {
        let select =
            sqlx::query_scalar("SELECT encode(sess::text::bytea, 'hex') FROM session WHERE sid = $1");
        select.bind(id.as_str()).fetch_one(&pool).await.unwrap()
    };
    foreign::check(store, [("Latin-1", 0xe9), ("no letter", 0xff)], plant, look).await;
}

/// Its parser is recursive, and `max_stack_depth` limits it.
#[tokio::test]
async fn a_record_too_deep_for_the_server_is_refused_and_changes_nothing() {
    let Some(store) = store(&UTC, "deep").await else { return };
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    let nested = |n: usize| {
        Record::from_json(format!(r#"{{"cookie":{{}},"deep":{}1{}}}"#, "[".repeat(n), "]".repeat(n))).unwrap()
    };
    store.set(&id, &nested(5000), minute).await.unwrap();
    let stored = store.get(&id).await.unwrap().unwrap();
    assert_eq!(stored.record.as_json(), nested(5000).as_json());
    for refused in [
        store.set(&id, &nested(100_000), minute).await.map(drop),
        store.create(&SessionId::random(), &nested(100_000), minute).await.map(drop),
        store.replace(&id, &stored.version.unwrap(), &nested(100_000), minute).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.is_unavailable() && why.contains("stack depth"), "{error:?}");
    }
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), nested(5000).as_json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_and_counts_once() {
    let Some(url) = UTC.url.as_deref() else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let proxy = Proxy::before(format!("{}:{}", options.get_host(), options.get_port())).await;
    let (host, port) = proxy.address.split_once(':').unwrap();
    let options = options.host(host).port(port.parse().unwrap());
    let one = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = one.connect_with(options).await.unwrap();
    let direct = store(&UTC, "lost_answers").await.unwrap();
    lost_answers::check(PostgresStore::new(pool).table("lost_answers").unwrap(), direct, &proxy).await;
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

/// node-pg takes the server's zone; a pool of sqlx forces UTC.
#[tokio::test]
async fn a_row_that_node_wrote_in_another_zone_lives_as_long_as_node_meant() {
    let Some(store) = store(&ZONED, "zones").await else { return };
    let Some(pool) = pool(&ZONED).await else { return };
    let node = sqlx::query("SET TIME ZONE 'America/New_York'");
    let mut node_connection = pool.acquire().await.unwrap();
    node.execute(&mut *node_connection).await.unwrap();
    let write =
        "INSERT INTO zones (sid, sess, expire) VALUES ($1, '{\"cookie\":{}}'::json, to_timestamp($2))";
    let (live, over) = (SessionId::random(), SessionId::random());
    for (id, expires) in [(&live, now() + 60.0), (&over, now() - 60.0)] {
        sqlx::query(write).bind(id.as_str()).bind(expires).execute(&mut *node_connection).await.unwrap();
    }
    let zoned = store.clone().time_zone(ZONE);
    let left = zoned.get(&live).await.unwrap().unwrap().expires_in.unwrap();
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
    assert!(zoned.get(&over).await.unwrap().is_none());
    // The trap, for which the option is there.
    assert!(store.get(&live).await.unwrap().is_none(), "the server's zone is UTC: this tests nothing");
    // And the other way round.
    zoned.set(&over, &Record::default(), Duration::from_secs(60)).await.unwrap();
    let read = "SELECT count(*) FROM zones WHERE sid = $1 AND expire >= to_timestamp($2) AND expire <= to_timestamp($3)";
    let seen: i64 = sqlx::query_scalar(read)
        .bind(over.as_str())
        .bind(now() + 50.0)
        .bind(now() + 62.0)
        .fetch_one(&mut *node_connection)
        .await
        .unwrap();
    assert_eq!(seen, 1);
    assert_eq!(zoned.sweep().await.unwrap(), 0);
    assert_eq!(zoned.len().await.unwrap(), 2);
}

#[tokio::test]
async fn sweep_len_and_clear() {
    let Some(store) = store(&UTC, "sweeping").await else { return };
    store.clear().await.unwrap();
    for n in 0..5_u64 {
        let life = if n < 2 { Duration::ZERO } else { Duration::from_secs(60) };
        store.set(&SessionId::random(), &Record::default(), life).await.unwrap();
    }
    // Whole seconds, rounded up: a life of nothing may last to the end of this second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(store.len().await.unwrap(), 3);
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert!(!store.is_empty().await.unwrap());
    store.clear().await.unwrap();
    assert!(store.is_empty().await.unwrap());
}

#[tokio::test]
async fn schema_and_table_are_selectable_and_checked() {
    let Some(pool) = pool(&UTC).await else { return };
    sqlx::query("CREATE SCHEMA IF NOT EXISTS web").execute(&pool).await.unwrap();
    let store = PostgresStore::new(pool.clone()).schema("web").unwrap().table("Visits").unwrap();
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    store.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM web.\"Visits\"").fetch_one(&pool).await.unwrap();
    assert!(count >= 1);
    for name in ["x;drop", "x\"y", "", "1a"] {
        assert!(store.clone().table(name).is_err() && store.clone().schema(name).is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_read_only_server_serves_and_loses_nothing() {
    let (Some(store), Some(url)) = (store(&UTC, "read_only").await, UTC.url.as_deref()) else { return };
    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let pool =
        PgPoolOptions::new().connect_with(options.options([("default_transaction_read_only", "on")])).await;
    let read_only = PostgresStore::new(pool.unwrap()).table("read_only").unwrap();
    let version = read_only.get(&id).await.unwrap().unwrap().version.unwrap();
    for refused in [
        read_only.set(&id, &Record::default(), Duration::from_secs(9)).await.map(drop),
        read_only.touch(&id, Duration::from_secs(9)).await.map(drop),
        read_only.replace(&id, &version, &Record::default(), Duration::from_secs(9)).await.map(drop),
        read_only.destroy(&id).await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_unavailable() && std::error::Error::source(&error).is_some(), "{error:?}");
    }
    assert!(store.get(&id).await.unwrap().unwrap().expires_in.unwrap() > Duration::from_secs(50));
}

/// What an error and its sources say.
fn chain(error: &dyn std::error::Error) -> String {
    let errors = std::iter::successors(Some(error), |&error| error.source());
    errors.map(|error| format!("{error}; ")).collect()
}

#[tokio::test]
async fn check_says_what_is_missing() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let pool = PgPool::connect(&format!("postgres://postgres@{}/postgres", server.address())).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let admin = PostgresStore::new(pool.clone());
    let says = async |store: &PostgresStore, what: &str, why: &str| {
        let error = store.check().await.unwrap_err();
        let chain = chain(&error);
        assert!(
            error.is_unavailable() && chain.contains(what) && chain.contains(why),
            "{what}, {why}: {chain}"
        );
    };
    says(&admin, r#"cannot read its table "session""#, r#"relation "session" does not exist"#).await;
    admin.migrate().await.unwrap();
    admin.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
    for prepared in [true, false] {
        admin.clone().prepared(prepared).check().await.unwrap();
    }
    assert_eq!(admin.len().await.unwrap(), 1, "it has changed the table");
    // Each right that an application may lack.
    run("CREATE ROLE app LOGIN".into()).await;
    let url = format!("postgres://app@{}/postgres", server.address());
    let app = PostgresStore::connect(&url).await.unwrap();
    let rights =
        [("SELECT", "read"), ("UPDATE", "update"), ("DELETE", "delete from"), ("INSERT", "insert into")];
    for (right, what) in rights {
        run(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON session TO app; REVOKE {right} ON session FROM app"
        ))
        .await;
        says(&app, &format!("cannot {what} its table"), "permission denied for table session").await;
    }
    run("GRANT SELECT, INSERT, UPDATE, DELETE ON session TO app".into()).await;
    app.check().await.unwrap();
    run("CREATE TABLE no_record (sid varchar PRIMARY KEY, expire timestamp)".into()).await;
    let no_record = admin.clone().table("no_record").unwrap();
    says(&no_record, "cannot read its table", r#"column "sess" does not exist"#).await;
    run("ALTER ROLE app SET default_transaction_read_only = on".into()).await;
    let read_only = PostgresStore::connect(&url).await.unwrap();
    says(&read_only, "cannot update its table", "read-only transaction").await;
    let error = PostgresStore::connect(&url.replace("app@", "nobody@")).await.unwrap_err();
    assert!(chain(&error).contains(r#"role "nobody" does not exist"#), "{}", chain(&error));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_at_connect() {
    let rules = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let files = servers::files("postgres", &[("rules", rules)]);
    let rules = format!("hba_file={}", files.path().join("rules").display());
    let Some(server) = servers::postgres("UTC", &["-c", &rules]) else { return };
    let pool = PgPool::connect(&format!("postgres://postgres@{}/postgres", server.address())).await.unwrap();
    sqlx::raw_sql("CREATE ROLE app LOGIN PASSWORD 'right'").execute(&pool).await.unwrap();
    let connect = async |password: &str| {
        PostgresStore::connect(&format!("postgres://app:{password}@{}/postgres", server.address())).await
    };
    connect("right").await.unwrap();
    let error = connect("wrong").await.unwrap_err();
    assert!(chain(&error).contains("password authentication failed"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_fail_no_request() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let store = PostgresStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let end_all = async || {
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                      WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let ended: i64 = sqlx::query_scalar(others).fetch_one(&pool).await.unwrap();
        assert!(ended > 1, "{ended}");
    };
    sql_networks::survives_ended_connections(store, end_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_replaced_within_two_timeouts() {
    let Some(url) = UTC.url.as_deref() else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let switch = Switch::before(&address).await;
    let timeout = Duration::from_secs(1);
    store(&UTC, "silent").await.unwrap();
    let store = PostgresStore::connect(&url.replace(&address, &switch.address)).await.unwrap();
    let store = store.table("silent").unwrap().timeout(timeout);
    sql_networks::survives_silence("PostgreSQL", store, timeout, &switch).await;
    // A pool of your own, which tests each connection before it lends it.
    let (host, port) = switch.host_and_port();
    let pool = PgPoolOptions::new().max_connections(4).connect_with(options.host(host).port(port));
    let store = PostgresStore::new(pool.await.unwrap()).table("silent").unwrap().timeout(timeout);
    sql_networks::survives_silence("PostgreSQL, own pool", store, timeout, &switch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_behind_one_address_is_followed() {
    let (Some(old), Some(new)) = (servers::postgres("UTC", &[]), servers::postgres("UTC", &[])) else {
        return;
    };
    let url = |address: &str| format!("postgres://postgres@{address}/postgres");
    let beside = PostgresStore::connect(&url(&new.address())).await.unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(&url(&old.address())).await.unwrap();
    beside.migrate().await.unwrap();
    PostgresStore::new(admin.clone()).migrate().await.unwrap();
    let switch = Switch::before(&old.address()).await;
    let store = PostgresStore::connect(&url(&switch.address)).await.unwrap();
    let refuse = async || {
        for sql in ["ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()"] {
            sqlx::raw_sql(sql).execute(&admin).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    sql_networks::survives_failover("PostgreSQL", store, refuse, &beside, (&switch, new.address())).await;
}

/// A backend that waits for a lock must not stay when its client has given up, or they would pile up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_does_not_pile_up_on_the_server() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let store = PostgresStore::connect(&url).await.unwrap().timeout(Duration::from_millis(100));
    store.clone().timeout(Duration::from_secs(5)).migrate().await.unwrap();
    let pool = PgPoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE session").execute(&mut *lock).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..30 {
                store.get(&SessionId::random()).await.unwrap_err();
            }
        });
    }
    tasks.join_all().await;
    let mut waiting = i64::MAX;
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        waiting = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
        if waiting == 0 {
            break;
        }
    }
    assert_eq!(waiting, 0, "backends that nobody waits for");
    lock.rollback().await.unwrap();
    // On a busy machine a new connection takes longer than the others had.
    let patient = store.timeout(Duration::from_secs(10));
    assert!(patient.get(&SessionId::random()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_table_that_is_locked_ends_as_a_timeout() {
    let (Some(store), Some(pool)) = (store(&UTC, "locked").await, pool(&UTC).await) else { return };
    let mut lock = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE locked").execute(&mut *lock).await.unwrap();
    let hasty = store.clone().timeout(Duration::from_millis(200));
    let error = hasty.get(&SessionId::random()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    lock.rollback().await.unwrap();
    assert!(hasty.get(&SessionId::random()).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let store = PostgresStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    crate::faults::kill_and_restart(store, server, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() {
    let (Some(url), Some(store)) = (UTC.url.clone(), store(&UTC, "two_processes").await) else { return };
    crate::faults::two_processes("postgres::two_processes", ("DATABASE_URL", &url), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_session() {
    let Some(store) = store(&UTC, "crowd").await else { return };
    crate::crowd::on_one_session("PostgreSQL", store, None).await;
}

#[tokio::test]
async fn statements_of_each_kind_of_request() {
    // A server of its own, which counts.
    let counting =
        ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on"];
    let Some(server) = servers::postgres("UTC", &counting) else { return };
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let store = PostgresStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let pool =
        PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect(&url).await.unwrap();
    sqlx::query("CREATE EXTENSION pg_stat_statements").execute(&pool).await.unwrap();
    let counter = async || -> u64 {
        // Its own statements are told by their text.
        let calls =
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'
             AND query NOT LIKE 'SET client_connection%'";
        let calls: i64 = sqlx::query_scalar(calls).fetch_one(&pool).await.unwrap();
        calls.try_into().unwrap()
    };
    let counts = trips::per_kind(store, counter).await;
    println!("postgres, statements: {:?} = {counts:?}", trips::KINDS);
    assert_eq!(counts, [1, 2, 2, 1, 0, 3, 3]);
}

#[tokio::test]
async fn a_dropped_connection_is_replaced_within_the_request() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres@{}/postgres", server.address());
    // One connection, so that the one that drops is the one in use.
    let pool =
        PgPoolOptions::new().max_connections(1).test_before_acquire(false).connect(&url).await.unwrap();
    let store = PostgresStore::new(pool);
    store.migrate().await.unwrap();
    let other = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    store.set(&id, &Record::default(), minute).await.unwrap();
    for _ in 0..3 {
        let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let ended: i64 = sqlx::query_scalar(terminate).fetch_one(&other).await.unwrap();
        assert!(ended > 0);
        assert!(store.get(&id).await.unwrap().is_some());
        assert!(store.touch(&id, minute).await.unwrap());
    }
}

#[tokio::test]
async fn without_the_table_of_the_users_the_sessions_work() {
    let (Some(store), Some(pool)) = (store(&UTC, "no_users").await, pool(&UTC).await) else { return };
    sqlx::raw_sql("DROP TABLE no_users_users").execute(&pool).await.unwrap();
    for prepared in [true, false] {
        sql_users::says_what_is_missing(&store.clone().prepared(prepared), "no_users_users").await;
    }
    sql_users::is_there_after_the_migration(&store, async || store.migrate().await.unwrap()).await;
    // A name that has no room for what follows it.
    let long = "x".repeat(63);
    let long = self::store(&UTC, &long).await.unwrap();
    sql_users::is_there_after_the_migration(&long, async || long.migrate().await.unwrap()).await;
    // As the documentation says how to do it by hand.
    sqlx::raw_sql(
        "DROP TABLE no_users_users;
         CREATE TABLE no_users_users (\"user\" varchar COLLATE \"C\" PRIMARY KEY, log text NOT NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    sql_users::is_there_after_the_migration(&store, async || {}).await;
}

#[tokio::test]
async fn two_stores_share_the_users() {
    let Some(one) = store(&UTC, "shared_users").await else { return };
    let other = store(&UTC, "shared_users").await.unwrap();
    sql_users::two_stores_share_a_text(one, other.prepared(false)).await;
}

#[tokio::test]
async fn each_of_many_is_found() {
    let Some(store) = store(&UTC, "many").await else { return };
    sql_users::each_of_many_is_found(&store).await;
    sql_users::each_of_many_is_found(&store.prepared(false)).await;
}

#[tokio::test]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn time_of_a_list() {
    let Some(store) = store(&UTC, "timed").await else { return };
    sql_users::time_of_a_list("PostgreSQL", &store).await;
}

/// Destroys sessions until one of them is heard of: the listener may not listen yet.
async fn heard(
    ends: &mut futures_util::stream::BoxStream<'static, SessionId>,
    end: impl AsyncFn(&SessionId),
) -> SessionId {
    loop {
        let id = SessionId::random();
        end(&id).await;
        let next = futures_util::StreamExt::next(ends);
        if let Ok(heard) = tokio::time::timeout(Duration::from_millis(200), next).await {
            return heard.expect("the connection is lost");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_session_is_announced_to_other_stores() {
    use futures_util::StreamExt as _;

    let Some(quiet) = store(&UTC, "announced").await else { return };
    assert!(quiet.watch().is_none(), "who has not asked for it has no second connection");
    let there = store(&UTC, "announced").await.unwrap().announce_ends(true);
    let here = store(&UTC, "before").await.unwrap().announce_ends(true).table("announced").unwrap();
    let mut ends = here.watch().unwrap();
    let (minute, record) = (Duration::from_secs(60), Record::default());
    let sessions = std::sync::Mutex::new(Vec::new());
    let first = heard(&mut ends, async |id| {
        there.set(id, &record, minute).await.unwrap();
        there.destroy(id).await.unwrap();
        sessions.lock().unwrap().push(id.clone());
    })
    .await;
    assert!(sessions.lock().unwrap().contains(&first));
    let ids: Vec<_> = (0..4).map(|_| SessionId::random()).collect();
    for id in &ids {
        there.set(id, &record, minute).await.unwrap();
    }
    // Neither of these is an end.
    quiet.destroy(&ids[0]).await.unwrap();
    there.destroy(&SessionId::random()).await.unwrap();
    let conflict = there.destroy_if(&ids[1], &sessile::Version::from(b"other".to_vec())).await.unwrap();
    assert!(matches!(conflict, sessile::Replaced::Conflict(_)));
    there.check().await.unwrap();
    // What another program says is no id.
    let pool = pool(&UTC).await.unwrap();
    for said in ["", "\t"] {
        let notify = sqlx::query("SELECT pg_notify('announced_ends', $1)").bind(said);
        notify.execute(&pool).await.unwrap();
    }
    let version = there.get(&ids[2]).await.unwrap().unwrap().version.unwrap();
    let done = there.destroy_if(&ids[2], &version).await.unwrap();
    assert!(matches!(done, sessile::Replaced::Done(_)), "{done:?}");
    there.clone().prepared(false).destroy(&ids[3]).await.unwrap();
    let mut next = async || tokio::time::timeout(minute, ends.next()).await.unwrap();
    // Those of before may still be on their way.
    let mut heard = Vec::new();
    while heard.last() != Some(&ids[3]) {
        heard.push(next().await.expect("the connection is lost"));
    }
    assert_eq!(heard[heard.len() - 2..], ids[2..]);
    assert!(heard[..heard.len() - 2].iter().all(|id| sessions.lock().unwrap().contains(id)));
    // The stream ends with its connection.
    let end =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN \"announced_ends\"'";
    assert_eq!(sqlx::query(end).fetch_all(&pool).await.unwrap().len(), 1);
    assert_eq!(next().await, None);
    let mut again = here.watch().unwrap();
    self::heard(&mut again, async |id| {
        there.set(id, &record, minute).await.unwrap();
        there.destroy(id).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_announces_nothing() {
    let nowhere = PgConnectOptions::new().host("127.0.0.1").port(1);
    let pool = PgPoolOptions::new().connect_lazy_with(nowhere);
    let store = PostgresStore::new(pool).announce_ends(true).timeout(Duration::from_millis(300));
    let ends = futures_util::StreamExt::collect::<Vec<_>>(store.watch().unwrap());
    assert!(ends.await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_logs_in_while_another_ends_all() {
    let Some(one) = store(&UTC, "users_in_two").await else { return };
    let other = store(&UTC, "users_in_two").await.unwrap();
    crate::users::one_logs_in_while_another_ends_all(one, other).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_log_in_and_end_all() {
    let (Some(url), Some(store)) = (UTC.url.clone(), store(&UTC, "users_of_processes").await) else { return };
    let test = "postgres::real_processes_log_in_and_end_all";
    crate::two_processes::log_in_and_end_all(test, ("DATABASE_URL", &url), store).await;
}

/// What waits for a connection waits as long as the pool says, where that is shorter than the store's timeout.
#[tokio::test]
async fn a_pool_without_a_free_connection_is_unavailable_after_its_own_limit() {
    let Some(url) = UTC.url.as_deref() else { return };
    let limit = Duration::from_secs(1);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(limit).test_before_acquire(false);
    let pool = pool.connect(url).await.unwrap();
    let store = PostgresStore::new(pool.clone()).table("full_pool").unwrap();
    store.migrate().await.unwrap();
    let taken = pool.acquire().await.unwrap();
    let began = std::time::Instant::now();
    let error = store.get(&SessionId::random()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    // Once, and not again: it was no connection that dropped.
    assert!((limit..2 * limit).contains(&began.elapsed()), "after {:?}", began.elapsed());
    drop(taken);
    assert!(store.get(&SessionId::random()).await.unwrap().is_none());
}

#[tokio::test]
async fn reads_that_wait_hand_a_connection_on() {
    let Some(url) = UTC.url.as_deref() else { return };
    let (one, released) = sql_networks::one_connection::<sqlx::Postgres>();
    let pool = one.connect(url).await.unwrap();
    let store = PostgresStore::new(pool.clone()).table("handed_on").unwrap();
    store.migrate().await.unwrap();
    sql_networks::hands_a_connection_on(store, pool, released).await;
}
