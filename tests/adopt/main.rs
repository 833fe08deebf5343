//! Sessions of another library move over: once, whole, and not back.

mod counting;

use std::pin::pin;
use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::IntoResponse as _;
use futures_util::future::{Either, select};
use sessile::testing::{Hold, Op, Probe};
use sessile::{
    Adopt, Adopted, MemoryStore, Origin, Record, Session, SessionConfig, SessionError, SessionGuard,
    SessionId, SessionStore, StoreError,
};

const SECRET: &str = "a secret of at least 32 bytes, for tests";

/// The other library: its cookie is `token`, and its store can be held back and made to fail.
#[derive(Clone)]
struct Old(Probe<MemoryStore>);

impl Old {
    async fn with(token: &str) -> Self {
        let old = Self(Probe::new(MemoryStore::new()));
        old.put(token).await;
        old
    }

    async fn put(&self, token: &str) {
        let record = Record::from_json(r#"{"cookie":{},"user":"alice","cart":[1,2]}"#).unwrap();
        self.0.inner().set(&id(token), &record, Duration::from_secs(60)).await.unwrap();
    }

    async fn has(&self, token: &str) -> bool {
        self.0.inner().get(&id(token)).await.unwrap().is_some()
    }
}

impl Adopt for Old {
    fn ids(&self, headers: &HeaderMap) -> Vec<String> {
        let lines = headers.get_all(COOKIE).into_iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split("; "));
        pairs.filter_map(|pair| pair.strip_prefix("token=")).map(str::to_owned).collect()
    }

    async fn load(&self, token: &str) -> Result<Option<Adopted>, StoreError> {
        if self.0.get(&id(token)).await?.is_none() {
            return Ok(None);
        }
        let mut adopted = Adopted::new();
        adopted.insert("user", "alice").unwrap();
        adopted.insert("cart", [1, 2]).unwrap();
        Ok(Some(adopted))
    }

    async fn remove(&self, token: &str) -> Result<(), StoreError> {
        self.0.destroy(&id(token)).await
    }

    fn expired_cookie(&self) -> HeaderValue {
        HeaderValue::from_static("token=; Path=/; Max-Age=0")
    }
}

struct Scene<S = MemoryStore> {
    old: Old,
    store: Probe<S>,
    config: SessionConfig,
    /// The same in another process: no lock of one is a lock of the other.
    elsewhere: SessionConfig,
}

/// A store that sessions move to: one whose versions are the bytes of records, or one that counts.
trait Kept: SessionStore + Clone + Default {
    fn len(&self) -> usize;
}

impl Kept for MemoryStore {
    fn len(&self) -> usize {
        MemoryStore::len(self)
    }
}

impl<S: Kept> Scene<S> {
    async fn new() -> Self {
        let (old, store) = (Old::with("t1").await, Probe::new(S::default()));
        let (config, elsewhere) = (process(&store, &old), process(&store, &old));
        Self { old, store, config, elsewhere }
    }

    fn process(&self) -> SessionConfig {
        process(&self.store, &self.old)
    }

    async fn open(&self, cookie: &str) -> Result<Session, SessionError> {
        Ok(self.config.session_from_headers(&cookie_header(cookie)).await?)
    }

    /// The next request of the browser that has the old cookie.
    async fn open_old(&self) -> Result<Session, SessionError> {
        self.open("token=t1").await
    }

    fn own(&self, session: &Session) -> String {
        format!("{}={}", self.config.name(), self.config.sign(&session.id()))
    }

    /// What both stores hold of the session: one record here, and none there.
    async fn assert_moved(&self) {
        assert!(!self.old.has("t1").await, "the old record is still there");
        assert_eq!(self.store.inner().len(), 1, "there is not one record for the session");
    }
}

