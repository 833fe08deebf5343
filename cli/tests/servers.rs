//! The program over servers. Where one is not installed its test says so and passes, unless
//! `SESSILE_REQUIRE_SERVERS` is set.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sessile::{MySqlStore, PostgresStore, RedisStore, redis, sqlx};
use sessile_test_servers::{self as servers, Certificates, Server};

use crate::fixture::{Fixture, populate, run};
use crate::golden::{check, walk_through_operating};

const MINUTE: Duration = Duration::from_secs(60);

/// What the page for operators says of the clock, of files and of servers.
const CLOCK: (&str, &str) = ("it is this machine's", "the server's is less than 2 s off");

const SWEEP: (&str, &str) = ("0 expired sessions removed", "Redis removes expired sessions by itself");

/// Removes everything from these servers.
async fn empty(servers: &[Server]) {
    for server in servers {
        let client = redis::Client::open(format!("redis://{}", server.address())).expect("a URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("it connects");
        redis::cmd("FLUSHALL").exec_async(&mut connection).await.expect("it is emptied");
    }
}

/// The pages over a Redis, a cluster or what Sentinels watch over.
fn check_redis(url: &str, fill: impl Fn()) {
    fill();
    check("tests/golden/servers.md", url);
    check("tests/golden/redis.md", url);
    walk_through_operating(url, &[CLOCK, SWEEP], fill);
}

fn addresses(servers: &[Server]) -> String {
    servers.iter().map(Server::address).collect::<Vec<_>>().join(",")
}

#[test]
fn redis() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}", server.address());
    let server = [server];
    check_redis(&url, || {
        run(async {
            empty(&server).await;
            populate(RedisStore::connect(url.as_str()).await.expect("it connects")).await;
        });
    });
}

#[test]
fn redis_cluster() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let store = async || {
        let urls = nodes.iter().map(|node| format!("redis://{}", node.address()));
        RedisStore::connect_cluster(urls).await.expect("it connects")
    };
    check_redis(&format!("redis+cluster://{}", addresses(&nodes)), || {
        run(async {
            empty(&nodes).await;
            populate(store().await).await;
        });
    });
}

#[test]
fn redis_sentinels_and_a_fail_over() {
    let Some(primary) = servers::redis(&[]) else { return };
    let Some(replica) = servers::redis(&["--replicaof", "127.0.0.1", &primary.port.to_string()]) else {
        return;
    };
    let Some(sentinels) = servers::sentinels(&primary) else { return };
    let url = format!("redis+sentinel://{}/mymaster", addresses(&sentinels));
    let mut primary = [primary];
    let fill = || {
        run(async {
            empty(&primary).await;
            let urls = sentinels.iter().map(|sentinel| format!("redis://{}", sentinel.address()));
            let store = RedisStore::connect_sentinel(urls, "redis://mymaster").await.expect("it connects");
            populate(store).await;
        });
    };
    check_redis(&url, fill);
    fill();
    run(until_it_follows(&replica, &sentinels));
    primary[0].kill();
    let fixture = Fixture::new();
    let began = Instant::now();
    while !fixture.shell("sessile check", &url).status.success() {
        assert!(began.elapsed() < MINUTE, "the program does not find the new primary");
    }
    let list = fixture.shell("sessile list --user ada", &url);
    assert!(String::from_utf8_lossy(&list.stdout).contains("2 sessions of ada"), "{list:?}");
}

/// Waits until the replica has what the primary has, and all Sentinels know of it.
async fn until_it_follows(replica: &Server, sentinels: &[Server]) {
    let began = Instant::now();
    let connect = async |server: &Server| {
        let client = redis::Client::open(format!("redis://{}", server.address())).expect("a URL");
        client.get_multiplexed_async_connection().await.expect("it connects")
    };
    loop {
        let mut ready = redis::cmd("DBSIZE").query_async(&mut connect(replica).await).await.unwrap_or(0) > 4;
        for sentinel in sentinels {
            let mut ask = redis::cmd("SENTINEL");
            let about = ask.arg("MASTER").arg("mymaster").query_async(&mut connect(sentinel).await).await;
            let about: HashMap<String, String> = about.expect("it answers");
            ready &= about["num-other-sentinels"] == "2" && about["num-slaves"] == "1";
        }
        if ready {
            return;
        }
        assert!(began.elapsed() < MINUTE, "the servers do not know each other");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn redis_over_tls() {
    let files = Certificates::new("root", "127.0.0.1");
    let Some(nodes) = servers::redis_cluster_over_tls(&files, &[]) else { return };
    let Some(primary) = servers::redis_over_tls(&files, &[]) else { return };
    let Some(sentinels) = servers::sentinels_over_tls(&primary, &files) else { return };
    let Some(in_clear) = servers::sentinels_in_clear(&primary, &files) else { return };
    let fixture = Fixture::new();
    let (certificate, key) = files.authority.sign("the program");
    for (name, pem) in [("ca", files.authority.pem()), ("crt", certificate), ("key", key)] {
        std::fs::write(fixture.path().join(name), pem).expect("it can be written");
    }
    let options = |before: &str| {
        let files = [("root-certificates", "ca"), ("client-certificate", "crt"), ("client-key", "key")];
        files.map(|(option, file)| format!(" --{before}{option} {file}")).concat()
    };
    let (options, to_options) = (options(""), options("to-"));
    for url in [
        format!("rediss://{}", primary.address()),
        format!("rediss+cluster://{}", addresses(&nodes)),
        format!("rediss+sentinel://{}/mymaster/1", addresses(&sentinels)),
        format!("rediss+sentinel://{}/mymaster/2?sentinel_tls=no", addresses(&in_clear)),
    ] {
        let moved = fixture.shell(&format!("sessile move file:sessions '{url}' --yes{to_options}"), "");
        let moved = String::from_utf8_lossy(&moved.stdout) + String::from_utf8_lossy(&moved.stderr);
        assert!(moved.contains("4 sessions copied"), "{url}: {moved}");
        let list = fixture.shell(&format!("sessile list --user ada{options}"), &url);
        assert!(String::from_utf8_lossy(&list.stdout).contains("2 sessions of ada"), "{url}: {list:?}");
        let check = fixture.shell(&format!("sessile check{options}"), &url);
        assert!(String::from_utf8_lossy(&check.stdout).contains(CLOCK.1), "{url}: {check:?}");
        let without = fixture.shell("sessile check", &url);
        let said = String::from_utf8_lossy(&without.stderr);
        assert!(!without.status.success() && said.contains("certificate"), "{url}: {said}");
    }
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
