//! Answers that are lost: the server has carried a command out, and the connection drops before the answer
//! arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{Record, Replaced, SessionConfig, SessionId, SessionStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

const MINUTE: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of at least 32 bytes, for tests";

/// A proxy between a store and its server. It drops a connection when the answer to a chosen command comes.
pub(crate) struct Proxy {
    pub(crate) address: String,
    state: Arc<State>,
}

struct State {
    plan: std::sync::Mutex<Option<Plan>>,
    /// Has a permit for each answer that was lost.
    lost: Semaphore,
    /// Held while no new connection is made.
    connecting: Mutex<()>,
}

/// Which answer is lost: that to the `n`-th command in which the id stands.
struct Plan {
    id: SessionId,
    n: u32,
}

impl State {
    /// Whether the answer to this command is to be lost.
    fn is_chosen(&self, command: &[u8]) -> bool {
        let mut plan = self.plan.lock().unwrap();
        let Some(Plan { id, n }) = &mut *plan else { return false };
        let id = id.as_str().as_bytes();
        if !command.windows(id.len()).any(|part| part == id) {
            return false;
        }
        *n -= 1;
        if *n == 0 {
            *plan = None;
            return true;
        }
        false
    }
}

impl Proxy {
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let plan = std::sync::Mutex::new(None);
        let state = Arc::new(State { plan, lost: Semaphore::new(0), connecting: Mutex::new(()) });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, state }
    }

    /// Loses the answer to the `n`-th command from now that contains the id. Preparing a statement is no such
    /// command.
    fn lose_answer(&self, id: &SessionId, n: u32) {
        let before = self.state.plan.lock().unwrap().replace(Plan { id: id.clone(), n });
        assert!(before.is_none(), "an answer was to be lost and was not");
    }

    /// Waits until the answer is lost.
    async fn lost(&self) {
        self.state.lost.acquire().await.unwrap().forget();
    }

    /// Lets no store connect again until the returned guard is dropped.
    async fn hold(&self) -> MutexGuard<'_, ()> {
        self.state.connecting.lock().await
    }
}

