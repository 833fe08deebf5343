//! What a `RedisStore` that announces ends tells other stores, and what it hears.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use redis::AsyncCommands as _;
use sessile::testing::Visitor;
use sessile::{Ended, Record, RedisStore, Replaced, SessionConfig, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Server};

use crate::redis::{CLUSTER, connection_to, tell};
use crate::redis_rights::{RIGHTS, user};

const MINUTE: Duration = Duration::from_secs(60);

/// What a store hears. An announcement without an answer is sent again, so a session may be told of twice, and
/// late: each counts once.
struct Heard {
    ids: BoxStream<'static, SessionId>,
    known: HashSet<SessionId>,
}

impl Heard {
    /// The next id that was not heard before; `None` once the stream has ended.
    async fn next(&mut self) -> Option<SessionId> {
        let known = &mut self.known;
        let new = async {
            loop {
                match self.ids.next().await {
                    Some(id) if !known.insert(id.clone()) => {}
                    heard => return heard,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), new).await.expect("nothing was heard")
    }
}

async fn announcing(server: &Server) -> RedisStore {
    let url = format!("redis://{}/", server.address());
    RedisStore::builder().announce_ends(true).connect(url).await.unwrap()
}

/// A stream that listens already, to each node of a cluster: it hears of the ends of as many sessions as are in
/// each of them for sure, which `other` ends for the purpose.
async fn watch(store: &impl SessionStore, other: &impl SessionStore) -> Heard {
    let mut heard = Heard { ids: store.watch().expect("the store announces ends"), known: HashSet::new() };
    let probes: HashSet<_> = (0..32).map(|_| SessionId::random()).collect();
    for _ in 0..100 {
        for probe in probes.difference(&heard.known) {
            other.destroy(probe).await.unwrap();
        }
        while heard.known.len() < probes.len() {
            let next = tokio::time::timeout(Duration::from_millis(100), heard.ids.next()).await;
            let Ok(id) = next else { break };
            let id = id.expect("the stream has ended");
            assert!(probes.contains(&id));
            heard.known.insert(id);
        }
        if heard.known.len() == probes.len() {
            return heard;
        }
    }
    panic!("nothing was heard");
}

/// Each way to end a session is announced, and nothing else.
async fn ends_are_heard(one: &impl SessionStore, two: &impl SessionStore) {
    let mut heard = watch(one, two).await;
    let (ended, moved, kept) = (SessionId::random(), SessionId::random(), SessionId::random());
    let (first, second) = (Record::default(), Record::from_json(r#"{"cookie":{},"n":2}"#).unwrap());
    for id in [&ended, &moved, &kept] {
        two.set(id, &first, MINUTE).await.unwrap();
    }
    let version = two.get(&kept).await.unwrap().unwrap().version.unwrap();
    let done = two.replace(&kept, &version, &second, MINUTE).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)));
    let conflict = two.destroy_if(&kept, &version).await.unwrap();
    assert!(matches!(conflict, Replaced::Conflict(_)));
    let gone = two.destroy_if(&SessionId::random(), &version).await.unwrap();
    assert!(matches!(gone, Replaced::Gone));
    two.touch(&kept, MINUTE).await.unwrap();
    two.users().unwrap().append("ada", "[1]\n").await.unwrap();
    two.users().unwrap().replace("ada", "[1]\n", "").await.unwrap();
    two.destroy(&ended).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), ended);
    let version = two.get(&moved).await.unwrap().unwrap().version.unwrap();
    assert!(matches!(two.destroy_if(&moved, &version).await.unwrap(), Replaced::Done(_)));
    assert_eq!(heard.next().await.unwrap(), moved);
    // A store hears of its own as well.
    one.destroy(&kept).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), kept);
}

#[tokio::test]
async fn ends_are_heard_on_a_server() {
    for server in [servers::redis(&[]), servers::valkey(&[])].into_iter().flatten() {
        ends_are_heard(&announcing(&server).await, &announcing(&server).await).await;
    }
}

#[tokio::test]
async fn ends_are_heard_on_a_cluster() {
    let Some(urls) = CLUSTER.url.as_deref() else { return };
    // Of its own prefix, for the cluster is shared.
    let prefix = format!("{}:", SessionId::random().as_str());
    let connect = |urls: Vec<String>| {
        RedisStore::builder().prefix(prefix.clone()).announce_ends(true).connect_cluster(urls)
    };
    let urls: Vec<_> = urls.split(',').map(str::to_owned).collect();
    let one = connect(urls.clone()).await.unwrap();
    // The other one listens at another node.
    let two = connect(urls.into_iter().rev().collect()).await.unwrap();
    ends_are_heard(&one, &two).await;
    ends_are_heard(&two, &one).await;
}

