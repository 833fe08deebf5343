//! `MySqlStore`, on MariaDB.

use std::sync::LazyLock;
use std::time::Duration;

use sessile::{MySqlStore, Record, SessionId, SessionStore};
use sessile_test_servers as servers;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};

use crate::{Shared, trips};

static SERVER: LazyLock<Shared> = LazyLock::new(|| {
    Shared::new("MYSQL_URL", || {
        let server = servers::mariadb()?;
        Some((format!("mysql://sessile:sessile@{}/test", server.address()), vec![server]))
    })
});

async fn store(table: &str) -> Option<MySqlStore> {
    let store = MySqlStore::connect(SERVER.url.as_deref()?).await.unwrap().table(table).unwrap();
    store.migrate().await.unwrap();
    Some(store)
}

async fn pool() -> Option<MySqlPool> {
    Some(MySqlPoolOptions::new().max_connections(2).connect(SERVER.url.as_deref()?).await.unwrap())
}

mod kit {
    use super::*;
    sessile::session_store_tests!(async || store("kit_sessions").await);
}

fn now() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs())
        .unwrap()
}

#[tokio::test]
async fn the_table_is_express_mysql_sessions() {
    let (Some(store), Some(pool)) = (store("shape").await, pool().await) else { return };
    let id = SessionId::random();
    let record = Record::from_json(r#"{"cookie":{"originalMaxAge":60000},"n":1.0,"e":"é😀"}"#).unwrap();
    store.set(&id, &record, Duration::from_secs(60)).await.unwrap();
    let (data, expires): (String, i64) =
        sqlx::query_as("SELECT data, CAST(expires AS SIGNED) FROM shape WHERE session_id = ?")
            .bind(id.as_str())
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(data, record.as_json());
    assert!((now() + 58..=now() + 62).contains(&expires));
    sqlx::query("INSERT INTO shape (session_id, expires, data) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE expires = VALUES(expires), data = VALUES(data)")
        .bind(id.as_str())
        .bind(now() + 100)
        .bind(r#"{"cookie":{"originalMaxAge":null},"by":"node"}"#)
        .execute(&pool)
        .await
        .unwrap();
    let stored = store.get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().ends_with(r#""by":"node"}"#));
    assert!(stored.expires_in.unwrap() > Duration::from_secs(90));
}

#[tokio::test]
async fn a_session_may_last_beyond_2038() {
    let Some(store) = store("lasting").await else { return };
    let (id, decades) = (SessionId::random(), Duration::from_secs(30 * 365 * 24 * 60 * 60));
    store.set(&id, &Record::default(), decades).await.unwrap();
    assert!(store.get(&id).await.unwrap().unwrap().expires_in.unwrap() > decades - Duration::from_secs(60));
}

#[tokio::test]
async fn sweep_len_and_clear() {
    let Some(store) = store("sweeping").await else { return };
    store.clear().await.unwrap();
    for n in 0..5_u64 {
        let life = if n < 2 { Duration::ZERO } else { Duration::from_secs(60) };
        store.set(&SessionId::random(), &Record::default(), life).await.unwrap();
    }
    // Whole seconds, rounded up: a life of nothing may last to the end of this second.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(store.len().await.unwrap(), 3);
    assert_eq!(store.sweep().await.unwrap(), 2);
    store.clear().await.unwrap();
    assert!(store.is_empty().await.unwrap());
    assert!(store.table("x`;drop").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle() {
    let Some(server) = servers::mariadb() else { return };
    let store =
        MySqlStore::connect(&format!("mysql://sessile:sessile@{}/test", server.address())).await.unwrap();
    store.migrate().await.unwrap();
    crate::faults::kill_and_restart(store, server, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() {
    let (Some(url), Some(store)) = (SERVER.url.clone(), store("two_processes").await) else { return };
    crate::faults::two_processes("mysql::two_processes", ("MYSQL_URL", &url), store).await;
}

#[tokio::test]
async fn statements_of_each_kind_of_request() {
    // A server of its own: nothing else may be counted.
    let Some(server) = servers::mariadb() else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    let store = MySqlStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let pool =
        MySqlPoolOptions::new().max_connections(1).test_before_acquire(false).connect(&url).await.unwrap();
    let counter = async || -> u64 {
        // SHOW is a query of its own and none of these.
        let show = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Com_select', 'Com_insert', 'Com_update', 'Com_delete')";
        let rows: Vec<(String, String)> = sqlx::query_as(show).fetch_all(&pool).await.unwrap();
        rows.iter().map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    };
    let counts = trips::per_kind(store, counter).await;
    println!("mysql, statements: {:?} = {counts:?}", trips::KINDS);
    assert_eq!(counts, [1, 2, 2, 1, 0, 3, 3]);
}

#[tokio::test]
async fn a_dropped_connection_is_replaced_within_the_request() {
    let Some(server) = servers::mariadb() else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    // One connection, so that the one that drops is the one in use.
    let one = || MySqlPoolOptions::new().max_connections(1).test_before_acquire(false);
    let store = MySqlStore::new(one().connect(&url).await.unwrap());
    store.migrate().await.unwrap();
    let other = one().connect(&url).await.unwrap();
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    store.set(&id, &Record::default(), minute).await.unwrap();
    for _ in 0..3 {
        let others = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
                      WHERE user = 'sessile' AND id <> CONNECTION_ID()";
        let connections: Vec<i64> = sqlx::query_scalar(others).fetch_all(&other).await.unwrap();
        assert!(!connections.is_empty());
        for id in connections {
            let kill = sqlx::AssertSqlSafe(format!("KILL {id}"));
            sqlx::raw_sql(kill).execute(&other).await.unwrap();
        }
        assert!(store.get(&id).await.unwrap().is_some());
        assert!(store.touch(&id, minute).await.unwrap());
    }
}

#[tokio::test]
async fn a_table_that_is_locked_ends_as_a_timeout() {
    let (Some(store), Some(pool)) = (store("locked").await, pool().await) else { return };
    let mut lock = pool.acquire().await.unwrap();
    sqlx::raw_sql("LOCK TABLES locked WRITE").execute(&mut *lock).await.unwrap();
    let hasty = store.clone().timeout(Duration::from_millis(200));
    let error = hasty.get(&SessionId::random()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    sqlx::raw_sql("UNLOCK TABLES").execute(&mut *lock).await.unwrap();
    assert!(store.get(&SessionId::random()).await.unwrap().is_none());
}
