//! `Session::ended`: who waits for the end of a session is told of it, and how it ended.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::SECRET;
use futures_util::FutureExt as _;
use futures_util::stream::BoxStream;
use sessile::testing::{Op, Probe, TestClock, Visitor};
use sessile::{
    AtLimit, Ended, MemoryStore, Record, SessionConfig, SessionConfigBuilder, SessionId, SessionStore,
    forward_store,
};
use tokio::runtime::Handle;
use tokio::sync::broadcast;

const LOOK: Duration = Duration::from_secs(5);

/// A configuration over a probe, with a clock that the test moves. Looks follow tokio's clock.
struct Site {
    config: SessionConfig,
    store: Probe<MemoryStore>,
    clock: TestClock,
}

impl Site {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(options: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder) -> Self {
        let clock = TestClock::new();
        let store = Probe::new(MemoryStore::builder().clock(clock.clone()).build());
        let config = config(&store, &clock, options);
        Self { config, store, clock }
    }

    /// The same store in what stands for another process.
    fn other_process(&self) -> SessionConfig {
        config(&self.store, &self.clock, |builder| builder)
    }

    async fn log_in(&self, user: &str) -> Visitor {
        log_in(&self.config, user).await
    }

    /// Lets a look take place.
    async fn look(&self) {
        let before = self.store.calls(Op::GetMany);
        let looked = async {
            while self.store.calls(Op::GetMany) == before {
                tokio::time::sleep(LOOK / 10).await;
            }
        };
        tokio::time::timeout(2 * LOOK, looked).await.expect("nobody looks");
        tokio::time::sleep(LOOK / 10).await;
    }
}

fn config(
    store: &Probe<MemoryStore>,
    clock: &TestClock,
    options: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder,
) -> SessionConfig {
    let builder = SessionConfig::builder(SECRET).store(store.clone()).clock(clock.clone()).look_every(LOOK);
    options(builder).build().unwrap()
}

async fn log_in(config: &SessionConfig, user: &str) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.log_in(user).unwrap();
    visitor.commit(&session).await.unwrap();
    visitor
}

async fn ended(visitor: &Visitor) -> impl Future<Output = Ended> + Send + Unpin + use<> {
    Box::pin(visitor.open().await.unwrap().ended())
}

/// What a future says that has been told already: it may not wait for anything.
fn told(mut future: impl Future<Output = Ended> + Unpin) -> Option<Ended> {
    (&mut future).now_or_never()
}

/// What a future says within two looks.
async fn soon(future: impl Future<Output = Ended>) -> Ended {
    tokio::time::timeout(2 * LOOK, future).await.expect("nobody was told")
}

/// The tasks that look at the store.
async fn tasks() -> usize {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test(start_paused = true)]
async fn what_this_process_ends_is_told_at_once() {
    let site = Site::with(|builder| builder.per_user(2, AtLimit::EndOldest));
    let ada = site.config.sessions_of("ada");

    // In another request of the same session.
    let mut phone = site.log_in("ada").await;
    let mut two = [ended(&phone).await, ended(&phone).await];
    assert!(two.iter_mut().all(|one| one.now_or_never().is_none()));
    let session = phone.open().await.unwrap();
    session.log_out();
    assert_eq!(told(&mut two[0]), None, "not before the store has confirmed it");
    phone.commit(&session).await.unwrap();
    assert_eq!(two.map(told), [Some(Ended::Destroyed); 2]);
    assert_eq!(told(Box::pin(session.ended())), Some(Ended::Destroyed), "after the end");

    let mut phone = site.log_in("ada").await;
    let regenerated = ended(&phone).await;
    let session = phone.open().await.unwrap();
    session.regenerate();
    phone.commit(&session).await.unwrap();
    assert_eq!(told(regenerated), Some(Ended::Destroyed));

    let mut phone = site.log_in("ada").await;
    let of_ada = ended(&phone).await;
    let session = phone.open().await.unwrap();
    session.log_in("bob").unwrap();
    phone.commit(&session).await.unwrap();
    assert_eq!(told(of_ada), Some(Ended::Destroyed), "another user logged in");

    let phone = site.log_in("ada").await;
    let one = ended(&phone).await;
    assert!(ada.end(&phone.open().await.unwrap().handle()).await.unwrap());
    assert_eq!(told(one), Some(Ended::Destroyed));

    let (phone, laptop) = (site.log_in("ada").await, site.log_in("ada").await);
    let (on_phone, mut on_laptop) = (ended(&phone).await, ended(&laptop).await);
    ada.end_others(&laptop.open().await.unwrap()).await.unwrap();
    assert_eq!((told(on_phone), told(&mut on_laptop)), (Some(Ended::Destroyed), None));
    let tablet = ended(&site.log_in("ada").await).await;
    let _third = site.log_in("ada").await;
    assert_eq!(told(on_laptop), Some(Ended::Destroyed), "the oldest of three");
    ada.end_all().await.unwrap();
    assert_eq!(told(tablet), Some(Ended::Destroyed));
}