#[tokio::test]
async fn stores_with_another_prefix_are_not_heard() {
    let Some(server) = servers::redis(&["--notify-keyspace-events", "Egxe"]) else { return };
    let store = announcing(&server).await;
    let mut heard = watch(&store, &store).await;
    let (id, other) = (SessionId::random(), store.clone().prefix("shop:"));
    other.set(&id, &Record::default(), MINUTE).await.unwrap();
    other.destroy(&id).await.unwrap();
    store.destroy(&SessionId::new("last").unwrap()).await.unwrap();
    assert_eq!(heard.next().await.unwrap().as_str(), "last");
}

/// The logout of an Express application is a `DEL`, which announces nothing by itself.
#[tokio::test]
async fn keys_that_are_gone_are_heard_of_where_the_server_tells() {
    let Some(server) = servers::redis(&["--notify-keyspace-events", "Egxe"]) else { return };
    let url = format!("redis://{}/3", server.address());
    let store = RedisStore::builder().announce_ends(true).connect(url.as_str()).await.unwrap();
    let mut heard = watch(&store, &store).await;
    let mut express = connection_to(&server.address()).await;
    let (id, expired) = (SessionId::random(), SessionId::random());
    let key = |id: &SessionId| format!("sess:{}", id.as_str());
    // In another database there are other sessions.
    let () = express.set("sess:elsewhere", "{}").await.unwrap();
    let () = express.del("sess:elsewhere").await.unwrap();
    let () = redis::cmd("SELECT").arg(3).query_async(&mut express).await.unwrap();
    // What has no such prefix is no session.
    let () = express.set("cart:1", "{}").await.unwrap();
    let () = express.del("cart:1").await.unwrap();
    store.users().unwrap().append("ada", "[1]\n").await.unwrap();
    store.users().unwrap().replace("ada", "[1]\n", "").await.unwrap();
    // Neither is the key under which a large record waits: not when it is renamed, not when a conflict removes
    // it, and not for a store with a prefix that it begins with.
    let short = store.clone().prefix("s");
    let mut heard_short = watch(&short, &short).await;
    let large = |n| {
        let pad = "x".repeat(4096);
        Record::from_json(format!(r#"{{"cookie":{{}},"n":{n},"pad":"{pad}"}}"#)).unwrap()
    };
    store.set(&id, &large(1), MINUTE).await.unwrap();
    let version = store.get(&id).await.unwrap().unwrap().version.unwrap();
    let done = store.replace(&id, &version, &large(2), MINUTE).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)), "{done:?}");
    let conflict = store.replace(&id, &version, &large(3), MINUTE).await.unwrap();
    assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
    let () = express.del(key(&id)).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), id);
    assert_eq!(heard_short.next().await.unwrap().as_str(), format!("ess:{}", id.as_str()));
    store.set(&expired, &Record::default(), MINUTE).await.unwrap();
    let () = express.pexpire(key(&expired), 1).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), expired);
}

