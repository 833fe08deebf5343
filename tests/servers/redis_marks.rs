//! What `RedisStore` leaves behind a record to know it by, and the key under which a large record waits, on
//! servers that do not compare by themselves.

use std::sync::LazyLock;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncCommands as _, RedisFuture};
use sessile::{Record, RedisStore, Replaced, SessionId, SessionStore, StoreError, Stored, Version};
use sessile_test_servers::{self as servers, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::logs::Logs;
use crate::lost_answers::{self, Proxy};
use crate::redis::{CLUSTER, connection_to, tell};
use crate::redis_conditional::{calls, conditions_hold};
use crate::redis_rights::{RIGHTS, every_call_works, user};
use crate::redis_users::INDEX_RIGHTS;

const MINUTE: Duration = Duration::from_secs(60);

/// White space that makes each record a large one.
static PAD: LazyLock<String> = LazyLock::new(|| " ".repeat(4096));

fn padded(record: &Record) -> Record {
    Record::from_json([record.as_json(), &PAD].concat()).unwrap()
}

fn unpadded(stored: Stored) -> Stored {
    let record = Record::from_json(stored.record.as_json().strip_suffix(PAD.as_str()).unwrap()).unwrap();
    let mut unpadded = Stored::from(record);
    (unpadded.version, unpadded.expires_in) = (stored.version, stored.expires_in);
    unpadded
}

/// The version as the store inside knows it: where it is the text of a record, it is that of the large one.
fn padded_version(version: &Version) -> Version {
    match version.as_bytes() {
        Some(text) if !text.ends_with(PAD.as_bytes()) => [text, PAD.as_bytes()].concat().into(),
        _ => version.clone(),
    }
}

fn padded_answer(answer: Replaced) -> Replaced {
    match answer {
        Replaced::Conflict(stored) => Replaced::Conflict(unpadded(stored)),
        answer => answer,
    }
}

/// A store whose records are all large.
#[derive(Clone)]
struct Large<S>(S);

impl<S: SessionStore> SessionStore for Large<S> {
    sessile::forward_store!(self => self.0, except get, set, create, replace, destroy_if, get_many);

    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        Ok(self.0.get(id).await?.map(unpadded))
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.0.set(id, &padded(record), ttl).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.0.create(id, &padded(record), ttl).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let answer = self.0.replace(id, &padded_version(expected), &padded(record), ttl).await?;
        Ok(padded_answer(answer))
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        Ok(padded_answer(self.0.destroy_if(id, &padded_version(expected)).await?))
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let found = self.0.get_many(ids).await?;
        Ok(found.into_iter().map(|stored| stored.map(unpadded)).collect())
    }
}

mod large {
    use super::*;
    sessile::session_store_tests!(async || Some(Large(crate::redis::store().await?)));
}

mod large_on_a_cluster {
    use super::*;
    sessile::session_store_tests!(async || {
        let urls = CLUSTER.url.as_deref()?;
        Some(Large(RedisStore::connect_cluster(urls.split(',')).await.unwrap()))
    });
}

fn record(n: u32) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap()
}

fn large(n: u32) -> Record {
    padded(&record(n))
}

async fn version(store: &impl SessionStore, id: &SessionId) -> Version {
    store.get(id).await.unwrap().unwrap().version.unwrap()
}

async fn replaces(store: &impl SessionStore, id: &SessionId, record: &Record) -> Version {
    match store.replace(id, &version(store, id).await, record, MINUTE).await.unwrap() {
        Replaced::Done(version) => version,
        other => panic!("{other:?}"),
    }
}

async fn keys(beside: &mut impl ConnectionLike, pattern: &str) -> Vec<String> {
    redis::cmd("KEYS").arg(pattern).query_async(beside).await.unwrap()
}

/// How many keys the server has renamed. Connecting tries it where there is none.
async fn renames(server: &Server) -> u64 {
    let (calls, failed) = calls(server, "rename").await;
    calls - failed
}