fn process<S: SessionStore + Clone>(store: &Probe<S>, old: &Old) -> SessionConfig {
    let builder = SessionConfig::builder(SECRET).save_uninitialized(false).browser_session();
    builder.store(store.clone()).adopt(old.clone()).build().unwrap()
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn cookie_header(cookie: &str) -> HeaderMap {
    HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
}

fn lines(guard: SessionGuard) -> Vec<String> {
    let headers = guard.into_response().headers().clone();
    headers.get_all(SET_COOKIE).into_iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

fn assert_alice(session: &Session) {
    assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("alice"));
    assert_eq!(session.get::<Vec<u8>>("cart").unwrap(), Some(vec![1, 2]));
}

#[tokio::test]
async fn a_session_moves_over_and_its_cookie_with_it() {
    let scene = <Scene>::new().await;
    let session = scene.open_old().await.unwrap();
    assert_eq!(session.origin(), Origin::Loaded);
    assert_alice(&session);
    let cookies = lines(session.commit().await.unwrap());
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert_eq!(cookies[0], "token=; Path=/; Max-Age=0");
    assert!(cookies[1].starts_with("connect.sid=s%3A"), "{cookies:?}");
    scene.assert_moved().await;

    let own = scene.own(&session);
    let next = scene.open(&own).await.unwrap();
    assert_alice(&next);
    assert_eq!(lines(next.commit().await.unwrap()), [""; 0], "the next request sets cookies again");
}

#[tokio::test]
async fn nobody_else_gets_a_session() {
    let scene = <Scene>::new().await;
    for cookie in ["token=t2", "connect.sid=s%3At1.forged", "other=t1"] {
        let session = scene.open(cookie).await.unwrap();
        assert_ne!(session.origin(), Origin::Loaded, "{cookie}");
        assert_eq!(lines(session.commit().await.unwrap()), [""; 0]);
    }
    assert!(scene.store.inner().is_empty(), "an id that nobody knows took room in the store");
    assert!(scene.old.has("t1").await);
}

async fn parallel_requests_meet_in_one_session<S: Kept>() {
    let scene = Scene::<S>::new().await;
    let requests = (0..5).map(|n| {
        let scene = &scene;
        async move {
            let session = scene.open_old().await?;
            session.insert(&format!("key {n}"), n)?;
            session.update("count", |count: Option<u32>| Some(count.unwrap_or(0) + 1))?;
            drop(session.commit().await?);
            Ok::<_, SessionError>(session)
        }
    });
    let sessions = futures_util::future::try_join_all(requests).await.unwrap();
    assert!(
        sessions.iter().all(|session| session.id() == sessions[0].id()),
        "the requests got several sessions"
    );
    scene.assert_moved().await;
    let session = scene.open(&scene.own(&sessions[0])).await.unwrap();
    assert_alice(&session);
    assert_eq!(session.get::<u32>("count").unwrap(), Some(5));
    assert_eq!(session.len(), 8, "a request's change is lost");
}

#[tokio::test]
async fn a_late_request_of_the_page_gets_the_session_that_was_moved() {
    let scene = <Scene>::new().await;
    drop(scene.open_old().await.unwrap().commit().await.unwrap());
    let late = scene.open_old().await.unwrap();
    assert_alice(&late);
    assert_eq!(lines(late.commit().await.unwrap()).len(), 2);
}

/// More calls than a request makes to one of the stores.
const CALLS: u64 = 12;

/// Where the calls to a store are counted, held and made to fail.
trait Calls {
    fn fail_nth(&self, n: u64);
    fn lose_nth(&self, n: u64);
    fn hold_nth(&self, n: u64) -> Hold;
}

impl<S: SessionStore> Calls for Probe<S> {
    fn fail_nth(&self, n: u64) {
        self.fail(None, n);
    }

    fn lose_nth(&self, n: u64) {
        self.lose_answer(None, n);
    }

    fn hold_nth(&self, n: u64) -> Hold {
        Probe::hold_nth(self, None, n)
    }
}

/// Both stores of a scene, one after the other, for each of a request's calls.
async fn at_every_call<S: Kept>(interrupt: impl AsyncFn(&Scene<S>, &dyn Calls, u64) -> bool) -> u64 {
    let mut interrupted = 0;
    for n in 0..CALLS {
        let scene = Scene::new().await;
        interrupted += u64::from(interrupt(&scene, &scene.store, n).await);
        let scene = Scene::new().await;
        interrupted += u64::from(interrupt(&scene, &scene.old.0, n).await);
    }
    interrupted
}

/// Each of these over both kinds of store.
macro_rules! over_both {
    ($($name:ident),* $(,)?) => {
        mod bytes {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<sessile::MemoryStore>().await;
            })*
        }

        mod counts {
            $(#[tokio::test]
            async fn $name() {
                super::$name::<super::counting::Counting>().await;
            })*
        }
    };
}

