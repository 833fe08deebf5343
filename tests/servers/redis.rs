//! `RedisStore`, on one server and on a cluster.

use std::sync::LazyLock;
use std::time::Duration;

use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use sessile::testing::Visitor;
use sessile::{Record, RedisStore, Replaced, SessionId, SessionStore};
use sessile_test_servers as servers;

use crate::lost_answers::{self, Proxy};
use crate::{Shared, foreign, trips};

pub(crate) static SINGLE: LazyLock<Shared> = LazyLock::new(|| {
    Shared::new("REDIS_URL", || {
        let server = servers::redis(&[])?;
        Some((format!("redis://{}/", server.address()), vec![server]))
    })
});

pub(crate) static CLUSTER: LazyLock<Shared> = LazyLock::new(|| {
    Shared::new("REDIS_CLUSTER_URLS", || {
        let nodes = servers::redis_cluster()?;
        let urls: Vec<_> = nodes.iter().map(|node| format!("redis://{}/", node.address())).collect();
        Some((urls.join(","), nodes))
    })
});

pub(crate) async fn store() -> Option<RedisStore> {
    Some(RedisStore::connect(SINGLE.url.as_deref()?).await.unwrap())
}

/// A connection beside the store's, as another program would have.
async fn beside() -> Option<MultiplexedConnection> {
    let client = redis::Client::open(SINGLE.url.as_deref()?).unwrap();
    Some(client.get_multiplexed_async_connection().await.unwrap())
}