async fn private() -> Option<(Server, RedisStore, MultiplexedConnection)> {
    let server = servers::redis(&[])?;
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let beside = connection_to(&server.address()).await;
    Some((server, store, beside))
}

#[tokio::test]
async fn a_large_record_is_renamed_and_a_small_one_is_not() {
    let Some((server, store, mut beside)) = private().await else { return };
    let id = SessionId::random();
    store.set(&id, &record(1), MINUTE).await.unwrap();
    replaces(&store, &id, &record(2)).await;
    assert_eq!(renames(&server).await, 0);
    replaces(&store, &id, &large(3)).await;
    assert_eq!(renames(&server).await, 1);
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(3).as_json());
    let life: i64 = beside.ttl(format!("sess:{}", id.as_str())).await.unwrap();
    assert!(life > 50, "the record has the life of the key beside: {life}");
    assert!(keys(&mut beside, "sessile:*").await.is_empty());
    conditions_hold(&Large(store)).await;
    assert!(keys(&mut beside, "sessile:*").await.is_empty(), "a conflict leaves the new record beside");
}

/// Express leaves the mark out, and any other program may write what it likes.
#[tokio::test]
async fn what_others_write_is_compared_as_a_whole() {
    let Some((server, store, mut beside)) = private().await else { return };
    for make in [record, large] {
        let id = SessionId::random();
        let key = format!("sess:{}", id.as_str());
        store.set(&id, &make(1), MINUTE).await.unwrap();
        let seen = version(&store, &id).await;
        let () = beside.set_ex(&key, make(2).as_json(), 60).await.unwrap();
        for answer in [
            store.replace(&id, &seen, &make(3), MINUTE).await.unwrap(),
            store.destroy_if(&id, &seen).await.unwrap(),
        ] {
            let Replaced::Conflict(now) = answer else { panic!("{answer:?}") };
            assert_eq!(now.record.as_json(), make(2).as_json());
        }
        // The text without a mark is what is expected now.
        let seen = version(&store, &id).await;
        replaces(&store, &id, &make(3)).await;
        let conflict = store.replace(&id, &seen, &make(4), MINUTE).await.unwrap();
        assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
        // The same text again, with another mark: somebody has written.
        let seen = version(&store, &id).await;
        assert_ne!(replaces(&store, &id, &make(3)).await, seen);
        let conflict = store.destroy_if(&id, &seen).await.unwrap();
        assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
    }
    assert_eq!(renames(&server).await, 1, "for the mark of a large record");
}

/// What was created is known by its text, until it is loaded.
#[tokio::test]
async fn a_record_that_was_just_created_is_replaced_without_a_conflict() {
    let Some((_server, store, _)) = private().await else { return };
    let id = SessionId::random();
    assert!(store.create(&id, &record(1), MINUTE).await.unwrap());
    let done = store.replace(&id, &Version::of(&record(1)), &record(2), MINUTE).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)), "{done:?}");
    let conflict = store.replace(&id, &Version::of(&record(1)), &record(3), MINUTE).await.unwrap();
    assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
    let done = store.destroy_if(&id, &Version::of(&record(2))).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_about_a_large_record_is_asked_for_again_and_counts_once() {
    let Some((server, store, _)) = private().await else { return };
    let proxy = Proxy::before(server.address()).await;
    let through = RedisStore::connect(format!("redis://{}/", proxy.address)).await.unwrap();
    lost_answers::check(Large(through), Large(store), &proxy).await;
}

