//! `RedisStore` when connections fall silent, when the server behind its address changes, and through
//! Sentinels.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sessile::testing::Visitor;
use sessile::{Record, RedisStore, Replaced, SessionError, SessionId, SessionStore, StoreError, Version};
use sessile_test_servers::{self as servers, Server};
use tokio::task::JoinSet;

use crate::faults::config;
use crate::proxy::Switch;
use crate::redis::{connection_to, tell};

const MINUTE: Duration = Duration::from_secs(60);
/// The timeout of the stores here.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How many answers in a row show that a store is back: so many sessions use all of its connections.
const BACK: usize = 30;

async fn write(store: &impl SessionStore) -> Result<(), StoreError> {
    store.set(&SessionId::random(), &Record::default(), MINUTE).await
}

/// Writes to one session after the other until the store is back, and returns how long that took and how many
/// writes failed. `patience` is how long a request waits for its write.
async fn time_to_recover(store: &impl SessionStore, patience: Duration) -> (Duration, usize) {
    let began = Instant::now();
    let (mut in_a_row, mut failures, mut back) = (0, 0, Duration::ZERO);
    while in_a_row < BACK {
        assert!(began.elapsed() < Duration::from_secs(20), "not back after 20 s, {failures} failures");
        match tokio::time::timeout(patience, write(store)).await {
            Ok(Ok(())) if in_a_row == 0 => (in_a_row, back) = (1, began.elapsed()),
            Ok(Ok(())) => in_a_row += 1,
            Ok(Err(_)) | Err(_) => {
                (in_a_row, failures) = (0, failures + 1);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    (back, failures)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_replaced() {
    let Some(server) = servers::redis(&[]) else { return };
    let proxy = Switch::before(&server.address()).await;
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    for _ in 0..2 {
        time_to_recover(&store, MINUTE).await;
        proxy.silence();
        let (back, failures) = time_to_recover(&store, MINUTE).await;
        println!("redis: back after {back:?}, {failures} failures");
        assert!(failures > 0, "nothing was silent: this tests nothing");
        assert!(back < 2 * TIMEOUT, "back after {back:?}");
    }
}

/// Requests that are given up before the store's own timeout, because a layer has a shorter one or because
/// visitors go away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_replaced_though_nobody_waits_for_a_timeout() {
    let Some(server) = servers::redis(&[]) else { return };
    let proxy = Switch::before(&server.address()).await;
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    time_to_recover(&store, MINUTE).await;
    proxy.silence();
    let (back, failures) = time_to_recover(&store, TIMEOUT / 4).await;
    println!("redis, impatient: back after {back:?}, {failures} failures");
    assert!(failures > 0, "nothing was silent: this tests nothing");
    assert!(back < 2 * TIMEOUT, "back after {back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_to_a_cluster_are_replaced() {
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Switch::before("").await);
    }
    let Some(nodes) = servers::redis_cluster_behind(std::array::from_fn(|at| proxies[at].port)) else {
        return;
    };
    for (proxy, node) in proxies.iter().zip(&nodes) {
        proxy.lead_to(&node.address());
    }
    let urls = proxies.iter().map(Switch::url);
    let store = RedisStore::builder().timeout(TIMEOUT).connect_cluster(urls).await.unwrap();
    time_to_recover(&store, MINUTE).await;
    proxies.iter().for_each(Switch::silence);
    let (back, failures) = time_to_recover(&store, MINUTE).await;
    println!("redis cluster: back after {back:?}, {failures} failures");
    assert!(failures > 0, "nothing was silent: this tests nothing");
    assert!(back < 2 * TIMEOUT, "back after {back:?}");
}

/// A server that is slow answers its other requests: its connections stay.
#[tokio::test]
async fn a_connection_that_answers_is_kept() {
    let Some(server) = servers::redis(&[]) else { return };
    let timeout = Duration::from_millis(200);
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::builder().timeout(timeout).connect(url).await.unwrap();
    let clients = async || -> String {
        let mut list = connection_to(&server.address()).await;
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut list).await.unwrap();
        // The last line is the one who asks.
        let ids = list
            .lines()
            .filter(|line| !line.contains(" cmd=client|list "))
            .map(|line| line.split(' ').next());
        ids.flatten().collect::<Vec<_>>().join(" ")
    };
    let before = clients().await;
    for _ in 0..5 {
        write(&store).await.unwrap();
        // The request ends before its answer comes, and the next one is answered.
        let _ = tokio::time::timeout(Duration::ZERO, write(&store)).await;
    }
    assert_eq!(clients().await, before);
}

/// Two servers and one address that leads to the first of them. The second is its replica.
async fn pair() -> Option<(Server, Server, Switch)> {
    let (old, new) = (servers::redis(&[])?, servers::redis(&[])?);
    follow(&new, &old).await;
    let proxy = Switch::before(&old.address()).await;
    Some((old, new, proxy))
}

/// Makes a server the replica of another, and waits until it has all of its data.
async fn follow(replica: &Server, primary: &Server) {
    let about = async |server: &Server| -> HashMap<String, String> {
        let redis::Value::BulkString(info) = tell(server, &["INFO", "replication"]).await else { panic!() };
        let info = String::from_utf8(info).unwrap();
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let offset = |about: &HashMap<String, String>, name: &str| about.get(name)?.parse::<u64>().ok();
    tell(replica, &["REPLICAOF", "127.0.0.1", &primary.port.to_string()]).await;
    let has = offset(&about(primary).await, "master_repl_offset").unwrap();
    let began = Instant::now();
    loop {
        let now = about(replica).await;
        let is_up = now.get("master_link_status").is_some_and(|status| status == "up");
        if is_up && offset(&now, "slave_repl_offset").unwrap() >= has {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the replica does not follow");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demoted_server_is_left_for_the_new_primary() {
    let Some((old, new, proxy)) = pair().await else { return };
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    let config = config(store.clone());
    let mut ada = Visitor::new(&config);
    let session = ada.open().await.unwrap();
    session.insert("n", 1).unwrap();
    ada.commit(&session).await.unwrap();
    time_to_recover(&store, MINUTE).await;

    // The new primary has everything. The old one is demoted, and its connections stay. The address moves
    // half a second later.
    assert_eq!(tell(&old, &["WAIT", "1", "10000"]).await, redis::Value::Int(1));
    tell(&new, &["REPLICAOF", "NO", "ONE"]).await;
    tell(&old, &["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        let refused = write(&store).await.unwrap_err();
        assert!(refused.is_unavailable(), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    proxy.lead_to(&new.address());
    let (back, failures) = time_to_recover(&store, MINUTE).await;
    println!("redis: back {back:?} after the address moved, {failures} failures");
    assert!(back < Duration::from_secs(2), "back after {back:?}");

    let session = ada.open().await.unwrap();
    session.update("n", |n: Option<u64>| n.map(|n| n + 1)).unwrap();
    ada.commit(&session).await.unwrap();
    let key = format!("sess:{}", ada.id().unwrap().as_str());
    let redis::Value::BulkString(text) = tell(&new, &["GET", &key]).await else {
        panic!("not at the new one")
    };
    assert!(String::from_utf8(text).unwrap().contains(r#""n":2"#));
}

/// Where the address has moved already, no request fails: the server that refuses has carried out nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_a_replica_refuses_is_asked_again_elsewhere() {
    let Some((old, new, proxy)) = pair().await else { return };
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    let (id, record) = (SessionId::random(), Record::default());
    let other = Record::from_json(r#"{"cookie":{},"n":2}"#).unwrap();
    store.set(&id, &record, MINUTE).await.unwrap();
    let version = store.get(&id).await.unwrap().unwrap().version.unwrap();
    follow(&new, &old).await;
    tell(&new, &["REPLICAOF", "NO", "ONE"]).await;
    tell(&old, &["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    proxy.lead_to(&new.address());
    // The connections are old enough to be replaced.
    tokio::time::sleep(Duration::from_millis(250)).await;
    let done = store.replace(&id, &version, &other, MINUTE).await.unwrap();
    let Replaced::Done(version) = done else { panic!("{done:?}") };
    assert!(matches!(store.destroy_if(&id, &version).await.unwrap(), Replaced::Done(_)));
    assert!(matches!(store.destroy_if(&id, &version).await.unwrap(), Replaced::Gone));
    assert!(store.create(&id, &record, MINUTE).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_a_replica_refuses_is_appended_elsewhere() {
    let Some((old, new, proxy)) = pair().await else { return };
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    let users = store.users().unwrap();
    users.append("ada", "[1]\n").await.unwrap();
    follow(&new, &old).await;
    tell(&new, &["REPLICAOF", "NO", "ONE"]).await;
    tell(&old, &["REPLICAOF", "127.0.0.1", &new.port.to_string()]).await;
    proxy.lead_to(&new.address());
    // The connections are old enough to be replaced.
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(users.append("ada", "[2]\n").await.unwrap(), "[1]\n[2]\n");
}

/// What servers answer that do not serve now and have carried out nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_a_server_that_does_not_serve_leads_to_another() {
    let Some(server) = servers::redis(&[]) else { return };
    let proxy = Switch::before(&server.address()).await;
    let store = RedisStore::builder().timeout(TIMEOUT).connect(proxy.url()).await.unwrap();
    for error in [
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN Hash slot not served",
        "TRYAGAIN Multiple keys request during rehashing of slot",
    ] {
        for removes in [true, false] {
            time_to_recover(&store, MINUTE).await;
            // The connections are old enough to be replaced.
            tokio::time::sleep(Duration::from_millis(250)).await;
            proxy.refuse(error);
            let (id, record) = (SessionId::random(), Record::default());
            if removes {
                // The second attempt is the only one that counts: it finds what was there all the time.
                let gone = store.destroy_if(&id, &Version::from(1)).await.unwrap();
                assert!(matches!(gone, Replaced::Gone), "{error}: {gone:?}");
            } else {
                assert!(store.create(&id, &record, MINUTE).await.unwrap(), "{error}");
                assert!(store.get(&id).await.unwrap().is_some(), "{error}");
            }
        }
    }
    // Other errors are answers, and no reason to connect again.
    time_to_recover(&store, MINUTE).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    proxy.refuse("MISCONF Redis is configured to save RDB snapshots");
    for _ in 0..3 {
        assert!(write(&store).await.unwrap_err().is_unavailable());
    }
}

fn increment(count: Option<u64>) -> Option<u64> {
    Some(count.unwrap_or(0) + 1)
}

/// What a session counted: what was acknowledged since the old primary died, and how often nobody knows.
struct Counted {
    visitor: Visitor,
    acknowledged: u64,
    after_the_death: u64,
    unknown: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinels_fail_over_under_load() {
    let Some(mut old) = servers::redis(&[]) else { return };
    let port = old.port.to_string();
    let Some(new) = servers::redis(&["--replicaof", "127.0.0.1", &port]) else { return };
    follow(&new, &old).await;
    let Some(sentinels) = servers::sentinels(&old) else { return };
    let urls: Vec<_> = sentinels.iter().map(|sentinel| format!("redis://{}/", sentinel.address())).collect();
    // Each Sentinel has heard of the others and of the replica, or they could not agree on a fail-over.
    for sentinel in &sentinels {
        let began = Instant::now();
        loop {
            let mut asked = connection_to(&sentinel.address()).await;
            let about: HashMap<String, String> =
                redis::cmd("SENTINEL").arg("MASTER").arg("mymaster").query_async(&mut asked).await.unwrap();
            if about["num-other-sentinels"] == "2" && about["num-slaves"] == "1" {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the Sentinels do not know each other: {about:?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let unknown = RedisStore::connect_sentinel(urls.clone(), "redis://another").await.unwrap_err();
    assert!(unknown.is_unavailable(), "{unknown:?}");
    let store =
        RedisStore::builder().timeout(TIMEOUT).connect_sentinel(urls, "redis://mymaster").await.unwrap();
    let config = config(store.clone());

    let (died, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let mut visitor = Visitor::new(&config);
        let session = visitor.open().await.unwrap();
        session.insert("n", 0).unwrap();
        visitor.commit(&session).await.unwrap();
        let (died, over) = (Arc::clone(&died), Arc::clone(&over));
        tasks.spawn(async move {
            let mut counted = Counted { visitor, acknowledged: 0, after_the_death: 0, unknown: 0 };
            while !over.load(Ordering::SeqCst) {
                let dead = died.load(Ordering::SeqCst);
                let done = async {
                    let Ok(session) = counted.visitor.open().await else { return None };
                    assert!(!session.is_new(), "a session was replaced");
                    let count = session.update("n", increment).unwrap();
                    match session.commit().await {
                        Ok(_) => Some(count),
                        Err(SessionError::Store(_)) => None,
                        Err(error) => panic!("{error}"),
                    }
                };
                match done.await {
                    Some(count) if dead => counted.after_the_death = count.unwrap(),
                    Some(count) => counted.acknowledged = count.unwrap(),
                    None => {
                        counted.unknown += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            counted
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let old = tokio::task::spawn_blocking(move || {
        old.kill();
        old
    });
    let old = old.await.unwrap();
    died.store(true, Ordering::SeqCst);
    let dead = Instant::now();
    // What the new primary has when it becomes one.
    let mut at_first = HashMap::new();
    // A server closes its connections when it becomes a primary.
    let is_primary = async || {
        let client = redis::Client::open(format!("redis://{}/", new.address())).unwrap();
        let Ok(mut beside) = client.get_multiplexed_async_connection().await else { return false };
        let role = redis::cmd("ROLE").query_async::<Vec<redis::Value>>(&mut beside).await;
        role.is_ok_and(|role| role[0] == redis::Value::BulkString(b"master".to_vec()))
    };
    while !is_primary().await {
        assert!(dead.elapsed() < Duration::from_secs(60), "the Sentinels made no new primary");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let promoted = dead.elapsed();
    let mut beside = connection_to(&new.address()).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut beside).await.unwrap();
    let count = async |key: &str| -> u64 {
        let text: String =
            redis::cmd("GET").arg(key).query_async(&mut connection_to(&new.address()).await).await.unwrap();
        let digits = text.split(r#""n":"#).nth(1).unwrap();
        digits.trim_end().trim_end_matches('}').split(',').next().unwrap().parse().unwrap()
    };
    for key in &keys {
        at_first.insert(key.clone(), count(key).await);
    }
    assert_eq!(at_first.len(), 20);
    let (back, failures) = time_to_recover(&store, MINUTE).await;
    println!(
        "sentinel: a new primary after {promoted:?}, the store back {back:?} later, {failures} failures"
    );
    assert!(back < 2 * TIMEOUT, "back {back:?} after there was a new primary");
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::SeqCst);
    for counted in tasks.join_all().await {
        let key = format!("sess:{}", counted.visitor.id().unwrap().as_str());
        let stored = count(&key).await;
        assert!(counted.after_the_death > 0, "a session was never written to after the fail-over");
        assert!(stored >= at_first[&key], "{stored} stored, but the new primary had {}", at_first[&key]);
        assert!(
            stored >= counted.after_the_death,
            "{stored} stored, {} acknowledged",
            counted.after_the_death
        );
        let most = counted.acknowledged.max(counted.after_the_death) + counted.unknown;
        assert!(stored <= most, "{stored} stored, at most {most} asked for");
    }
    drop((old, sentinels));
}

/// What a load balancer is told of a server that stops, comes back and falls silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_follows_the_server() {
    let Some(mut server) = servers::redis(&[]) else { return };
    let proxy = Switch::before(&server.address()).await;
    // Longer than the limit of the check itself, by so much that a busy machine makes no difference.
    let timeout = 4 * TIMEOUT;
    let config = config(RedisStore::builder().timeout(timeout).connect(proxy.url()).await.unwrap());
    let ask = async || {
        let began = Instant::now();
        let status = sessile::health(axum::extract::State(config.clone())).await.status();
        assert!(began.elapsed() < timeout - TIMEOUT, "{status} after {:?}", began.elapsed());
        status.as_u16()
    };
    let healthy_again = async || {
        let began = Instant::now();
        while ask().await != 200 {
            assert!(began.elapsed() < Duration::from_secs(15), "not healthy again after 15 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert_eq!(ask().await, 200);
    let stopped = tokio::task::spawn_blocking(move || {
        server.kill();
        server
    });
    let mut server = stopped.await.unwrap();
    assert_eq!(ask().await, 503);
    let started = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });
    let _server = started.await.unwrap();
    healthy_again().await;
    proxy.silence();
    assert_eq!(ask().await, 503);
    healthy_again().await;
}
