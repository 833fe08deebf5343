//! What `RedisStore` keeps of users, and how it reads many records.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use sessile::testing::Visitor;
use sessile::{Record, RedisStore, SessionConfig, SessionId, SessionStore};
use sessile_test_servers as servers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::redis::{CLUSTER, SINGLE, connection_to, tell};
use crate::redis_rights::{RIGHTS, user};

const MINUTE: Duration = Duration::from_secs(60);

/// What the documentation says that the user of the connection needs besides for the index.
pub(crate) const INDEX_RIGHTS: &str = "~sessile:users:* +append +multi +exec";

fn new_user() -> String {
    SessionId::random().as_str().to_owned()
}

fn record(n: usize) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap()
}

/// Two stores, as of two processes: each line of both is kept, and of replacements of the same text one
/// succeeds.
async fn two_stores_share_an_index<S: SessionStore>(one: S, two: S) {
    let stores = [Arc::new(one), Arc::new(two)];
    let user = Arc::<str>::from(new_user());
    let start = Arc::new(Barrier::new(16));
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let (store, user, start) = (Arc::clone(&stores[n % 2]), Arc::clone(&user), Arc::clone(&start));
        tasks.spawn(async move {
            let users = store.users().unwrap();
            let line = format!("[{n}]\n");
            start.wait().await;
            assert!(users.append(&user, &line).await.unwrap().contains(&line));
        });
    }
    tasks.join_all().await;
    let text = stores[0].users().unwrap().read(&user).await.unwrap();
    assert_eq!(text.lines().count(), 16, "{text}");

    let (text, start) = (Arc::<str>::from(text), Arc::new(Barrier::new(16)));
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let (store, user, start) = (Arc::clone(&stores[n % 2]), Arc::clone(&user), Arc::clone(&start));
        let text = Arc::clone(&text);
        tasks.spawn(async move {
            start.wait().await;
            // Half of them remove the text.
            let new = if n % 4 < 2 { format!("[\"new\",{n}]\n") } else { String::new() };
            store.users().unwrap().replace(&user, &text, &new).await.unwrap()
        });
    }
    let replaced = tasks.join_all().await.into_iter().filter(|replaced| *replaced).count();
    assert_eq!(replaced, 1, "one replacement succeeds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_share_an_index_on_a_server() {
    let Some(url) = SINGLE.url.as_deref() else { return };
    let (one, two) = (RedisStore::connect(url).await.unwrap(), RedisStore::connect(url).await.unwrap());
    two_stores_share_an_index(one, two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_share_an_index_on_a_cluster() {
    let Some(urls) = CLUSTER.url.as_deref() else { return };
    let connect = || RedisStore::connect_cluster(urls.split(','));
    two_stores_share_an_index(connect().await.unwrap(), connect().await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_share_an_index_on_valkey() {
    let Some(server) = servers::valkey(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    let connect = || RedisStore::connect(url.as_str());
    two_stores_share_an_index(connect().await.unwrap(), connect().await.unwrap()).await;
}

macro_rules! users_are_no_sessions {
    ($store:expr) => {
        for prefix in ["sess:", "sess", "s", "sessile:", "sessile:users:", "u"] {
            let store = $store.prefix(prefix);
            let (id, user) = (SessionId::random(), new_user());
            store.users().unwrap().append(&user, "[1]\n").await.unwrap();
            assert_eq!(store.len().await.unwrap(), 0, "with {prefix}");
            store.set(&id, &record(1), MINUTE).await.unwrap();
            assert_eq!(store.len().await.unwrap(), 1, "with {prefix}");
            store.clear().await.unwrap();
            assert!(store.get(&id).await.unwrap().is_none());
            // A user whose text were removed would have sessions that no end reaches.
            let text = store.users().unwrap().read(&user).await.unwrap();
            assert_eq!(text, "[1]\n", "with {prefix}");
        }
    };
}

#[tokio::test]
async fn len_and_clear_leave_the_texts_of_users_alone() {
    let Some(server) = servers::redis(&[]) else { return };
    let url = format!("redis://{}/", server.address());
    users_are_no_sessions!(RedisStore::connect(url.as_str()).await.unwrap());
    // As connect-redis does to find all sessions.
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    for prefix in ["sess:", "sess", "s", "sessile:"] {
        let Some(server) = servers::redis(&[]) else { return };
        let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
        let store = store.prefix(prefix);
        store.users().unwrap().append("ada", "[1]\n").await.unwrap();
        let mut beside = connection_to(&server.address()).await;
        let keys: Vec<String> = beside.keys(format!("{prefix}*")).await.unwrap();
        assert!(keys.is_empty(), "{keys:?} are sessions with {prefix}");
        let keys: Vec<String> = beside.keys("*").await.unwrap();
        assert_eq!(keys.len(), 1);
        // It stays until it is removed.
        assert_eq!(beside.ttl::<_, i64>(&keys[0]).await.unwrap(), -1);
        assert!(store.users().unwrap().replace("ada", "[1]\n", "[2]\n").await.unwrap());
        assert_eq!(beside.ttl::<_, i64>(&keys[0]).await.unwrap(), -1);
    }
    store.users().unwrap().append("ada", "[1]\n").await.unwrap();
    let mut beside = connection_to(&server.address()).await;
    assert!(beside.exists::<_, bool>("sessile:users:sess::ada").await.unwrap(), "the documented name");
}

#[tokio::test]
async fn len_and_clear_leave_the_texts_of_users_alone_on_a_cluster() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let urls: Vec<_> = nodes.iter().map(|node| format!("redis://{}/", node.address())).collect();
    users_are_no_sessions!(RedisStore::connect_cluster(urls.clone()).await.unwrap());
}

async fn what_is_no_text_is_corrupt(store: RedisStore, address: &str) {
    let mut beside = connection_to(address).await;
    let users = store.users().unwrap();
    for bytes in [false, true] {
        let user = new_user();
        let key = format!("sessile:users:sess::{user}");
        let () = match bytes {
            true => beside.set(&key, b"\xff\n").await.unwrap(),
            false => beside.rpush(&key, "[1]\n").await.unwrap(),
        };
        assert!(users.read(&user).await.unwrap_err().is_corrupt());
        assert!(users.append(&user, "[2]\n").await.unwrap_err().is_corrupt());
        assert!(users.replace(&user, "", "").await.unwrap_err().is_corrupt());
        assert!(!users.replace(&user, "", "[2]\n").await.unwrap());
        if !bytes {
            assert!(users.replace(&user, "[1]\n", "[2]\n").await.unwrap_err().is_corrupt());
            assert!(users.replace(&user, "[1]\n", "").await.unwrap_err().is_corrupt());
            assert_eq!(beside.llen::<_, usize>(&key).await.unwrap(), 1, "another program's list has changed");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_type_is_no_text() {
    for server in [servers::redis(&[]), servers::valkey(&[])].into_iter().flatten() {
        let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
        what_is_no_text_is_corrupt(store, &server.address()).await;
    }
}

/// Of records that are no records, `get_many` returns the others.
async fn foreign_keys_cost_no_other<C>(store: &impl SessionStore, mut beside: C)
where
    C: redis::aio::ConnectionLike + Send + Sync,
{
    let ids: Vec<_> = (0..1100).map(|_| SessionId::random()).collect();
    for (n, id) in ids.iter().enumerate() {
        let key = format!("sess:{}", id.as_str());
        match n % 100 {
            0 => {
                let _: () = beside.rpush(key, "a list").await.unwrap();
            }
            1 => {
                let _: () = beside.set(key, "{broken").await.unwrap();
            }
            2 => {
                let _: () = beside.set(key, b"\xff").await.unwrap();
            }
            3 => {}
            _ => store.set(id, &record(n), MINUTE).await.unwrap(),
        }
    }
    let found = store.get_many(&ids).await.unwrap();
    assert_eq!(found.len(), ids.len());
    for (n, found) in found.into_iter().enumerate() {
        let text = found.map(|found| found.record.as_json().to_owned());
        assert_eq!(text, (n % 100 > 3).then(|| record(n).as_json().to_owned()));
    }
}

#[tokio::test]
async fn get_many_of_foreign_keys_and_of_several_chunks() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    foreign_keys_cost_no_other(&store, connection_to(&server.address()).await).await;
    if let Some(urls) = CLUSTER.url.as_deref() {
        let store = RedisStore::connect_cluster(urls.split(',')).await.unwrap();
        let client = redis::cluster::ClusterClient::new(urls.split(',')).unwrap();
        foreign_keys_cost_no_other(&store, client.get_async_connection().await.unwrap()).await;
    }
}

/// A server that does not answer, or does not serve, is an error and no absence of sessions.
#[tokio::test]
async fn get_many_takes_no_silence_for_an_answer() {
    let Some(server) = servers::redis(&[]) else { return };
    let proxy = crate::proxy::Switch::before(&server.address()).await;
    let timeout = Duration::from_millis(500);
    let store = RedisStore::builder().timeout(timeout).connect(proxy.url()).await.unwrap();
    let ids: Vec<_> = (0..10).map(|_| SessionId::random()).collect();
    for id in &ids {
        store.set(id, &Record::default(), MINUTE).await.unwrap();
    }
    proxy.silence();
    assert!(store.get_many(&ids).await.unwrap_err().is_unavailable());
    // The silent connection was replaced.
    assert!(store.get_many(&ids).await.unwrap().iter().all(Option::is_some));
    tokio::time::sleep(Duration::from_millis(250)).await;
    proxy.refuse("LOADING Redis is loading the dataset in memory");
    assert!(store.get_many(&ids).await.unwrap().iter().all(Option::is_some), "asked again elsewhere");
    tokio::time::sleep(Duration::from_millis(250)).await;
    proxy.refuse("NOPERM this user has no permissions to run the 'get' command");
    assert!(store.get_many(&ids).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn the_documented_rights_are_enough_for_an_index() {
    let Some(server) = servers::redis(&[]) else { return };
    let every_step = async |store: &RedisStore| {
        let (users, user) = (store.users().unwrap(), new_user());
        assert_eq!(users.read(&user).await?, "");
        assert!(users.replace(&user, "", "[0]\n").await?);
        users.append(&user, "[1]\n").await?;
        assert!(users.replace(&user, "[0]\n[1]\n", "[2]\n").await?);
        assert!(users.replace(&user, "[2]\n", "").await?);
        store.get_many(&[SessionId::random(), SessionId::random()]).await.map(drop)
    };
    let url = user(&server, "index", &format!("~sess:* {RIGHTS} {INDEX_RIGHTS}")).await;
    every_step(&RedisStore::connect(url).await.unwrap()).await.unwrap();
    for right in INDEX_RIGHTS.split(' ') {
        let rules = INDEX_RIGHTS.replace(right, "");
        let url =
            user(&server, "less", &format!("~sess:* {RIGHTS} {}", rules.trim().replace("  ", " "))).await;
        // Who does not use the index needs none of its rights.
        let store = RedisStore::connect(url).await.unwrap();
        store.check().await.unwrap();
        assert!(every_step(&store).await.unwrap_err().is_unavailable(), "without {right}");
    }
}

#[tokio::test]
async fn an_index_needs_no_scripts_on_valkey() {
    let Some(server) = servers::valkey(&[]) else { return };
    tell(&server, &["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-@scripting"]).await;
    let store = RedisStore::connect(format!("redis://app:secret@{}/", server.address())).await.unwrap();
    sessile::testing::users::users_are_kept(store.clone()).await;
    sessile::testing::users::lines_of_a_user_are_not_lost(store).await;
}

#[tokio::test]
async fn an_append_finds_a_key_that_has_moved_to_another_node() {
    let Some(nodes) = servers::redis_cluster() else { return };
    let urls: Vec<_> = nodes.iter().map(|node| format!("redis://{}/", node.address())).collect();
    let store = RedisStore::connect_cluster(urls).await.unwrap();
    let slot: u64 = match tell(&nodes[0], &["CLUSTER", "KEYSLOT", "sessile:users:sess::ada"]).await {
        redis::Value::Int(slot) => slot.try_into().unwrap(),
        other => panic!("{other:?}"),
    };
    let mut ids = Vec::new();
    for node in &nodes {
        let redis::Value::BulkString(id) = tell(node, &["CLUSTER", "MYID"]).await else { panic!() };
        ids.push(String::from_utf8(id).unwrap());
    }
    // The slot has no key yet, so that another node may have it at once.
    let now = (slot / 5462) as usize % 3;
    for node in [&nodes[(now + 1) % 3], &nodes[(now + 2) % 3], &nodes[now]] {
        tell(node, &["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &ids[(now + 1) % 3]]).await;
    }
    let text = store.users().unwrap().append("ada", "[1]\n").await.unwrap();
    assert_eq!(text, "[1]\n");
    assert!(matches!(
        tell(&nodes[(now + 1) % 3], &["GET", "sessile:users:sess::ada"]).await,
        redis::Value::BulkString(_)
    ));
}

/// A proxy that counts round trips: it holds answers back until the client asks nothing more, so that a
/// client which waits for one answer before its next question waits as often as it takes trips.
async fn counting(server: String, held: Duration) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let trips = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&trips);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(hold_back(client, server, held, Arc::clone(&counter)));
        }
    });
    (url, trips)
}

async fn hold_back(mut client: TcpStream, mut server: TcpStream, at_least: Duration, trips: Arc<AtomicU64>) {
    let (mut question, mut answer, mut held) = (vec![0; 1 << 16], vec![0; 1 << 16], Vec::new());
    loop {
        tokio::select! {
            read = client.read(&mut question) => match read {
                Ok(read @ 1..) => server.write_all(&question[..read]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut answer) => match read {
                Ok(read @ 1..) => held.extend_from_slice(&answer[..read]),
                _ => return,
            },
            () = tokio::time::sleep(at_least), if !held.is_empty() => {
                trips.fetch_add(1, Ordering::SeqCst);
                if client.write_all(&std::mem::take(&mut held)).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn round_trips_of_an_index() {
    for server in [servers::redis(&[]), servers::valkey(&[])].into_iter().flatten() {
        let (url, trips) = counting(server.address(), Duration::from_millis(50)).await;
        let store = RedisStore::connect(url).await.unwrap();
        let ids: Vec<_> = (0..1000).map(|_| SessionId::random()).collect();
        let direct = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
        for id in &ids {
            direct.set(id, &Record::default(), MINUTE).await.unwrap();
        }
        let users = store.users().unwrap();
        let mut counted = Vec::new();
        let mut before = trips.load(Ordering::SeqCst);
        let mut count = |trips: &AtomicU64| {
            let now = trips.load(Ordering::SeqCst);
            counted.push(now - std::mem::replace(&mut before, now));
        };
        users.append("ada", "[1]\n").await.unwrap();
        count(&trips);
        users.read("ada").await.unwrap();
        count(&trips);
        assert!(users.replace("ada", "[1]\n", "[2]\n").await.unwrap());
        count(&trips);
        assert!(store.get_many(&ids).await.unwrap().iter().all(Option::is_some));
        count(&trips);
        println!("round trips of append, read, replace, get_many of 1,000: {counted:?}");
        assert_eq!(counted, [1, 1, 1, 1]);
    }
}

/// A login costs one round trip more than without a list over a session of a guest, and two more without one:
/// it is noted, the record is created, and the list is read while the old record is removed. A read of a user
/// costs none.
///
/// Calls at the same time are one round trip, so the time is measured, with answers that take long.
#[tokio::test]
async fn round_trips_of_a_login() {
    const TRIP: Duration = Duration::from_millis(200);
    let Some(server) = servers::redis(&[]) else { return };
    let (url, _) = counting(server.address(), TRIP).await;
    let store = RedisStore::connect(url).await.unwrap();
    let config =
        SessionConfig::builder("a secret of at least 32 bytes, for tests").store(store).build().unwrap();
    // Scripts are loaded at their first use.
    let mut guest = Visitor::new(&config);
    let mut counted = Vec::new();
    for _ in 0..2 {
        counted.clear();
        let mut began = Instant::now();
        let mut count = || {
            let time = std::mem::replace(&mut began, Instant::now()).elapsed();
            counted.push(time.as_millis() / TRIP.as_millis());
        };
        let mut fresh = Visitor::new(&config);
        let session = guest.open().await.unwrap();
        session.insert("cart", 1).unwrap();
        guest.commit(&session).await.unwrap();
        count();
        let session = fresh.open().await.unwrap();
        session.log_in("ada").unwrap();
        fresh.commit(&session).await.unwrap();
        count();
        let session = guest.open().await.unwrap();
        count();
        session.log_in("ada").unwrap();
        guest.commit(&session).await.unwrap();
        count();
        let session = guest.open().await.unwrap();
        assert!(session.belongs_to("ada"));
        drop(session.commit().await.unwrap());
        count();
        assert!(config.sessions_of("ada").list().await.unwrap().len() >= 2);
        count();
        session.cycle_id();
        guest.commit(&session).await.unwrap();
        count();
        session.log_out();
        guest.commit(&session).await.unwrap();
        count();
    }
    println!(
        "round trips of a guest, a login, a load, the guest's login, a read, a list, a new id, a logout: {counted:?}"
    );
    assert_eq!(counted, [1, 3, 1, 3, 1, 2, 4, 2]);
}

/// `cargo test --release --features redis,testing --test servers ten_thousand -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn ten_thousand_sessions_of_a_user() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let pad = "x".repeat(360);
    let ids: Vec<_> = (0..10_000).map(|_| SessionId::random()).collect();
    let mut text = String::new();
    for (n, id) in ids.iter().enumerate() {
        let record = Record::from_json(format!(r#"{{"cookie":{{}},"n":{n},"pad":"{pad}"}}"#)).unwrap();
        store.set(id, &record, MINUTE).await.unwrap();
        text.push_str(&format!("{{\"id\":\"{}\",\"at\":{n:070}}}\n", id.as_str()));
    }
    let users = store.users().unwrap();
    assert!(users.replace("ada", "", &text).await.unwrap());
    let mut times = Vec::new();
    for _ in 0..20 {
        let began = Instant::now();
        let read = users.read("ada").await.unwrap();
        let after_read = began.elapsed();
        let found = store.get_many(&ids).await.unwrap();
        times.push((began.elapsed(), after_read));
        assert!(read.len() == text.len() && found.iter().all(Option::is_some));
    }
    times.sort_unstable();
    println!(
        "10,000 sessions of a user ({} bytes of text): best {:?}, median {:?}, worst {:?} (with the text's)",
        text.len(),
        times[0],
        times[10],
        times[19]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_logs_in_while_another_ends_all() {
    let Some(url) = SINGLE.url.as_deref() else { return };
    let (one, other) = (RedisStore::connect(url).await.unwrap(), RedisStore::connect(url).await.unwrap());
    crate::users::one_logs_in_while_another_ends_all(one, other).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_processes_log_in_and_end_all() {
    let Some(url) = SINGLE.url.clone() else { return };
    let store = RedisStore::connect(url.as_str()).await.unwrap();
    let test = "redis_users::real_processes_log_in_and_end_all";
    crate::two_processes::log_in_and_end_all(test, ("REDIS_URL", &url), store).await;
}