/// What arrives a second time, or late, writes nothing.
#[tokio::test]
async fn a_call_that_comes_again_or_late_changes_nothing() {
    let Some((server, store, mut beside)) = private().await else { return };
    for make in [record, large] {
        let id = SessionId::random();
        let key = format!("sess:{}", id.as_str());
        store.set(&id, &make(1), MINUTE).await.unwrap();
        let old: Vec<u8> = beside.get(&key).await.unwrap();
        let monitored = Monitor::of(&server).await;
        let done = replaces(&store, &id, &make(2)).await;
        let new: Vec<u8> = beside.get(&key).await.unwrap();
        let sent = monitored.commands().await;
        // The same call, as it arrives a second time.
        for command in &sent {
            let mut again = redis::cmd(&command[0]);
            again.arg(&command[1..]);
            let _: redis::Value = again.query_async(&mut beside).await.unwrap();
        }
        assert_eq!(beside.get::<_, Vec<u8>>(&key).await.unwrap(), new, "it has written once more");
        assert_ne!(old, new);
        assert_eq!(version(&store, &id).await, done);
        assert!(keys(&mut beside, "sessile:*").await.is_empty());
        // It arrives late, after somebody else has written.
        let () = beside.set_ex(&key, make(7).as_json(), 60).await.unwrap();
        for command in &sent {
            let mut again = redis::cmd(&command[0]);
            again.arg(&command[1..]);
            let _: redis::Value = again.query_async(&mut beside).await.unwrap();
        }
        assert_eq!(beside.get::<_, String>(&key).await.unwrap(), make(7).as_json());
        assert!(keys(&mut beside, "sessile:*").await.is_empty());
    }
}

/// A connection that sends everything twice and returns the second answer, as the driver of a cluster does when
/// a connection drops before the first.
#[derive(Clone)]
struct Twice(MultiplexedConnection);

impl ConnectionLike for Twice {
    fn req_packed_command<'a>(&'a mut self, command: &'a redis::Cmd) -> RedisFuture<'a, redis::Value> {
        Box::pin(async move {
            let _ = self.0.req_packed_command(command).await;
            self.0.req_packed_command(command).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a redis::Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<redis::Value>> {
        Box::pin(async move {
            let _ = self.0.req_packed_commands(commands, offset, count).await;
            self.0.req_packed_commands(commands, offset, count).await
        })
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}

#[tokio::test]
async fn a_driver_that_sends_again_by_itself_makes_no_conflict() {
    for server in [servers::redis(&[]), servers::valkey(&[])].into_iter().flatten() {
        let store = RedisStore::new(Twice(connection_to(&server.address()).await));
        for make in [record, large] {
            let id = SessionId::random();
            store.set(&id, &make(1), MINUTE).await.unwrap();
            let old = version(&store, &id).await;
            let done = replaces(&store, &id, &make(2)).await;
            assert_eq!(version(&store, &id).await, done);
            // Another process has written the same.
            let conflict = store.replace(&id, &old, &make(2), MINUTE).await.unwrap();
            assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
        }
    }
}

/// What clients send to a server: `MONITOR` shows it.
struct Monitor(tokio::sync::mpsc::UnboundedReceiver<String>);

impl Monitor {
    async fn of(server: &Server) -> Self {
        let client = redis::Client::open(format!("redis://{}/", server.address())).unwrap();
        // From now on the server shows what it is sent.
        let mut lines = client.get_async_monitor().await.unwrap().into_on_message::<String>();
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(line) = lines.next().await {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The writes that were sent since, those of scripts left out: `SET` beside and the call of the script.
    async fn commands(mut self) -> Vec<Vec<String>> {
        let mut commands = Vec::new();
        while let Ok(Some(line)) = tokio::time::timeout(Duration::from_millis(200), self.0.recv()).await {
            let Some((head, words)) = line.split_once("] ") else { continue };
            let words: Vec<String> =
                serde_json::Deserializer::from_str(words).into_iter::<String>().map(Result::unwrap).collect();
            if !head.ends_with("lua") && ["SET", "EVALSHA"].contains(&words[0].as_str()) {
                commands.push(words);
            }
        }
        assert!(!commands.is_empty());
        commands
    }
}

/// A proxy that holds a script back for as long as the key beside lives, which it makes shorter.
async fn beside_expires(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut sent = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut sent).await {
                    const SHORT: &[u8] = b"$2\r\nPX\r\n$2\r\n11\r\n";
                    let long = b"$2\r\nEX\r\n$2\r\n10\r\n";
                    let sent = &mut sent[..read];
                    let Some(at) = sent.windows(long.len()).position(|part| part == long) else {
                        to_server.write_all(sent).await.unwrap();
                        continue;
                    };
                    sent[at..at + long.len()].copy_from_slice(SHORT);
                    let (set, script) = sent.split_at(at + long.len());
                    to_server.write_all(set).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(60)).await;
                    to_server.write_all(script).await.unwrap();
                }
            });
        }
    });
    address
}

