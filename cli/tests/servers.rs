//! The program over servers. Where one is not installed its test says so and passes, unless
//! `SESSILE_REQUIRE_SERVERS` is set.

use sessile::{MySqlStore, PostgresStore, RedisStore, redis, sqlx};
use sessile_test_servers as servers;

use crate::fixture::{populate, run};
use crate::golden::{check, walk_through_operating};

/// What the page for operators says of the clock, of files and of servers.
const CLOCK: (&str, &str) = ("it is this machine's", "the server's is less than 2 s off");

#[test]
fn redis() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}", server.address());
    let fill = || {
        run(async {
            let client = redis::Client::open(url.as_str()).expect("a URL");
            let mut connection = client.get_multiplexed_async_connection().await.expect("it connects");
            redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("it is emptied");
            populate(RedisStore::connect(url.as_str()).await.expect("it connects")).await;
        });
    };
    fill();
    check("tests/golden/servers.md", &url);
    check("tests/golden/redis.md", &url);
    let sweep = ("0 expired sessions removed", "Redis removes expired sessions by itself");
    walk_through_operating(&url, &[CLOCK, sweep], fill);
}

#[test]
fn postgres() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres:geheim@{}/postgres", server.address());
    let fill = || {
        run(async {
            let pool = sqlx::PgPool::connect(&url).await.expect("it connects");
            let store = PostgresStore::new(pool.clone());
            store.migrate().await.expect("tables");
            sqlx::query("TRUNCATE session, session_users").execute(&pool).await.expect("they are emptied");
            populate(store).await;
        });
    };
    fill();
    check("tests/golden/servers.md", &url);
    check("tests/golden/postgres.md", &url);
    walk_through_operating(&url, &[CLOCK], fill);
}

#[test]
fn mysql() {
    let Some(server) = servers::mariadb(&[]) else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    let fill = || {
        run(async {
            let pool = sqlx::MySqlPool::connect(&url).await.expect("it connects");
            let store = MySqlStore::new(pool.clone());
            store.migrate().await.expect("tables");
            for table in ["sessions", "sessions_users"] {
                let sql = sqlx::AssertSqlSafe(format!("DELETE FROM {table}"));
                sqlx::query(sql).execute(&pool).await.expect("it is emptied");
            }
            populate(store).await;
        });
    };
    fill();
    check("tests/golden/servers.md", &url);
    check("tests/golden/mysql.md", &url);
    walk_through_operating(&url, &[CLOCK], fill);
}