#[tokio::test]
async fn the_stream_ends_with_its_connection() {
    let Some(server) = servers::redis(&[]) else { return };
    let (one, two) = (announcing(&server).await, announcing(&server).await);
    let mut heard = watch(&one, &two).await;
    tell(&server, &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    assert_eq!(heard.next().await, None);
    // Another one hears again.
    ends_are_heard(&one, &two).await;
    // Where there is no server the stream ends, and is no error.
    let address = server.address();
    drop(server);
    let mut heard = Heard { ids: one.watch().unwrap(), known: HashSet::new() };
    assert_eq!(heard.next().await, None, "{address}");
}

/// Who waits for the end of a session learns of a logout in another process long before the next look at the
/// store, and hears from its own process how a session ended that it has ended itself.
#[tokio::test]
async fn who_waits_for_an_end_hears_of_it() {
    let Some(server) = servers::redis(&["--notify-keyspace-events", "Egxe"]) else { return };
    let configure = |store| {
        let builder = SessionConfig::builder("a secret of at least 32 bytes for tests").store(store);
        builder.look_every(10 * MINUTE).build().unwrap()
    };
    let (one, two) = (configure(announcing(&server).await), configure(announcing(&server).await));
    let log_in = async |user: &str| {
        let mut visitor = Visitor::new(&one);
        let session = visitor.open().await.unwrap();
        session.log_in(user).unwrap();
        visitor.commit(&session).await.unwrap();
        (tokio::spawn(visitor.open().await.unwrap().ended()), visitor)
    };
    // As long as this one waits, the process listens.
    let (standing, _visitor) = log_in("bob").await;
    let listens = async {
        loop {
            let answer = tell(&server, &["PUBSUB", "NUMSUB", "sessile:ended:sess:"]).await;
            if matches!(answer, redis::Value::Array(counts) if counts.last() != Some(&redis::Value::Int(0))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), listens).await.expect("nobody listens");
    for (process, call, how) in [
        (&two, "log_out", Ended::Gone),
        (&two, "cycle_id", Ended::Gone),
        (&one, "log_out", Ended::Destroyed),
        (&one, "cycle_id", Ended::Moved),
    ] {
        let (waiting, visitor) = log_in("ada").await;
        let elsewhere = process.session_from_headers(&visitor.headers()).await.unwrap();
        match call {
            "log_out" => elsewhere.log_out(),
            _ => elsewhere.cycle_id(),
        }
        drop(elsewhere.commit().await.unwrap());
        let told = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert_eq!(told.expect("nothing was heard").unwrap(), how, "{call}");
    }
    assert!(!standing.is_finished());
}

#[tokio::test]
async fn who_drops_the_stream_leaves_no_connection() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = announcing(&server).await;
    let listeners = async || {
        let redis::Value::BulkString(list) = tell(&server, &["CLIENT", "LIST", "TYPE", "pubsub"]).await
        else {
            panic!("no list")
        };
        String::from_utf8(list).unwrap().lines().count()
    };
    let heard = watch(&store, &store).await;
    assert_eq!(listeners().await, 1);
    drop(heard);
    let began = std::time::Instant::now();
    while listeners().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(10), "the connection stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_does_not_ask_for_it_announces_and_hears_nothing() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    assert!(store.watch().is_none());
    let mut heard = watch(&announcing(&server).await, &announcing(&server).await).await;
    store.destroy(&SessionId::random()).await.unwrap();
    let last = SessionId::random();
    announcing(&server).await.destroy(&last).await.unwrap();
    assert_eq!(heard.next().await.unwrap(), last);
    // A connection from outside has no address to listen at.
    let store = RedisStore::new(connection_to(&server.address()).await);
    assert!(store.watch().is_none());
}

#[tokio::test]
async fn the_documented_rights_are_enough_to_announce_and_to_hear() {
    let Some(server) = servers::redis(&["--notify-keyspace-events", "Egxe"]) else { return };
    const OWN: &str = "+publish +subscribe &sessile:ended:*";
    let connect = async |rules: &str| {
        let url =
            user(&server, "teller", &format!("resetchannels ~sess:* ~sessile:users:* {RIGHTS} {rules}"))
                .await;
        RedisStore::builder().prefix("sess:").announce_ends(true).connect(url).await
    };
    // Without a right to the events there are the announcements.
    let index = "+append +multi +exec";
    let store = connect(&format!("{OWN} {index}")).await.unwrap();
    ends_are_heard(&store, &store).await;
    let store = connect(&format!("{OWN} &__keyevent@0__:*")).await.unwrap();
    let mut heard = watch(&store, &store).await;
    let mut express = connection_to(&server.address()).await;
    let () = express.set("sess:express", "{}").await.unwrap();
    let () = express.del("sess:express").await.unwrap();
    assert_eq!(heard.next().await.unwrap().as_str(), "express");
    // What is missing is named when the store connects.
    for (rules, missing) in [
        ("+subscribe &sessile:ended:*", "+publish"),
        ("+publish +subscribe", "the channel `sessile:ended:sess:`"),
    ] {
        let refused = connect(rules).await.unwrap_err();
        let why = std::error::Error::source(&refused).unwrap().to_string();
        assert!(why.contains(missing), "{why}");
    }
    // Who announces nothing needs no such right.
    let url = user(&server, "plain", &format!("resetchannels ~sess:* {RIGHTS}")).await;
    RedisStore::connect(url).await.unwrap().check().await.unwrap();
}