/// The server may evict the key beside before the script comes.
#[tokio::test]
async fn a_key_beside_that_is_gone_costs_no_record() {
    let Some((server, store, _)) = private().await else { return };
    let proxy = beside_expires(server.address()).await;
    let through = RedisStore::connect(format!("redis://{proxy}/")).await.unwrap();
    let id = SessionId::random();
    store.set(&id, &large(1), MINUTE).await.unwrap();
    // The server knows the script from now on.
    replaces(&store, &id, &large(2)).await;
    let before = calls(&server, "evalsha").await.0;
    replaces(&through, &id, &large(3)).await;
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(3).as_json());
    assert_eq!(renames(&server).await, 1, "the key beside was there: this tests nothing");
    assert_eq!(calls(&server, "evalsha").await.0, before + 2, "one that found it gone, and one that wrote");
    conditions_hold(&Large(through)).await;
}

/// A server without memory refuses a write whichever way it comes, so it is not sent the record once more for each.
#[tokio::test]
async fn a_server_that_takes_no_write_is_asked_once() {
    let Some((server, store, mut beside)) = private().await else { return };
    let id = SessionId::random();
    store.set(&id, &large(1), MINUTE).await.unwrap();
    // The server knows the script from now on.
    replaces(&store, &id, &large(2)).await;
    let version = version(&store, &id).await;
    tell(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let before = calls(&server, "evalsha").await.0;
    let refused = store.replace(&id, &version, &large(3), MINUTE).await.unwrap_err();
    assert!(refused.to_string().contains("OOM") || format!("{refused:?}").contains("OOM"), "{refused:?}");
    assert_eq!(calls(&server, "evalsha").await.0, before + 1);
    tell(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(keys(&mut beside, "sessile:*").await.is_empty());
    replaces(&store, &id, &large(3)).await;
}

/// A call that ends between its two commands leaves the key beside for a few seconds, and nothing else.
#[tokio::test]
async fn a_call_that_breaks_off_leaves_a_key_that_expires() {
    let Some((server, store, mut beside)) = private().await else { return };
    let id = SessionId::random();
    store.set(&id, &large(1), MINUTE).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = server.address();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&target).await.unwrap().into_split();
            let answers =
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut sent = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut sent).await {
                    let end = b"$2\r\nEX\r\n$2\r\n10\r\n";
                    let cut = sent[..read].windows(end.len()).position(|part| part == end);
                    let cut_off = cut.map_or(read, |at| at + end.len());
                    to_server.write_all(&sent[..cut_off]).await.unwrap();
                    if cut.is_some() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        answers.abort();
                        return;
                    }
                }
            });
        }
    });
    let through = RedisStore::connect(format!("redis://{address}/")).await.unwrap();
    let seen = version(&through, &id).await;
    let error = through.replace(&id, &seen, &large(2), MINUTE).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    let left = keys(&mut beside, "sessile:*").await;
    assert_eq!(left.len(), 1, "the retry has the same key: {left:?}");
    let life: i64 = beside.ttl(&left[0]).await.unwrap();
    assert!((0..=10).contains(&life), "{life}");
    // Nobody takes it for a session, also with a prefix that it begins with.
    for (prefix, sessions) in [("sess:", 1), ("sess", 1), ("sessile:", 0), ("s", 1)] {
        let store = store.clone().prefix(prefix);
        assert_eq!(store.len().await.unwrap(), sessions, "{prefix}");
        assert_eq!(store.ids().unwrap().count().await, sessions, "{prefix}");
    }
    store.clone().prefix("sessile:").clear().await.unwrap();
    assert_eq!(keys(&mut beside, "sessile:*").await, left);
    replaces(&store, &id, &large(3)).await;
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(3).as_json());
}