/// A connection to a private server, as another program would have.
pub(crate) async fn connection_to(address: &str) -> MultiplexedConnection {
    let client = redis::Client::open(format!("redis://{address}/")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// Sends a server one command.
pub(crate) async fn tell(server: &servers::Server, command: &[&str]) -> redis::Value {
    let mut connection = connection_to(&server.address()).await;
    redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
}

mod single {
    use super::*;
    sessile::session_store_tests!(store);
}

#[cfg(feature = "sealed")]
mod sealed {
    use super::*;
    sessile::session_store_tests!(async || Some(sessile::Sealed::new(
        store().await?,
        "a key of 32 bytes or more for the kit"
    )));
}

mod hashed_ids {
    use super::*;
    sessile::session_store_tests!(async || Some(sessile::testing::HashedIds::new(store().await?)));
}

mod cluster {
    use super::*;
    sessile::session_store_tests!(async || {
        let urls = CLUSTER.url.as_deref()?;
        Some(sessile::RedisStore::connect_cluster(urls.split(',')).await.unwrap())
    });
}

#[tokio::test]
async fn keys_values_and_times_are_connect_redis() {
    let (Some(store), Some(mut other)) = (store().await, beside().await) else { return };
    let id = SessionId::random();
    let key = format!("sess:{}", id.as_str());
    let record = Record::from_json(r#"{"cookie":{"originalMaxAge":60000},"user":"bob"}"#).unwrap();
    // Whole seconds, rounded up.
    store.set(&id, &record, Duration::from_millis(59_001)).await.unwrap();
    let value: String = other.get(&key).await.unwrap();
    let mark = value.strip_prefix(record.as_json()).unwrap();
    assert!(mark.len() == 34 && mark.trim().is_empty(), "JSON allows nothing but white space there");
    assert_eq!(other.ttl::<_, i64>(&key).await.unwrap(), 60);
    store.touch(&id, Duration::from_secs(100)).await.unwrap();
    assert_eq!(other.ttl::<_, i64>(&key).await.unwrap(), 100);
    let version = store.get(&id).await.unwrap().unwrap().version.unwrap();
    store.replace(&id, &version, &record, Duration::from_secs(50)).await.unwrap();
    assert_eq!(other.ttl::<_, i64>(&key).await.unwrap(), 50);
    // A life of nothing removes, as connect-redis does.
    store.set(&id, &record, Duration::ZERO).await.unwrap();
    assert!(!other.exists::<_, bool>(&key).await.unwrap());
    // With `disableTTL` there a key never expires.
    let _: () = other.set(&key, record.as_json()).await.unwrap();
    assert_eq!(store.get(&id).await.unwrap().unwrap().expires_in, Some(Duration::MAX));
    for nothing in ["", "null", " null "] {
        let _: () = other.set(&key, nothing).await.unwrap();
        assert!(store.get(&id).await.unwrap().is_none(), "{nothing:?} is no session");
    }
    let _: () = other.set(&key, "{broken").await.unwrap();
    assert!(store.get(&id).await.unwrap_err().is_corrupt());
    assert_eq!(other.get::<_, String>(&key).await.unwrap(), "{broken");
    let named = store.clone().prefix("shop:");
    named.set(&id, &record, Duration::from_secs(9)).await.unwrap();
    assert!(other.exists::<_, bool>(format!("shop:{}", id.as_str())).await.unwrap());
}

/// What another program may put under a session's key.
enum Plant {
    /// `SET` with this value.
    Value(Vec<u8>),
    /// A command that makes a key of another type. The key is its second word.
    Type(&'static [&'static str]),
}

fn plants() -> Vec<(&'static str, Plant)> {
    let values = foreign::texts().into_iter().map(|(name, text)| (name, Plant::Value(text.into_bytes())));
    let bytes = foreign::bytes().into_iter().map(|(name, bytes)| (name, Plant::Value(bytes)));
    let types: [(_, &[&str]); 5] = [
        ("a hash", &["HSET", "password", foreign::SECRET]),
        ("a list", &["RPUSH", foreign::SECRET]),
        ("a set", &["SADD", foreign::SECRET]),
        ("a sorted set", &["ZADD", "1", foreign::SECRET]),
        ("a stream", &["XADD", "*", "password", foreign::SECRET]),
    ];
    values.chain(bytes).chain(types.map(|(name, command)| (name, Plant::Type(command)))).collect()
}

async fn nothing_foreign_is_a_session<C: redis::aio::ConnectionLike + Clone + Send + Sync>(
    store: impl SessionStore + Clone,
    connection: C,
) {
    let key = |id: &SessionId| format!("sess:{}", id.as_str());
    let plant = async |id: &SessionId, plant: &Plant| {
        let mut connection = connection.clone();
        let () = connection.del(key(id)).await.unwrap();
        match plant {
            Plant::Value(value) => connection.set(key(id), value).await.unwrap(),
            Plant::Type([command, arguments @ ..]) => {
                let command = redis::cmd(command).arg(key(id)).arg(arguments).to_owned();
                let _: redis::Value = command.query_async(&mut connection).await.unwrap();
            }
            Plant::Type([]) => unreachable!("a plant without a command"),
        }
    };
    let look = async |id: &SessionId| {
        let mut connection = connection.clone();
        let dump: Vec<u8> = redis::cmd("DUMP").arg(key(id)).query_async(&mut connection).await.unwrap();
        format!("{dump:?}")
    };
    foreign::check(store, plants(), plant, look).await;
}

#[tokio::test]
async fn nothing_foreign_is_a_session_on_a_server() {
    let (Some(store), Some(other)) = (store().await, beside().await) else { return };
    nothing_foreign_is_a_session(store, other).await;
}

#[tokio::test]
async fn nothing_foreign_is_a_session_on_a_cluster() {
    let Some(urls) = CLUSTER.url.as_deref() else { return };
    let store = RedisStore::connect_cluster(urls.split(',')).await.unwrap();
    let client = redis::cluster::ClusterClient::new(urls.split(',')).unwrap();
    nothing_foreign_is_a_session(store, client.get_async_connection().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_asked_for_again_and_counts_once() {
    let Some(url) = SINGLE.url.as_deref() else { return };
    let client = redis::Client::open(url).unwrap();
    let redis::ConnectionAddr::Tcp(host, port) = client.get_connection_info().addr() else { return };
    let proxy = Proxy::before(format!("{host}:{port}")).await;
    let store = RedisStore::connect(format!("redis://{}/", proxy.address)).await.unwrap();
    lost_answers::check(store, RedisStore::connect(url).await.unwrap(), &proxy).await;
}

/// What the server counts of a request's commands, scripts' own ones left out.
async fn commands(other: &mut MultiplexedConnection) -> u64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(other).await.unwrap();
    let count = |name: &str| -> u64 {
        let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:calls=")));
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse().unwrap())
    };
    // A load is GET and PTTL in one pipeline, so PTTL does not count; what a script does itself is
    // subtracted.
    let inside = count("eval") + count("evalsha");
    count("get") + count("set") + count("del") + count("expire") + inside
}

#[tokio::test]
async fn round_trips_of_each_kind_of_request() {
    // A server of its own: nothing else may be counted.
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    let client = redis::Client::open(url).unwrap();
    let other = client.get_multiplexed_async_connection().await.unwrap();
    let counts = trips::per_kind(store, async || commands(&mut other.clone()).await).await;
    // A script's own `SET` or `DEL` is counted as well: a write and a cycle have one script each.
    let inside = [0, 1, 0, 0, 0, 0, 1];
    let trips: Vec<_> = counts.iter().zip(inside).map(|(count, inside)| count - inside).collect();
    println!("redis, round trips: {:?} = {trips:?}", trips::KINDS);
    assert_eq!(trips, [1, 2, 2, 1, 0, 3, 3]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let refused = RedisStore::connect("redis://127.0.0.1:1/").await.unwrap_err();
    assert!(refused.is_unavailable() && std::error::Error::source(&refused).is_some());
    assert!(RedisStore::connect("nonsense").await.unwrap_err().is_unavailable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle() {
    // Every command on the disk before it is answered.
    let Some(server) = servers::redis(&["--appendonly", "yes", "--appendfsync", "always"]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    crate::faults::kill_and_restart(store, server, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes() {
    // The child is told where its parent's server is.
    let Some(url) = SINGLE.url.clone() else { return };
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    crate::faults::two_processes("redis::two_processes", ("REDIS_URL", &url), store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_one_session() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    crate::crowd::on_one_session("Redis", store, Some(Duration::from_millis(10))).await;
}

#[tokio::test]
async fn a_server_without_memory_refuses_and_loses_nothing() {
    let Some(server) = servers::redis(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let pad =
        |n: usize| Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(n))).unwrap();
    let id = SessionId::random();
    store.set(&id, &pad(10), Duration::from_secs(60)).await.unwrap();
    let mut refused = None;
    for _ in 0..100 {
        if let Err(error) = store.create(&SessionId::random(), &pad(100_000), Duration::from_secs(60)).await {
            refused = Some(error);
            break;
        }
    }
    let refused = refused.expect("3 MB hold 10 MB");
    assert!(refused.is_unavailable() && std::error::Error::source(&refused).is_some(), "{refused:?}");
    let stored = store.get(&id).await.unwrap().unwrap();
    assert_eq!(stored.record.as_json(), pad(10).as_json());
    assert!(
        store.replace(&id, &stored.version.unwrap(), &pad(100_000), Duration::from_secs(60)).await.is_err()
    );
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), pad(10).as_json());
}

#[tokio::test]
async fn a_server_that_evicts_ends_sessions_and_revives_none() {
    let Some(server) = servers::redis(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]) else {
        return;
    };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let config = crate::faults::config(store.clone());
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("n", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    let late = visitor.open().await.unwrap();
    late.insert("n", 2).unwrap();
    let pad = Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(100_000))).unwrap();
    for _ in 0..100 {
        store.set(&SessionId::random(), &pad, Duration::from_secs(60)).await.unwrap();
    }
    assert!(visitor.open().await.unwrap().is_new(), "nothing was evicted: this tests nothing");
    assert!(matches!(late.commit().await, Err(sessile::SessionError::Gone)));
}

#[tokio::test]
async fn len_and_clear_keep_to_their_prefix() {
    // Names of the tests' own, with letters that mean something in a pattern.
    let own = format!("t[*?]\\{}:", SessionId::random().as_str());
    if let (Some(store), Some(mut beside)) = (store().await, beside().await) {
        len_and_clear!(store.clone().prefix(&own), store.prefix("other:"), beside, own);
    }
    if let Some(urls) = CLUSTER.url.as_deref() {
        let store = RedisStore::connect_cluster(urls.split(',')).await.unwrap();
        let client = redis::cluster::ClusterClient::new(urls.split(',')).unwrap();
        let mut beside = client.get_async_connection().await.unwrap();
        len_and_clear!(store.clone().prefix(&own), store.prefix("other:"), beside, own);
    }
}

#[tokio::test]
async fn without_a_prefix_nothing_is_counted_or_cleared() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::connect(url.as_str()).await.unwrap().prefix("");
    let mut other = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let () = other.set("an order", "of another program").await.unwrap();
    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    assert!(other.exists::<_, bool>(id.as_str()).await.unwrap(), "an empty prefix is one as well");
    for refused in
        [store.clear().await.map(drop), store.len().await.map(drop), store.is_empty().await.map(drop)]
    {
        let error = refused.unwrap_err();
        let why = std::error::Error::source(&error).unwrap().to_string();
        assert!(why.contains("`RedisStore::prefix`"), "{why}");
    }
    assert!(other.exists::<_, bool>("an order").await.unwrap(), "somebody else's key is gone");
    assert!(store.get(&id).await.unwrap().is_some());
}

macro_rules! len_and_clear {
    ($store:expr, $other:expr, $beside:expr, $own:expr) => {
        let (store, other) = ($store, $other);
        let foreign = SessionId::random();
        other.set(&foreign, &Record::default(), Duration::from_secs(60)).await.unwrap();
        assert!(store.is_empty().await.unwrap());
        for _ in 0..50 {
            store.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
        }
        assert_eq!(store.len().await.unwrap(), 50);
        // No id is like this, but a key may be.
        let mut key = $own.clone().into_bytes();
        key.push(0xff);
        let () = $beside.set(key, "").await.unwrap();
        assert_eq!(store.len().await.unwrap(), 51);
        store.clear().await.unwrap();
        assert_eq!(store.len().await.unwrap(), 0);
        assert!(other.get(&foreign).await.unwrap().is_some(), "somebody else's key is gone");
    };
}
use len_and_clear;

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    let mut other = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    store.set(&id, &Record::default(), minute).await.unwrap();
    let expected = store.get(&id).await.unwrap().unwrap().version.unwrap();
    for _ in 0..2 {
        let done = store.replace(&id, &expected, &Record::default(), minute).await.unwrap();
        assert!(matches!(done, Replaced::Done(_) | Replaced::Conflict(_)), "{done:?}");
        let () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut other).await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_connection_is_made_anew_within_the_request() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    let mut other = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let minute = Duration::from_secs(60);
    // So many that they use all of the store's connections.
    let ids: Vec<_> = std::iter::repeat_with(SessionId::random).take(50).collect();
    for id in &ids {
        store.set(id, &Record::default(), minute).await.unwrap();
    }
    for _ in 0..5 {
        let killed: u64 =
            redis::cmd("CLIENT").arg("KILL").arg("SKIPME").arg("yes").query_async(&mut other).await.unwrap();
        assert_eq!(killed, 3);
        for id in &ids {
            assert!(store.get(id).await.unwrap().is_some());
            assert!(store.touch(id, minute).await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_session_keeps_to_one_of_the_connections() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    let mut other = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    // Those whose last command is a `get`'s.
    let mut used = async || {
        let list: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut other).await.unwrap();
        list.lines().filter(|line| line.contains(" cmd=pttl ")).count()
    };
    assert_eq!(used().await, 0);
    let id = SessionId::random();
    for _ in 0..20 {
        store.get(&id).await.unwrap();
    }
    assert_eq!(used().await, 1);
    for _ in 0..200 {
        store.get(&SessionId::random()).await.unwrap();
    }
    assert_eq!(used().await, 3);
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_as_a_timeout() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let hasty = RedisStore::connect(url.as_str()).await.unwrap().timeout(Duration::from_millis(100));
    let mut other = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let () = redis::cmd("CLIENT").arg("PAUSE").arg(600).arg("ALL").query_async(&mut other).await.unwrap();
    let began = std::time::Instant::now();
    let error = hasty.get(&SessionId::random()).await.unwrap_err();
    assert!(error.is_unavailable() && began.elapsed() < Duration::from_millis(500), "{error:?}");
}