over_both!(
    parallel_requests_meet_in_one_session,
    a_failure_in_between_is_harmless,
    a_request_that_is_dropped_in_between_is_harmless,
    a_slow_request_gets_the_session_that_another_has_moved,
    a_logout_is_not_undone_by_a_late_request,
    what_a_late_request_leaves_in_the_store_is_no_session,
    a_placeholder_is_not_taken_for_a_later_one,
);

async fn adopt_and_commit(config: &SessionConfig) -> Result<Session, SessionError> {
    let session = config.session_from_headers(&cookie_header("token=t1")).await?;
    session.insert("seen", true)?;
    drop(session.commit().await?);
    Ok(session)
}

/// A visitor who was answered with an error tries again, and has the session.
async fn try_until_moved<S: Kept>(scene: &Scene<S>) -> u64 {
    let mut failures = 0;
    let session = loop {
        match adopt_and_commit(&scene.config).await {
            Ok(session) => break session,
            Err(error) => assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE),
        }
        failures += 1;
        assert!(failures < 3, "one failure fails one request");
    };
    assert_alice(&session);
    scene.assert_moved().await;
    let id = session.id();
    let stored = scene.store.inner().get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().contains("alice"));
    failures
}

async fn a_failure_in_between_is_harmless<S: Kept>() {
    let failed = at_every_call(async |scene: &Scene<S>, probe, n| {
        probe.fail_nth(n);
        try_until_moved(scene).await > 0
    });
    assert!(failed.await >= 7, "a request makes more calls than that");
    let failed = at_every_call(async |scene: &Scene<S>, probe, n| {
        probe.lose_nth(n);
        try_until_moved(scene).await > 0
    });
    assert!(failed.await >= 6, "a request makes more calls than that");
}

async fn a_request_that_is_dropped_in_between_is_harmless<S: Kept>() {
    let dropped = at_every_call(async |scene: &Scene<S>, probe, n| {
        let hold = probe.hold_nth(n);
        let is_dropped = {
            let (request, reached) = (pin!(adopt_and_commit(&scene.elsewhere)), pin!(hold.reached()));
            matches!(select(request, reached).await, Either::Right(_))
        };
        drop(hold);
        try_until_moved(scene).await;
        is_dropped
    });
    assert!(dropped.await >= 7, "a request makes more calls than that");
}

async fn a_slow_request_gets_the_session_that_another_has_moved<S: Kept>() {
    let held = at_every_call(async |scene: &Scene<S>, probe, n| {
        let hold = probe.hold_nth(n);
        let mut slow = pin!(adopt_and_commit(&scene.elsewhere));
        if let Either::Left(_) = select(slow.as_mut(), pin!(hold.reached())).await {
            return false;
        }
        let session = adopt_and_commit(&scene.config).await.unwrap();
        drop(hold);
        let slow = slow.await.unwrap();
        assert_eq!(slow.id(), session.id(), "the page got two sessions, held at call {n}");
        assert_alice(&slow);
        scene.assert_moved().await;
        true
    });
    assert!(held.await >= 6, "a request makes more calls than that");
}

async fn a_logout_is_not_undone_by_a_late_request<S: Kept>() {
    let held = at_every_call(async |scene: &Scene<S>, probe, n| {
        let hold = probe.hold_nth(n);
        let mut late = pin!(adopt_and_commit(&scene.elsewhere));
        if let Either::Left(_) = select(late.as_mut(), pin!(hold.reached())).await {
            return false;
        }
        // Another request of the page has the session, and its user logs out.
        let session = adopt_and_commit(&scene.config).await.unwrap();
        let own = scene.own(&session);
        let logout = scene.open(&own).await.unwrap();
        assert_alice(&logout);
        logout.destroy();
        drop(logout.commit().await.unwrap());
        drop(hold);
        let late = late.await;
        // It has written something of its own at most, under an id of its own.
        if let Ok(late) = late {
            assert_ne!(
                late.id(),
                session.id(),
                "the late request goes on with the session, held at call {n}"
            );
            assert!(!late.contains_key("user"), "the late request has the user, held at call {n}");
        }
        for cookie in ["token=t1", &own] {
            let session = scene.open(cookie).await.unwrap();
            assert_ne!(session.origin(), Origin::Loaded, "{cookie} opens a session, held at call {n}");
        }
        true
    });
    assert!(held.await >= 6, "a request makes more calls than that");
}