/// What a user may not do is done in another way, and said.
#[tokio::test]
async fn rights_that_only_make_writes_cheap_are_not_needed() {
    let Some((server, _, mut beside)) = private().await else { return };
    let every = format!("{RIGHTS} +getrange +rename");
    for (rights, keys_of, lacking, is_renamed) in [
        (every.as_str(), "~sess:* ~sessile:new:*", None, true),
        (RIGHTS, "~sess:* ~sessile:new:*", Some("+getrange"), false),
        (&format!("{RIGHTS} +getrange"), "~sess:* ~sessile:new:*", Some("+rename"), false),
        (&format!("{RIGHTS} +rename"), "~sess:* ~sessile:new:*", Some("+getrange"), false),
        (&every, "~sess:*", Some("~sessile:new:*"), false),
    ] {
        let url = user(&server, "app", &format!("{keys_of} {rights}")).await;
        let logs = Logs::capture();
        let store = RedisStore::connect(url).await.unwrap();
        store.check().await.unwrap();
        store.check().await.unwrap();
        match lacking {
            None => assert_eq!(logs.warnings(), [""; 0]),
            Some(right) => {
                assert!(logs.warnings()[0].contains(right), "{right}: {:?}", logs.warnings());
                assert_eq!(logs.warnings().len(), 1);
            }
        }
        let before = renames(&server).await;
        for _ in 0..6 {
            every_call_works(&Large(store.clone())).await;
            conditions_hold(&Large(store.clone())).await;
            every_call_works(&store).await;
            conditions_hold(&store).await;
        }
        assert_eq!(renames(&server).await > before, is_renamed, "{lacking:?}");
        assert!(keys(&mut beside, "sessile:*").await.is_empty(), "{lacking:?} leaves keys");
    }
}

/// In a cluster, the key beside has to be where the record is, whatever braces the prefix has.
#[tokio::test]
async fn braces_in_a_prefix_do_not_part_a_record_from_its_key_beside() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let urls: Vec<_> = nodes.iter().map(|node| format!("redis://{}/", node.address())).collect();
    let store = RedisStore::connect_cluster(urls).await.unwrap();
    let renamed = async || {
        let mut sum = 0;
        for node in &nodes {
            sum += renames(node).await;
        }
        sum
    };
    for (prefix, expected) in
        [("sess:", 9), ("{shop}:", 9), ("a{b}c{d}", 9), ("a{", 9), ("{}", 0), ("a}b", 0), ("s", 0), ("", 0)]
    {
        let store = store.clone().prefix(prefix);
        let before = renamed().await;
        for _ in 0..9 {
            every_call_works(&Large(store.clone())).await;
        }
        assert_eq!(renamed().await - before, expected, "{prefix}");
    }
}

/// A slot that moves from one node to another one.
struct Move {
    slot: String,
    source: usize,
    target: usize,
    names: Vec<String>,
}

/// Begins to move the slot of this key.
async fn begin_move(nodes: &[Server], key: &str) -> Move {
    let slot = match tell(&nodes[0], &["CLUSTER", "KEYSLOT", key]).await {
        redis::Value::Int(slot) => slot.to_string(),
        other => panic!("{other:?}"),
    };
    let mut names = Vec::new();
    let mut source = None;
    for (at, node) in nodes.iter().enumerate() {
        let mut beside = connection_to(&node.address()).await;
        names.push(redis::cmd("CLUSTER").arg("MYID").query_async::<String>(&mut beside).await.unwrap());
        if redis::cmd("EXISTS").arg(key).query_async::<bool>(&mut beside).await.is_ok() {
            source = Some(at);
        }
    }
    let source = source.unwrap();
    let target = (source + 1) % nodes.len();
    tell(&nodes[target], &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &names[source]]).await;
    tell(&nodes[source], &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &names[target]]).await;
    Move { slot, source, target, names }
}