async fn relay(mut client: TcpStream, server: String, state: Arc<State>) {
    drop(state.connecting.lock().await);
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut command, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut is_chosen = false;
    loop {
        tokio::select! {
            read = client.read(&mut command) => {
                let Ok(read @ 1..) = read else { return };
                is_chosen |= state.is_chosen(&command[..read]);
                if server.write_all(&command[..read]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut answer) => {
                let Ok(read @ 1..) = read else { return };
                if is_chosen {
                    state.lost.add_permits(1);
                    return;
                }
                if client.write_all(&answer[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn record(n: u32) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap()
}

/// Checks a store that reaches its server through the proxy. `beside` reaches it directly.
///
/// A store with a pool has one connection, so that a retry has to connect again.
pub(crate) async fn check(
    store: impl SessionStore + Clone,
    beside: impl SessionStore + Clone,
    proxy: &Proxy,
) {
    // Redis answers the first call of a script with an error, and runs the second one.
    let id = SessionId::random();
    assert!(beside.create(&id, &record(1), MINUTE).await.unwrap());
    let version = beside.get(&id).await.unwrap().unwrap().version.unwrap();
    let done = beside.replace(&id, &version, &record(2), MINUTE).await.unwrap();
    let Replaced::Done(version) = done else { panic!("{done:?}") };
    assert!(matches!(beside.destroy_if(&id, &version).await.unwrap(), Replaced::Done(_)));
    creating(&store, &beside, proxy).await;
    replacing(&store, &beside, proxy).await;
    removing(&store, &beside, proxy).await;
    a_session(&store, &beside, proxy).await;
}

async fn creating(store: &impl SessionStore, beside: &impl SessionStore, proxy: &Proxy) {
    let id = SessionId::random();
    proxy.lose_answer(&id, 1);
    assert!(store.create(&id, &record(1), MINUTE).await.unwrap(), "its own bytes are there: it has created");
    proxy.lost().await;
    assert!(beside.get(&id).await.unwrap().unwrap().record.as_json() == record(1).as_json());
    // The id of another record.
    proxy.lose_answer(&id, 1);
    assert!(!store.create(&id, &record(2), MINUTE).await.unwrap(), "the id is taken");
    proxy.lost().await;
    // The same bytes, but no retry: somebody else has created it.
    assert!(!store.create(&id, &record(1), MINUTE).await.unwrap(), "the id is taken");
    assert!(beside.get(&id).await.unwrap().unwrap().record.as_json() == record(1).as_json());
}

/// Creates a record, and loses the `n`-th answer of the statements that this takes.
#[cfg(feature = "mysql")]
pub(crate) async fn creates_after_losing(
    store: &impl SessionStore,
    (id, record): (&SessionId, &Record),
    proxy: &Proxy,
    n: u32,
) {
    proxy.lose_answer(id, n);
    assert!(store.create(id, record, MINUTE).await.unwrap());
    proxy.lost().await;
    assert!(store.get(id).await.unwrap().unwrap().record.as_json() == record.as_json());
}

async fn replacing(store: &(impl SessionStore + Clone), beside: &impl SessionStore, proxy: &Proxy) {
    let id = SessionId::random();
    assert!(beside.create(&id, &record(1), MINUTE).await.unwrap());
    let first = beside.get(&id).await.unwrap().unwrap().version.unwrap();
    proxy.lose_answer(&id, 1);
    let done = store.replace(&id, &first, &record(2), MINUTE).await.unwrap();
    proxy.lost().await;
    let Replaced::Done(second) = done else {
        panic!("its own bytes are there: it has replaced, not {done:?}")
    };
    assert_eq!(Some(&second), beside.get(&id).await.unwrap().unwrap().version.as_ref());
    // The same bytes, but no retry: another request has written them.
    let conflict = store.replace(&id, &first, &record(2), MINUTE).await.unwrap();
    assert!(matches!(conflict, Replaced::Conflict(_)), "{conflict:?}");
    // Another request writes after the answer was lost, and before the retry.
    let hold = proxy.hold().await;
    proxy.lose_answer(&id, 1);
    let replace = tokio::spawn({
        let (store, id, second) = (store.clone(), id.clone(), second.clone());
        async move { store.replace(&id, &second, &record(3), MINUTE).await }
    });
    proxy.lost().await;
    let third = beside.get(&id).await.unwrap().unwrap().version.unwrap();
    assert_ne!(third, second, "the server had not carried it out: this tests nothing");
    assert!(matches!(beside.replace(&id, &third, &record(4), MINUTE).await.unwrap(), Replaced::Done(_)));
    drop(hold);
    let unknown = replace.await.unwrap().unwrap_err();
    assert!(unknown.is_unavailable(), "{unknown:?}");
    assert!(beside.get(&id).await.unwrap().unwrap().record.as_json() == record(4).as_json());
    // It is removed meanwhile.
    let fourth = beside.get(&id).await.unwrap().unwrap().version.unwrap();
    let hold = proxy.hold().await;
    proxy.lose_answer(&id, 1);
    let replace = tokio::spawn({
        let (store, id) = (store.clone(), id.clone());
        async move { store.replace(&id, &fourth, &record(5), MINUTE).await }
    });
    proxy.lost().await;
    beside.destroy(&id).await.unwrap();
    drop(hold);
    assert!(matches!(replace.await.unwrap().unwrap(), Replaced::Gone));
    assert!(beside.get(&id).await.unwrap().is_none());
}

async fn removing(store: &impl SessionStore, beside: &impl SessionStore, proxy: &Proxy) {
    let id = SessionId::random();
    assert!(beside.create(&id, &record(1), MINUTE).await.unwrap());
    let version = beside.get(&id).await.unwrap().unwrap().version.unwrap();
    proxy.lose_answer(&id, 1);
    let unknown = store.destroy_if(&id, &version).await.unwrap_err();
    proxy.lost().await;
    assert!(unknown.is_unavailable(), "nobody can tell it from a logout: {unknown:?}");
    assert!(beside.get(&id).await.unwrap().is_none());
    // What needs no comparison has one outcome, however often it is carried out.
    assert!(beside.create(&id, &record(1), MINUTE).await.unwrap());
    store.destroy(&SessionId::random()).await.unwrap();
    proxy.lose_answer(&id, 1);
    store.destroy(&id).await.unwrap();
    proxy.lost().await;
    assert!(beside.get(&id).await.unwrap().is_none());
}

async fn a_session(store: &(impl SessionStore + Clone), beside: &(impl SessionStore + Clone), proxy: &Proxy) {
    let id = SessionId::random();
    let minted = Arc::new(AtomicU64::new(0));
    let genid = {
        let (id, minted) = (id.clone(), Arc::clone(&minted));
        move || match minted.fetch_add(1, Ordering::Relaxed) {
            0 => id.clone(),
            _ => SessionId::random(),
        }
    };
    let options = || SessionConfig::builder(SECRET).save_uninitialized(false);
    let config = options().store(store.clone()).genid(genid).build().unwrap();
    let direct = options().store(beside.clone()).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.update("n", increment).unwrap();
    proxy.lose_answer(&id, 1);
    visitor.commit(&session).await.unwrap();
    proxy.lost().await;
    assert_eq!(minted.load(Ordering::Relaxed), 1, "a record was left under the first id");
    assert_eq!((visitor.id().as_ref(), session.id()), (Some(&id), id.clone()));
    let session = visitor.open().await.unwrap();
    session.update("n", increment).unwrap();
    proxy.lose_answer(&id, 1);
    visitor.commit(&session).await.unwrap();
    proxy.lost().await;
    // The session goes on with what it has written.
    session.update("n", increment).unwrap();
    visitor.commit(&session).await.unwrap();
    let stored = Visitor::with_id(&direct, &id).open().await.unwrap();
    assert_eq!(stored.get::<u64>("n").unwrap(), Some(3), "an update counted twice, or not at all");
}

fn increment(count: Option<u64>) -> Option<u64> {
    Some(count.unwrap_or(0) + 1)
}