#[tokio::test(start_paused = true)]
async fn a_new_id_is_a_move() {
    let site = Site::new();
    let mut visitor = Visitor::new(&site.config);
    let session = visitor.open().await.unwrap();
    session.insert("cart", 1).unwrap();
    visitor.commit(&session).await.unwrap();

    for call in ["cycle_id", "log_in", "log_in", "impersonate", "stop_impersonating"] {
        let mut before = ended(&visitor).await;
        assert_eq!((&mut before).now_or_never(), None);
        let session = visitor.open().await.unwrap();
        match call {
            "cycle_id" => session.cycle_id(),
            "log_in" => session.log_in("ada").unwrap(),
            "impersonate" => session.impersonate("bob").unwrap(),
            _ => session.stop_impersonating(),
        }
        let mut new = Box::pin(session.ended());
        visitor.commit(&session).await.unwrap();
        assert_eq!(told(before), Some(Ended::Moved), "{call}");
        site.look().await;
        assert_eq!(told(&mut new), None, "{call}: the future after the call is for the new id");
    }
    let session = visitor.open().await.unwrap();
    let last = Box::pin(session.ended());
    session.destroy();
    visitor.commit(&session).await.unwrap();
    assert_eq!(told(last), Some(Ended::Destroyed));
}

#[tokio::test(start_paused = true)]
async fn a_move_whose_answer_is_lost_is_a_move() {
    let site = Site::new();
    let mut visitor = site.log_in("ada").await;
    let before = ended(&visitor).await;
    let session = visitor.open().await.unwrap();
    session.cycle_id();
    site.store.lose_answer(Op::DestroyIf, 0);
    visitor.commit(&session).await.unwrap();
    assert_eq!(told(before), Some(Ended::Moved));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_expires_is_told_at_the_next_look() {
    let site = Site::new();
    let visitor = site.log_in("ada").await;
    let mut idle = ended(&visitor).await;
    assert_eq!((&mut idle).now_or_never(), None);
    site.look().await;
    site.clock.advance(Duration::from_secs(23 * 3600));
    drop(visitor.open().await.unwrap());
    site.look().await;
    site.clock.advance(Duration::from_secs(2 * 3600));
    site.look().await;
    assert_eq!((&mut idle).now_or_never(), None, "the visit has extended its life");
    site.clock.advance(Duration::from_secs(22 * 3600));
    assert_eq!(soon(idle).await, Ended::Expired);

    // What is known of the expiry follows the record, so that an end elsewhere is no expiry.
    let visitor = site.log_in("ada").await;
    let mut one = ended(&visitor).await;
    assert_eq!((&mut one).now_or_never(), None);
    site.clock.advance(Duration::from_secs(23 * 3600));
    drop(visitor.open().await.unwrap());
    site.look().await;
    site.clock.advance(Duration::from_secs(2 * 3600));
    site.other_process().sessions_of("ada").end_all().await.unwrap();
    assert_eq!(soon(one).await, Ended::Gone);

    let site = Site::with(|builder| builder.absolute_timeout(Duration::from_secs(3600)));
    let visitor = site.log_in("ada").await;
    let mut absolute = ended(&visitor).await;
    site.clock.advance(Duration::from_secs(3599));
    assert_eq!((&mut absolute).now_or_never(), None);
    site.look().await;
    assert_eq!((&mut absolute).now_or_never(), None);
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(soon(absolute).await, Ended::Expired, "the record is still there");
}

#[tokio::test(start_paused = true)]
async fn what_another_process_ends_is_gone_at_the_next_look() {
    let site = Site::new();
    let other = site.other_process();
    let visitor = site.log_in("ada").await;
    let mut one = ended(&visitor).await;
    assert_eq!((&mut one).now_or_never(), None);
    site.look().await;
    other.sessions_of("ada").end_all().await.unwrap();
    assert_eq!((&mut one).now_or_never(), None);
    let began = tokio::time::Instant::now();
    assert_eq!(soon(one).await, Ended::Gone);
    assert!(began.elapsed() <= LOOK, "{:?}", began.elapsed());

    // What was over before the call is told at the first look, which comes at once.
    let visitor = site.log_in("ada").await;
    let session = visitor.open().await.unwrap();
    other.sessions_of("ada").end_all().await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(soon(session.ended()).await, Ended::Gone);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// A look that finds the record gone while this process removes it leaves it to this process to say why.
#[tokio::test(start_paused = true)]
async fn an_end_under_way_is_not_mistaken_for_one_elsewhere() {
    let site = Site::new();
    let mut visitor = site.log_in("ada").await;
    let mut one = ended(&visitor).await;
    assert_eq!((&mut one).now_or_never(), None);
    let session = visitor.open().await.unwrap();
    session.destroy();
    let id = session.id();
    let hold = site.store.hold(Op::Destroy);
    let look = async {
        hold.reached().await;
        // As if the store had carried the call out and its answer were still on the way.
        site.store.inner().destroy(&id).await.unwrap();
        site.look().await;
        assert_eq!((&mut one).now_or_never(), None);
        drop(hold);
    };
    let (committed, ()) = tokio::join!(visitor.commit(&session), look);
    committed.unwrap();
    assert_eq!(told(&mut one), Some(Ended::Destroyed));

    // If the call fails, the next look finds out.
    let mut visitor = site.log_in("ada").await;
    let mut one = ended(&visitor).await;
    assert_eq!((&mut one).now_or_never(), None);
    let session = visitor.open().await.unwrap();
    session.destroy();
    site.store.lose_answer(Op::Destroy, 0);
    visitor.commit(&session).await.unwrap_err();
    assert_eq!((&mut one).now_or_never(), None, "not confirmed");
    assert_eq!(soon(one).await, Ended::Gone);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_not_stored_yet() {
    let site = Site::with(|builder| builder.save_uninitialized(false));
    let mut visitor = Visitor::new(&site.config);

    // The request stores it later.
    let session = visitor.open().await.unwrap();
    let mut first = Box::pin(session.ended());
    assert_eq!((&mut first).now_or_never(), None);
    tokio::time::sleep(3 * LOOK).await;
    assert_eq!((&mut first).now_or_never(), None, "nobody looks for a session that is not stored");
    assert_eq!(site.store.calls(Op::GetMany), 0);
    session.insert("n", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    drop(session);
    site.look().await;
    assert_eq!((&mut first).now_or_never(), None);
    site.store.inner().clear();
    assert_eq!(soon(first).await, Ended::Gone);

    // It never does.
    let session = visitor.open().await.unwrap();
    let (mut never, clone) = (Box::pin(session.ended()), session.clone());
    visitor.commit(&session).await.unwrap();
    drop(session);
    assert_eq!((&mut never).now_or_never(), None, "another handle may store it");
    drop(clone);
    assert_eq!(told(never), Some(Ended::Gone));

    // It begins another one in its place.
    for (call, how) in
        [("destroy", Ended::Destroyed), ("regenerate", Ended::Destroyed), ("cycle_id", Ended::Moved)]
    {
        let session = Visitor::new(&site.config).open().await.unwrap();
        let waiting = Box::pin(session.ended());
        match call {
            "destroy" => session.destroy(),
            "regenerate" => session.regenerate(),
            _ => session.cycle_id(),
        }
        assert_eq!(told(waiting), Some(how), "{call}");
    }
}

/// The id that a waiting future was made for may be taken by another record.
#[tokio::test(start_paused = true)]
async fn a_session_whose_id_was_taken_has_moved() {
    let taken = SessionId::new("taken").unwrap();
    let ids = Mutex::new(vec![SessionId::new("free").unwrap(), taken.clone()]);
    let site = Site::with(|builder| builder.genid(move || ids.lock().unwrap().pop().unwrap()));
    let record: Record = serde_json::from_str(r#"{"cookie":{}}"#).unwrap();
    site.store.inner().set(&taken, &record, LOOK).await.unwrap();
    let mut visitor = Visitor::new(&site.config);
    let session = visitor.open().await.unwrap();
    let waiting = Box::pin(session.ended());
    visitor.commit(&session).await.unwrap();
    assert_eq!(session.id().as_str(), "free");
    assert_eq!(told(waiting), Some(Ended::Moved));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sessions_are_asked_for_together() {
    let site = Site::new();
    let mut waiting = Vec::new();
    for n in 0..1000 {
        let visitor = site.log_in(&format!("user {}", n % 10)).await;
        waiting.push(ended(&visitor).await);
    }
    site.store.reset();
    for one in &mut waiting {
        assert_eq!(one.now_or_never(), None);
    }
    assert_eq!(tasks().await, 1, "one task looks for all");
    tokio::time::sleep(LOOK / 2).await;
    assert_eq!(site.store.total(), 1, "the first look");
    assert_eq!(site.store.calls(Op::GetMany), 1);
    tokio::time::sleep(10 * LOOK).await;
    assert_eq!((site.store.total(), site.store.calls(Op::GetMany)), (11, 11), "one call for each look");

    site.config.sessions_of("user 3").end_all().await.unwrap();
    let (mut destroyed, mut left) = (0, Vec::new());
    for mut one in waiting {
        match told(&mut one) {
            Some(how) => destroyed += usize::from(how == Ended::Destroyed),
            None => left.push(one),
        }
    }
    assert_eq!((destroyed, left.len()), (100, 900));
    site.other_process().sessions_of("user 4").end_all().await.unwrap();
    site.look().await;
    let gone = left.iter_mut().filter_map(|one| one.now_or_never()).collect::<Vec<_>>();
    assert_eq!(gone, [Ended::Gone; 100]);
    assert_eq!(tasks().await, 1);
    drop(left);
    assert_eq!(tasks().await, 0);
}

/// Over the store in memory alone, which is called directly, and with waiting tasks that have to be woken.
#[tokio::test]
async fn a_thousand_who_wait_for_one_session_are_woken() {
    let config = SessionConfig::new(SECRET).unwrap();
    for (call, how) in [("destroy", Ended::Destroyed), ("cycle_id", Ended::Moved)] {
        let mut visitor = log_in(&config, "ada").await;
        let mut waiting = Vec::new();
        for _ in 0..1000 {
            waiting.push(tokio::spawn(visitor.open().await.unwrap().ended()));
        }
        tasks().await;
        let session = visitor.open().await.unwrap();
        if call == "destroy" {
            session.destroy()
        } else {
            session.cycle_id()
        }
        visitor.commit(&session).await.unwrap();
        for one in waiting {
            assert_eq!(tokio::time::timeout(LOOK / 2, one).await.unwrap().unwrap(), how);
        }
        assert_eq!(tasks().await, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_when_nobody_waits() {
    let site = Site::new();
    let visitor = site.log_in("ada").await;
    let (mut first, mut second) = (ended(&visitor).await, ended(&visitor).await);
    assert_eq!(((&mut first).now_or_never(), (&mut second).now_or_never()), (None, None));
    assert_eq!(tasks().await, 1);
    drop(first);
    site.look().await;
    assert_eq!(tasks().await, 1, "somebody waits still");
    drop(second);
    assert_eq!(tasks().await, 0);
    site.store.reset();
    tokio::time::sleep(10 * LOOK).await;
    assert_eq!(site.store.total(), 0, "nobody looks");

    // A future that was never polled begins nothing.
    let session = visitor.open().await.unwrap();
    drop(session.ended());
    assert_eq!(tasks().await, 0);

    // The next one who waits is served as well, and the task does not outlive the configuration.
    let mut third = ended(&visitor).await;
    assert_eq!((&mut third).now_or_never(), None);
    site.look().await;
    drop((session, visitor));
    let Site { config, store, .. } = site;
    drop(config);
    store.inner().clear();
    assert_eq!(soon(third).await, Ended::Gone, "the future keeps the configuration");
    assert_eq!(tasks().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_leave_at_the_same_time_leave_nothing_behind() {
    let config = SessionConfig::new(SECRET).unwrap();
    let visitor = log_in(&config, "ada").await;
    for _ in 0..200 {
        let gate = Arc::new(tokio::sync::Barrier::new(8));
        let mut leaving = Vec::new();
        for _ in 0..8 {
            let (mut one, gate) = (ended(&visitor).await, Arc::clone(&gate));
            leaving.push(tokio::spawn(async move {
                assert_eq!((&mut one).now_or_never(), None);
                gate.wait().await;
            }));
        }
        for one in leaving {
            one.await.unwrap();
        }
    }
    let left = async {
        while tasks().await > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LOOK, left).await.expect("nobody waits, and somebody looks");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_ends_nobody() {
    let site = Site::new();
    let other = site.other_process();
    let (ada, bob) = (site.log_in("ada").await, site.log_in("bob").await);
    let (mut of_ada, mut of_bob) = (ended(&ada).await, ended(&bob).await);
    for look in 0..3 {
        site.store.fail(Op::GetMany, look);
    }
    assert_eq!(((&mut of_ada).now_or_never(), (&mut of_bob).now_or_never()), (None, None));
    site.look().await;
    let session = other.session_from_headers(&ada.headers()).await.unwrap();
    session.destroy();
    drop(session.commit().await.unwrap());
    site.look().await;
    site.look().await;
    assert_eq!(((&mut of_ada).now_or_never(), (&mut of_bob).now_or_never()), (None, None));
    assert_eq!(soon(of_ada).await, Ended::Gone, "asked again");
    assert_eq!((&mut of_bob).now_or_never(), None);
}

/// A store that tells of ends.
#[derive(Clone)]
struct Telling {
    store: Probe<MemoryStore>,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    /// `None`: the store cannot be heard at the moment.
    ends: Mutex<Option<broadcast::Sender<SessionId>>>,
    /// How often somebody asked for the ends.
    asked: AtomicU32,
}

impl SessionStore for Telling {
    forward_store!(self => self.store, except watch);

    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        self.line.asked.fetch_add(1, Ordering::Relaxed);
        let ends = self.line.ends.lock().unwrap().as_ref()?.subscribe();
        let next = async |mut ends: broadcast::Receiver<SessionId>| Some((ends.recv().await.ok()?, ends));
        Some(Box::pin(futures_util::stream::unfold(ends, next)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_tells_of_ends_is_heard_at_once() {
    let Site { store, clock, .. } = Site::new();
    let line = Arc::<Line>::default();
    let connect = || {
        let ends = broadcast::Sender::new(16);
        *line.ends.lock().unwrap() = Some(ends.clone());
        ends
    };
    let ends = connect();
    let telling = Telling { store: store.clone(), line: Arc::clone(&line) };
    let builder = SessionConfig::builder(SECRET).store(telling).clock(clock.clone()).look_every(LOOK);
    let config = builder.build().unwrap();

    let (ada, bob) = (log_in(&config, "ada").await, log_in(&config, "bob").await);
    let mut of_bob = ended(&bob).await;
    let mut of_ada = ended(&ada).await;
    assert_eq!(((&mut of_ada).now_or_never(), (&mut of_bob).now_or_never()), (None, None));
    tokio::time::sleep(LOOK / 2).await;
    ends.send(SessionId::random()).unwrap();
    ends.send(ada.open().await.unwrap().id()).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(soon(of_ada).await, Ended::Gone);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!((&mut of_bob).now_or_never(), None);
    assert_eq!(line.asked.load(Ordering::Relaxed), 1);

    // The stream ends, and cannot be opened for two looks. Nobody asks for it more often than that.
    let before = store.calls(Op::GetMany);
    drop((ends, line.ends.lock().unwrap().take()));
    tokio::time::sleep(2 * LOOK).await;
    assert_eq!(line.asked.load(Ordering::Relaxed), 3);
    let ends = connect();
    tokio::time::sleep(LOOK).await;
    assert_eq!(line.asked.load(Ordering::Relaxed), 4);
    assert_eq!(store.calls(Op::GetMany) - before, 3, "the looks went on");

    // An end that the store tells of after the expiry is an expiry.
    let id = bob.open().await.unwrap().id();
    clock.advance(Duration::from_secs(25 * 3600));
    ends.send(id).unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(soon(of_bob).await, Ended::Expired);
    assert_eq!(began.elapsed(), Duration::ZERO);
}