/// Ends it: all nodes hear of the slot's new place.
async fn end_move(nodes: &[Server], Move { slot, target, names, .. }: &Move) {
    // Who loses the slot may not have keys in it; the new place hears first.
    for at in [*target].into_iter().chain((0..nodes.len()).filter(|at| at != target)) {
        tell(&nodes[at], &["CLUSTER", "SETSLOT", slot, "NODE", &names[*target]]).await;
    }
}

/// While a slot moves, its old place sends those who ask for what it does not have to the new one, which serves one
/// command after another.
#[tokio::test]
async fn every_call_works_while_a_cluster_moves_the_slot_of_all_keys() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let rights = format!(
        "~{{shop}}:* ~sessile:new:* {RIGHTS} {INDEX_RIGHTS} +getrange +rename +cluster|slots +asking"
    );
    let mut urls = Vec::new();
    for node in &nodes {
        urls.push(user(node, "app", &rights).await);
    }
    let store = RedisStore::connect_cluster(urls).await.unwrap().prefix("{shop}:");
    let every_step = async || {
        every_call_works(&store).await;
        conditions_hold(&store).await;
        every_call_works(&Large(store.clone())).await;
        conditions_hold(&Large(store.clone())).await;
        sessile::testing::users::users_are_kept(store.clone()).await;
        sessile::testing::users::lines_of_a_user_are_not_lost(store.clone()).await;
        store.check().await.unwrap();
    };
    every_step().await;
    let moving = begin_move(&nodes, "{shop}:").await;
    every_step().await;
    end_move(&nodes, &moving).await;
    every_step().await;
}

/// While a slot moves to another node, each node serves only calls whose keys it has.
#[tokio::test]
async fn large_records_are_written_while_a_cluster_moves_their_slot() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let urls: Vec<_> = nodes.iter().map(|node| format!("redis://{}/", node.address())).collect();
    let store = RedisStore::connect_cluster(urls).await.unwrap();
    let id = SessionId::random();
    store.set(&id, &large(1), MINUTE).await.unwrap();
    let key = format!("sess:{}", id.as_str());
    let moving = begin_move(&nodes, &key).await;
    let (source, target) = (moving.source, moving.target);
    let begun = std::time::Instant::now();
    let second = replaces(&store, &id, &large(2)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(2).as_json());
    let port = nodes[target].port.to_string();
    tell(&nodes[source], &["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]).await;
    // Whoever reads sends two commands.
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(2).as_json());
    let many = store.get_many(std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(many[0].as_ref().unwrap().record.as_json(), large(2).as_json());
    let done = store.replace(&id, &second, &large(3), MINUTE).await.unwrap();
    assert!(matches!(done, Replaced::Done(_)), "{done:?}");
    end_move(&nodes, &moving).await;
    replaces(&store, &id, &large(4)).await;
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), large(4).as_json());
}

/// Records have marks wherever they are, so that nothing changes with the server.
#[tokio::test]
async fn a_server_that_compares_itself_compares_marks_as_well() {
    let Some(valkey) = servers::valkey(&[]) else { return };
    tell(&valkey, &["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-delifeq"]).await;
    let native = RedisStore::connect(format!("redis://{}/", valkey.address())).await.unwrap();
    let mixed = RedisStore::connect(format!("redis://app:secret@{}/", valkey.address())).await.unwrap();
    for make in [record, large] {
        let id = SessionId::random();
        mixed.set(&id, &make(1), MINUTE).await.unwrap();
        replaces(&native, &id, &make(2)).await;
        let seen = replaces(&mixed, &id, &make(3)).await;
        // By the script, with a mark.
        assert!(matches!(mixed.destroy_if(&id, &seen).await.unwrap(), Replaced::Done(_)));
    }
    conditions_hold(&native).await;
    conditions_hold(&mixed).await;
}
