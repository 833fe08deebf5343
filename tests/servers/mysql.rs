//! `MySqlStore`, on MariaDB.

use std::sync::LazyLock;
use std::time::Duration;

use sessile::{MySqlStore, Record, Replaced, SessionId, SessionStore, Version};
use sessile_test_servers as servers;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};

use crate::lost_answers::{self, Proxy};
use crate::proxy::Switch;
use crate::{Shared, foreign, sql_networks, sql_users, trips};

static SERVER: LazyLock<Shared> = LazyLock::new(|| {
    Shared::new("MYSQL_URL", || {
        let server = servers::mariadb(&[])?;
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

#[cfg(feature = "sealed")]
mod sealed {
    use super::*;
    sessile::session_store_tests!(async || Some(sessile::Sealed::new(
        store("kit_sessions").await?,
        "a key of 32 bytes or more for the kit"
    )));
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

/// A table of which everything but the column `data` is express-mysql-session's.
async fn table(name: &str, data: &str) -> Option<(MySqlStore, MySqlPool)> {
    let pool = pool().await?;
    let sql = format!(
        "CREATE TABLE {name} (session_id varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,
                              expires int unsigned NOT NULL, data {data})"
    );
    for sql in [format!("DROP TABLE IF EXISTS {name}"), sql] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    Some((MySqlStore::new(pool.clone()).table(name).unwrap(), pool))
}

/// Puts something else in the place of a record: a text, bytes, or NULL.
async fn plant<'p, D>(pool: &MySqlPool, table: &str, id: &SessionId, data: D)
where
    D: sqlx::Encode<'p, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    let sql = format!("UPDATE {table} SET data = ? WHERE session_id = ?");
    let update = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(data).bind(id.as_str());
    assert_eq!(update.execute(pool).await.unwrap().rows_affected(), 1);
}

#[tokio::test]
async fn nothing_foreign_is_a_session() {
    for (name, data) in [("foreign_text", "mediumtext"), ("foreign_bytes", "mediumblob")] {
        let Some((store, pool)) = table(name, data).await else { return };
        let texts = foreign::texts().into_iter().map(|(name, text)| (name, Some(text.into_bytes())));
        let mut plants: Vec<_> = texts.chain([("NULL", None), ("nothing", Some(Vec::new()))]).collect();
        if data == "mediumblob" {
            plants.extend(foreign::bytes().into_iter().map(|(name, bytes)| (name, Some(bytes))));
        }
        let plant = async |id: &SessionId, data: &Option<Vec<u8>>| {
            plant(&pool, name, id, data.as_deref()).await;
        };
        let look = async |id: &SessionId| {
            let sql = format!("SELECT HEX(data) FROM {name} WHERE session_id = ?");
            let select = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id.as_str());
            let data: Option<String> = select.fetch_one(&pool).await.unwrap();
            format!("{data:?}")
        };
        foreign::check(store, plants, plant, look).await;
    }
}

/// A column of another type, in which the server stores or compares the same record in another way.
#[tokio::test]
async fn a_record_is_compared_as_bytes_in_every_column() {
    for (name, data) in [
        ("as_bytes", "mediumblob"),
        ("as_latin_1", "mediumtext CHARACTER SET latin1"),
        ("without_case", "mediumtext CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"),
    ] {
        let Some((store, pool)) = table(name, data).await else { return };
        let (id, minute) = (SessionId::random(), Duration::from_secs(60));
        let of = |name: &str| Record::from_json(format!(r#"{{"cookie":{{}},"name":"{name}"}}"#)).unwrap();
        store.set(&id, &of("René"), minute).await.unwrap();
        plant(&pool, name, &id, of("Zoë").as_json()).await;
        let read = store.get(&id).await.unwrap().unwrap();
        assert_eq!(read.record.as_json(), of("Zoë").as_json(), "{name}");
        let expected = read.version.unwrap();
        // As another request writes it.
        plant(&pool, name, &id, of("zoë").as_json()).await;
        let conflict = store.replace(&id, &expected, &of("late"), minute).await.unwrap();
        let Replaced::Conflict(fresh) = conflict else { panic!("{name}: {conflict:?}") };
        assert_eq!(fresh.record.as_json(), of("zoë").as_json(), "{name}");
        let conflict = store.destroy_if(&id, &expected).await.unwrap();
        assert!(matches!(conflict, Replaced::Conflict(_)), "{name}: {conflict:?}");
        let done = store.replace(&id, &fresh.version.unwrap(), &of("Chloé"), minute).await.unwrap();
        let Replaced::Done(version) = done else { panic!("{name}: {done:?}") };
        let done = store.destroy_if(&id, &version).await.unwrap();
        assert!(matches!(done, Replaced::Done(_)), "{name}: {done:?}");
        assert!(store.get(&id).await.unwrap().is_none(), "{name}");
    }
}

#[tokio::test]
async fn a_record_may_be_as_long_as_a_packet() {
    const PACKET: usize = 4 << 20;
    let Some(server) = servers::mariadb(&[&format!("--max-allowed-packet={PACKET}")]) else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    let store = MySqlStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let of = |letter: &str, bytes: usize| {
        Record::from_json(format!(r#"{{"cookie":{{}},"text":"{}"}}"#, letter.repeat(bytes))).unwrap()
    };
    let (id, minute, long) = (SessionId::random(), Duration::from_secs(60), PACKET - 350);
    assert!(store.create(&id, &of("a", long), minute).await.unwrap());
    let version = store.get(&id).await.unwrap().unwrap().version.unwrap();
    let done = store.replace(&id, &version, &of("b", long), minute).await.unwrap();
    let Replaced::Done(version) = done else { panic!("{done:?}") };
    // What was stored before is a conflict, and the answer is the whole record.
    let conflict = store.replace(&id, &Version::of(&of("a", long)), &of("c", long), minute).await.unwrap();
    let Replaced::Conflict(stored) = conflict else { panic!("{conflict:?}") };
    assert_eq!(stored.record.as_json(), of("b", long).as_json());
    let done = store.destroy_if(&id, &version).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)), "{done:?}");
    // A longer one is refused, and nothing else is.
    let error = store.set(&id, &of("d", PACKET), minute).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(store.get(&id).await.unwrap().is_none());
    store.set(&id, &of("e", long), minute).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_and_counts_once() {
    let Some(url) = SERVER.url.as_deref() else { return };
    let options: MySqlConnectOptions = url.parse().unwrap();
    let proxy = Proxy::before(format!("{}:{}", options.get_host(), options.get_port())).await;
    let (host, port) = proxy.address.split_once(':').unwrap();
    let options = options.host(host).port(port.parse().unwrap());
    let one = MySqlPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = one.connect_with(options).await.unwrap();
    let direct = store("lost_answers").await.unwrap();
    let store = MySqlStore::new(pool).table("lost_answers").unwrap();
    lost_answers::check(store.clone(), direct.clone(), &proxy).await;
    // An id that an expired record has, which takes two statements.
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    let record = Record::from_json(r#"{"cookie":{},"n":1}"#).unwrap();
    for lost in [1, 2] {
        direct.set(&id, &Record::default(), minute).await.unwrap();
        let expire = "UPDATE lost_answers SET expires = 1 WHERE session_id = ?";
        sqlx::query(expire).bind(id.as_str()).execute(&self::pool().await.unwrap()).await.unwrap();
        lost_answers::creates_after_losing(&store, (&id, &record), &proxy, lost).await;
    }
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
    let Some(server) = servers::mariadb(&[]) else { return };
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_session() {
    let Some(store) = store("crowd").await else { return };
    crate::crowd::on_one_session("MariaDB", store, None).await;
}

#[tokio::test]
async fn statements_of_each_kind_of_request() {
    // A server of its own: nothing else may be counted.
    let Some(server) = servers::mariadb(&[]) else { return };
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
    let Some(server) = servers::mariadb(&[]) else { return };
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
        let mut killed = 0;
        for id in connections {
            let kill = sqlx::AssertSqlSafe(format!("KILL {id}"));
            match sqlx::raw_sql(kill).execute(&other).await {
                Ok(_) => killed += 1,
                // One that was killed before may stand in the list for a moment.
                Err(error) => assert!(error.to_string().contains("Unknown thread id"), "{error}"),
            }
        }
        assert!(killed > 0);
        assert!(store.get(&id).await.unwrap().is_some());
        assert!(store.touch(&id, minute).await.unwrap());
    }
}

#[tokio::test]
async fn check_says_what_is_missing() {
    let Some(server) = servers::mariadb(&[]) else { return };
    let url = |user: &str| format!("mysql://{user}@{}/test", server.address());
    let pool = MySqlPool::connect(&url("sessile:sessile")).await.unwrap();
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let admin = MySqlStore::new(pool.clone());
    let chain = |error: &dyn std::error::Error| {
        let errors = std::iter::successors(Some(error), |&error| error.source());
        errors.map(|error| format!("{error}; ")).collect::<String>()
    };
    let says = async |store: &MySqlStore, what: &str, why: &str| {
        let error = store.check().await.unwrap_err();
        let chain = chain(&error);
        assert!(
            error.is_unavailable() && chain.contains(what) && chain.contains(why),
            "{what}, {why}: {chain}"
        );
    };
    says(&admin, "cannot read its table `sessions`", "Table 'test.sessions' doesn't exist").await;
    admin.migrate().await.unwrap();
    admin.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
    admin.check().await.unwrap();
    assert_eq!(admin.len().await.unwrap(), 1, "it has changed the table");
    run("CREATE USER app@'%' IDENTIFIED BY 'right'".into()).await;
    // Each right that an application may lack.
    let rights =
        [("SELECT", "read"), ("UPDATE", "update"), ("DELETE", "delete from"), ("INSERT", "insert into")];
    for (right, what) in rights {
        run("GRANT SELECT, INSERT, UPDATE, DELETE ON test.sessions TO app@'%'".into()).await;
        run(format!("REVOKE {right} ON test.sessions FROM app@'%'")).await;
        let app = MySqlStore::connect(&url("app:right")).await.unwrap();
        says(&app, &format!("cannot {what} its table"), &format!("{right} command denied")).await;
    }
    run("GRANT SELECT, INSERT, UPDATE, DELETE ON test.sessions TO app@'%'".into()).await;
    let app = MySqlStore::connect(&url("app:right")).await.unwrap();
    app.check().await.unwrap();
    let id = "session_id varchar(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY";
    run(format!("CREATE TABLE no_record ({id}, expires int unsigned)")).await;
    says(&admin.table("no_record").unwrap(), "cannot read its table", "Unknown column 'data'").await;
    run("SET GLOBAL read_only = 1".into()).await;
    says(&app, "cannot update its table", "--read-only").await;
    let error = MySqlStore::connect(&url("app:wrong")).await.unwrap_err();
    assert!(chain(&error).contains("Access denied for user 'app'"), "{}", chain(&error));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_the_server_ended_fail_no_request() {
    let Some(server) = servers::mariadb(&[]) else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    let store = MySqlStore::connect(&url).await.unwrap();
    store.migrate().await.unwrap();
    let pool = MySqlPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let end_all = async || {
        let others = "SELECT CAST(id AS SIGNED) FROM information_schema.processlist
                      WHERE user = 'sessile' AND id <> CONNECTION_ID()";
        let connections: Vec<i64> = sqlx::query_scalar(others).fetch_all(&pool).await.unwrap();
        assert!(connections.len() > 1, "{}", connections.len());
        for id in connections {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("KILL {id}"))).execute(&pool).await.unwrap();
        }
    };
    sql_networks::survives_ended_connections(store, end_all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_fall_silent_are_replaced_within_two_timeouts() {
    let Some(url) = SERVER.url.as_deref() else { return };
    let options: MySqlConnectOptions = url.parse().unwrap();
    let switch = Switch::before(&format!("{}:{}", options.get_host(), options.get_port())).await;
    let timeout = Duration::from_secs(1);
    store("silent").await.unwrap();
    let through = url.replace(&format!("{}:{}", options.get_host(), options.get_port()), &switch.address);
    let store = MySqlStore::connect(&through).await.unwrap().table("silent").unwrap();
    sql_networks::survives_silence("MariaDB", store.timeout(timeout), timeout, &switch).await;
    // A pool of your own, which tests each connection before it lends it.
    let (host, port) = switch.host_and_port();
    let pool = MySqlPoolOptions::new().max_connections(4).connect_with(options.host(host).port(port));
    let store = MySqlStore::new(pool.await.unwrap()).table("silent").unwrap();
    sql_networks::survives_silence("MariaDB, own pool", store.timeout(timeout), timeout, &switch).await;
}

/// As orchestrators do it: the old primary becomes read-only, and keeps its connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_behind_one_address_is_followed() {
    let (Some(old), Some(new)) = (servers::mariadb(&[]), servers::mariadb(&[])) else { return };
    let url = |user: &str, address: &str| format!("mysql://{user}:sessile@{address}/test");
    let mut admins = Vec::new();
    for server in [&old, &new] {
        let admin = MySqlPool::connect(&url("sessile", &server.address())).await.unwrap();
        // `read_only` does not apply to those who may change it.
        for sql in ["CREATE USER app@'%' IDENTIFIED BY 'sessile'", "GRANT ALL ON test.* TO app@'%'"] {
            sqlx::raw_sql(sql).execute(&admin).await.unwrap();
        }
        MySqlStore::new(admin.clone()).migrate().await.unwrap();
        admins.push(admin);
    }
    let switch = Switch::before(&old.address()).await;
    let store = MySqlStore::connect(&url("app", &switch.address)).await.unwrap();
    let beside = MySqlStore::connect(&url("app", &new.address())).await.unwrap();
    let refuse = async || {
        sqlx::raw_sql("SET GLOBAL read_only = 1").execute(&admins[0]).await.unwrap();
    };
    sql_networks::survives_failover("MariaDB", store, refuse, &beside, (&switch, new.address())).await;
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

#[tokio::test]
async fn without_the_table_of_the_users_the_sessions_work() {
    let (Some(store), Some(pool)) = (store("no_users").await, pool().await) else { return };
    sqlx::raw_sql("DROP TABLE no_users_users").execute(&pool).await.unwrap();
    sql_users::says_what_is_missing(&store, "no_users_users").await;
    sql_users::is_there_after_the_migration(&store, async || store.migrate().await.unwrap()).await;
    // A name that has no room for what follows it.
    let long = self::store(&"x".repeat(63)).await;
    if let Some(long) = long {
        sql_users::is_there_after_the_migration(&long, async || long.migrate().await.unwrap()).await;
    }
    // As the documentation says how to do it by hand.
    for sql in [
        "DROP TABLE no_users_users",
        "CREATE TABLE no_users_users (
           `user` varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
           `log` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL
         ) ENGINE=InnoDB",
    ] {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    }
    sql_users::is_there_after_the_migration(&store, async || {}).await;
}

#[tokio::test]
async fn two_stores_share_the_users() {
    let Some(one) = store("shared_users").await else { return };
    sql_users::two_stores_share_a_text(one, store("shared_users").await.unwrap()).await;
}

#[tokio::test]
async fn each_of_many_is_found() {
    let Some(store) = store("many").await else { return };
    sql_users::each_of_many_is_found(&store).await;
}

#[tokio::test]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn time_of_a_list() {
    let Some(store) = store("timed").await else { return };
    sql_users::time_of_a_list("MariaDB", &store).await;
}

/// The server makes `NULL` of a text that is longer than a packet. A line that it cannot append is refused,
/// and the text stays, whether or not the server is strict.
#[tokio::test]
async fn a_text_longer_than_a_packet_is_refused_and_stays() {
    for mode in ["", "STRICT_TRANS_TABLES"] {
        let options = ["--max-allowed-packet=1M".to_owned(), format!("--sql-mode={mode}")];
        let Some(server) = servers::mariadb(&options.each_ref().map(String::as_str)) else { return };
        let store =
            MySqlStore::connect(&format!("mysql://sessile:sessile@{}/test", server.address())).await.unwrap();
        store.migrate().await.unwrap();
        let index = store.users().unwrap();
        let mut text = format!("{}\n", "x".repeat(1_000_000));
        assert!(index.replace("long", "", &text).await.unwrap());
        let error = loop {
            let line = format!("{}\n", "y".repeat(20_000));
            match index.append("long", &line).await {
                Ok(kept) => {
                    text += &line;
                    assert!(kept == text, "{} bytes of {}", kept.len(), text.len());
                }
                Err(error) => break error,
            }
        };
        assert!(error.is_unavailable(), "{error:?}");
        assert!(index.read("long").await.unwrap() == text);
        assert!(index.replace("long", &text, "{}\n").await.unwrap(), "it can be made shorter");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_logs_in_while_another_ends_all() {
    let Some(one) = store("users_in_two").await else { return };
    let other = store("users_in_two").await.unwrap();
    crate::users::one_logs_in_while_another_ends_all(one, other).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_log_in_and_end_all() {
    let (Some(url), Some(store)) = (SERVER.url.clone(), store("users_of_processes").await) else { return };
    let test = "mysql::real_processes_log_in_and_end_all";
    crate::two_processes::log_in_and_end_all(test, ("MYSQL_URL", &url), store).await;
}

#[tokio::test]
async fn reads_that_wait_hand_a_connection_on() {
    let Some(url) = SERVER.url.as_deref() else { return };
    let (one, released) = sql_networks::one_connection::<sqlx::MySql>();
    let pool = one.connect(url).await.unwrap();
    let store = MySqlStore::new(pool.clone()).table("handed_on").unwrap();
    store.migrate().await.unwrap();
    sql_networks::hands_a_connection_on(store, pool, released).await;
}
