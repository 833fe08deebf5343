//! The program over servers. Where one is not installed its test says so and passes, unless
//! `SESSILE_REQUIRE_SERVERS` is set.

use sessile::{MySqlStore, PostgresStore, RedisStore};
use sessile_test_servers as servers;

use crate::fixture::{populate, run};
use crate::golden::check;

#[test]
fn redis() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}", server.address());
    run(async { populate(RedisStore::connect(url.as_str()).await.expect("it connects")).await });
    check("tests/golden/servers.md", &url);
    check("tests/golden/redis.md", &url);
}

#[test]
fn postgres() {
    let Some(server) = servers::postgres("UTC", &[]) else { return };
    let url = format!("postgres://postgres:geheim@{}/postgres", server.address());
    run(async {
        let store = PostgresStore::connect(&url).await.expect("it connects");
        store.migrate().await.expect("tables");
        populate(store).await;
    });
    check("tests/golden/servers.md", &url);
    check("tests/golden/postgres.md", &url);
}

#[test]
fn mysql() {
    let Some(server) = servers::mariadb(&[]) else { return };
    let url = format!("mysql://sessile:sessile@{}/test", server.address());
    run(async {
        let store = MySqlStore::connect(&url).await.expect("it connects");
        store.migrate().await.expect("tables");
        populate(store).await;
    });
    check("tests/golden/servers.md", &url);
    check("tests/golden/mysql.md", &url);
}