async fn what_a_late_request_leaves_in_the_store_is_no_session<S: Kept>() {
    // The late request has seen that the old session is there, and takes the id after the logout.
    let scene = Scene::<S>::new().await;
    let taking = scene.store.hold(Op::Create);
    let mut late = pin!(adopt_and_commit(&scene.elsewhere));
    assert!(matches!(select(late.as_mut(), pin!(taking.reached())).await, Either::Right(_)));
    let session = adopt_and_commit(&scene.config).await.unwrap();
    let own = scene.own(&session);
    let logout = scene.open(&own).await.unwrap();
    logout.destroy();
    drop(logout.commit().await.unwrap());

    let looking = scene.old.0.hold(Op::Get);
    drop(taking);
    assert!(matches!(select(late.as_mut(), pin!(looking.reached())).await, Either::Right(_)));
    assert_eq!(scene.store.inner().len(), 1, "the late request has taken the id");
    for cookie in [&own, "token=t1"] {
        let session = scene.open(cookie).await.unwrap();
        assert_ne!(session.origin(), Origin::Loaded, "{cookie} opens a session");
    }
    drop(looking);
    let late = late.await.unwrap();
    assert_ne!(late.id(), session.id());
    assert!(!late.contains_key("user"));
}

async fn a_placeholder_is_not_taken_for_a_later_one<S: Kept>() {
    let scene = Scene::<S>::new().await;
    let third = scene.process();
    // One late request is about to take the id, and another to fill its own placeholder.
    let taking = scene.store.hold(Op::Create);
    let mut taker = pin!(adopt_and_commit(&third));
    assert!(matches!(select(taker.as_mut(), pin!(taking.reached())).await, Either::Right(_)));
    let filling = scene.store.hold(Op::Replace);
    let mut filler = pin!(adopt_and_commit(&scene.elsewhere));
    assert!(matches!(select(filler.as_mut(), pin!(filling.reached())).await, Either::Right(_)));

    let session = adopt_and_commit(&scene.config).await.unwrap();
    let logout = scene.open(&scene.own(&session)).await.unwrap();
    logout.destroy();
    drop(logout.commit().await.unwrap());

    let looking = scene.old.0.hold(Op::Get);
    drop(taking);
    assert!(matches!(select(taker.as_mut(), pin!(looking.reached())).await, Either::Right(_)));
    drop(filling);
    let filler = filler.await.unwrap();
    assert!(!filler.contains_key("user"), "the session is filled after the logout");
    drop(looking);
    assert!(!taker.await.unwrap().contains_key("user"));
}

#[tokio::test]
async fn a_login_or_a_logout_ends_what_the_old_cookie_is_worth() {
    for end in [Session::cycle_id, Session::regenerate, Session::destroy] {
        let scene = <Scene>::new().await;
        let session = scene.open_old().await.unwrap();
        end(&session);
        let cookies = lines(session.commit().await.unwrap());
        assert!(cookies[0].starts_with("token=;"), "the old cookie is not expired: {cookies:?}");
        let again = scene.open_old().await.unwrap();
        assert_ne!(again.origin(), Origin::Loaded);
        assert!(!scene.old.has("t1").await);
    }
}

#[tokio::test]
async fn a_session_of_ours_goes_before_an_old_one() {
    let scene = <Scene>::new().await;
    let own = scene.config.create_session(async |session| session.insert("own", 1)).await.unwrap();
    let both = format!("token=t1; {}", own.cookie().to_str().unwrap());
    let session = scene.open(&both).await.unwrap();
    assert!(session.contains_key("own"));
    drop(session.commit().await.unwrap());
    assert!(scene.old.has("t1").await);
    // Without a session behind it, our cookie is no reason to leave the old one alone.
    let session = scene.open("token=t1; connect.sid=s%3Agone.forged").await.unwrap();
    assert_alice(&session);
}

/// What another program has stored may be longer than what requests can write: nobody is logged out for it.
#[tokio::test]
async fn a_session_over_the_limit_moves_whole_and_can_be_shortened() {
    let scene = <Scene>::new().await;
    let id = scene.open_old().await.unwrap().id();
    let bytes = scene.store.inner().get(&id).await.unwrap().unwrap().record.as_json().len();

    let (old, store) = (Old::with("t1").await, MemoryStore::new());
    let builder = SessionConfig::builder(SECRET).browser_session().max_record_bytes(bytes - 1);
    let config = builder.store(store.clone()).adopt(old.clone()).build().unwrap();
    let session = config.session_from_headers(&cookie_header("token=t1")).await.unwrap();
    assert_alice(&session);
    drop(session.commit().await.unwrap());
    assert!(!old.has("t1").await);
    let own = format!("{}={}", config.name(), config.sign(&session.id()));
    let next = async || config.session_from_headers(&cookie_header(&own)).await.unwrap();

    let session = next().await;
    session.insert("n", 1).unwrap();
    assert!(matches!(session.commit().await, Err(SessionError::TooLarge { .. })));
    let session = next().await;
    assert_alice(&session);
    session.remove::<Vec<u8>>("cart").unwrap();
    drop(session.commit().await.unwrap());
    assert_eq!(next().await.keys(), ["user"]);
}

#[tokio::test]
async fn an_old_session_that_cannot_be_read_is_left_alone() {
    let scene = <Scene>::new().await;
    scene.old.0.corrupt(0);
    let session = scene.open_old().await.unwrap();
    assert_ne!(session.origin(), Origin::Loaded);
    assert!(scene.old.has("t1").await);
    assert!(scene.store.inner().is_empty());
}

#[tokio::test]
async fn a_cookie_of_the_same_name_is_replaced_and_not_expired() {
    struct SameName(Old);
    impl Adopt for SameName {
        fn ids(&self, headers: &HeaderMap) -> Vec<String> {
            self.0.ids(headers)
        }
        async fn load(&self, id: &str) -> Result<Option<Adopted>, StoreError> {
            Adopt::load(&self.0, id).await
        }
        async fn remove(&self, id: &str) -> Result<(), StoreError> {
            self.0.remove(id).await
        }
        fn expired_cookie(&self) -> HeaderValue {
            HeaderValue::from_static("token=; Path=/; Max-Age=0")
        }
    }
    let adopt = SameName(Old::with("t1").await);
    let config = SessionConfig::builder(SECRET).name("token").adopt(adopt).build().unwrap();
    let session = config.session_from_headers(&cookie_header("token=t1")).await.unwrap();
    assert_alice(&session);
    let cookies = lines(session.commit().await.unwrap());
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(cookies[0].starts_with("token=s%3A"), "{cookies:?}");
}

#[tokio::test]
async fn reserved_keys_are_refused() {
    for key in ["cookie", "flash", "__lastAccess", "__sessile"] {
        assert!(matches!(Adopted::new().insert(key, 1), Err(SessionError::Encode { .. })), "{key}");
    }
}

#[tokio::test]
async fn an_adopted_session_has_an_absolute_end() {
    let clock = sessile::testing::TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let hour = Duration::from_secs(3600);
    let builder = SessionConfig::builder(SECRET).store(store).clock(clock.clone()).absolute_timeout(hour);
    let config = builder.adopt(Old::with("t1").await).build().unwrap();
    let session = config.session_from_headers(&cookie_header("token=t1")).await.unwrap();
    drop(session.commit().await.unwrap());
    clock.advance(hour);
    let session = config.session_from_headers(&cookie_header("token=t1")).await.unwrap();
    assert_ne!(session.origin(), Origin::Loaded);
}

/// The program is told of the move once, by the request that made it.
#[tokio::test]
async fn a_move_is_told_once() {
    let (old, store) = (Old::with("t1").await, Probe::new(MemoryStore::new()));
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let journal = told.clone();
    let config = SessionConfig::builder(SECRET)
        .store(store)
        .adopt(old)
        .on_event(move |event| journal.lock().unwrap().push((event.kind(), event.handle())))
        .build()
        .unwrap();
    let session = config.session_from_headers(&cookie_header("token=t1")).await.unwrap();
    let handle = Some(session.handle());
    drop(config.session_from_headers(&cookie_header("token=t1")).await.unwrap());
    assert_eq!(*told.lock().unwrap(), [(sessile::SessionEventKind::Created, handle)]);
}
