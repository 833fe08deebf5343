//! An application's own code may ask the session that runs it: `Serialize`, `Deserialize`, closures and
//! `genid`.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::common::{TestClient, builder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sessile::{Session, SessionConfig, SessionId};

thread_local! {
    /// The session that this thread's code asks; it stands for a task-local handle.
    static HANDLE: RefCell<Option<Session>> = const { RefCell::new(None) };
    /// How often it was asked.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Asks the handle whatever does not run this code again.
fn ask() {
    HANDLE.with_borrow(|handle| {
        let Some(session) = handle else { return };
        ASKED.set(ASKED.get() + 1);
        let _ = (session.is_new(), session.is_modified(), session.keys(), session.max_age());
        session.get::<u64>("plain").unwrap();
        session.insert("plain", 1).unwrap();
        session.update("plain", |n: Option<u64>| n).unwrap();
        session.peek_flash::<u64>("plain").unwrap();
        session.flash("plain", 1).unwrap();
        session.take_flash::<u64>("plain").unwrap();
    });
}

/// How often `act` asked.
fn asked(act: impl FnOnce()) -> usize {
    ASKED.set(0);
    act();
    ASKED.get()
}

/// A number that asks the session when it is read and when it is written.
#[derive(Debug, Default, PartialEq)]
struct Asking(u64);

impl Serialize for Asking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ask();
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Asking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ask();
        u64::deserialize(deserializer).map(Self)
    }
}

/// A call that waits for its own lock waits for ever, so the test has an end of its own.
fn in_time(act: impl AsyncFnOnce() + Send + 'static) {
    let (ended, wait) = channel();
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(act());
        HANDLE.set(None);
        ended.send(())
    });
    match wait.recv_timeout(Duration::from_secs(60)) {
        Err(RecvTimeoutError::Timeout) => panic!("a call waits for its own lock"),
        _ => thread.join().unwrap().unwrap(),
    }
}

/// A session whose code asks it.
async fn opened(config: &SessionConfig, browser: &TestClient) -> Session {
    let session = browser.open(config).await;
    HANDLE.set(Some(session.clone()));
    session
}

#[test]
fn values_may_ask_their_session() {
    in_time(async || {
        let config = builder().build().unwrap();
        let session = opened(&config, &TestClient::new()).await;
        assert!(asked(|| session.insert("n", Asking(1)).unwrap()) > 0);
        assert!(asked(|| assert_eq!(session.get("n").unwrap(), Some(Asking(1)))) > 0);
        let more = |n: Option<Asking>| {
            ask();
            n.map(|n| Asking(n.0 + 1))
        };
        assert!(asked(|| assert_eq!(session.update("n", more).unwrap(), Some(Asking(2)))) > 3);
        let twice = |n: &mut Asking| {
            ask();
            n.0 *= 2;
        };
        assert!(asked(|| assert_eq!(session.modify("n", twice).unwrap(), Asking(4))) > 3);
        assert!(asked(|| assert_eq!(session.remove("n").unwrap(), Some(Asking(4)))) > 0);
        assert_eq!(session.update("n", |_: Option<Asking>| Some(Asking(7))).unwrap(), Some(Asking(7)));
        drop(session.commit().await.unwrap());
    });
}

#[test]
fn messages_may_ask_their_session() {
    in_time(async || {
        let config = builder().build().unwrap();
        let session = opened(&config, &TestClient::new()).await;
        assert!(asked(|| session.flash("info", Asking(1)).unwrap()) > 0);
        assert!(asked(|| assert_eq!(session.peek_flash::<Asking>("info").unwrap(), [Asking(1)])) > 0);
        assert!(asked(|| assert_eq!(session.take_flash::<Asking>("info").unwrap(), [Asking(1)])) > 0);
        assert_eq!(session.take_flash::<Asking>("info").unwrap(), []);
        drop(session.commit().await.unwrap());
    });
}

/// The closure of an update runs again in the commit that finds another request's value.
#[test]
fn an_update_may_ask_its_session_when_it_runs_again() {
    in_time(async || {
        let config = builder().build().unwrap();
        let mut browser = TestClient::new();
        let session = browser.open(&config).await;
        session.insert("n", 1).unwrap();
        browser.commit(&session).await;
        let session = opened(&config, &browser).await;
        let more = |n: Option<Asking>| {
            ask();
            n.map(|n| Asking(n.0 + 1))
        };
        assert_eq!(session.update("n", more).unwrap(), Some(Asking(2)));
        let other = browser.open(&config).await;
        other.insert("n", 10).unwrap();
        browser.commit(&other).await;
        ASKED.set(0);
        browser.commit(&session).await;
        assert!(ASKED.get() > 0);
        assert_eq!(session.get::<u64>("n").unwrap(), Some(11));
    });
}

#[test]
fn genid_may_ask_the_session_that_needs_an_id() {
    in_time(async || {
        let genid = || {
            ask();
            SessionId::random()
        };
        let config = builder().genid(genid).build().unwrap();
        let mut browser = TestClient::new();
        let session = opened(&config, &browser).await;
        assert!(asked(|| assert_eq!(session.id(), session.id())) > 0);
        let new_ids: [fn(&Session); 2] = [Session::cycle_id, Session::regenerate];
        for new_id in new_ids {
            let ask_for_it = || {
                new_id(&session);
                drop(session.id());
            };
            assert!(asked(ask_for_it) > 0);
        }
        browser.commit(&session).await;
        // Nobody has asked for the new id before the commit needs it.
        let session = opened(&config, &browser).await;
        session.cycle_id();
        ASKED.set(0);
        browser.commit(&session).await;
        assert!(ASKED.get() > 0, "the id of a record that moves");
        let session = opened(&config, &TestClient::new()).await;
        ASKED.set(0);
        drop(session.commit().await.unwrap());
        assert!(ASKED.get() > 0, "the id of a new record");
    });
}

/// A number that is read as it was, and has another value put in its place the first time.
struct Replaced(u64);

impl<'de> Deserialize<'de> for Replaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let first = ASKED.get() == 0;
        ASKED.set(1);
        HANDLE.with_borrow(|handle| {
            if let (true, Some(session)) = (first, handle) {
                session.insert("n", 2).unwrap();
                session.flash("info", 2).unwrap();
            }
        });
        u64::deserialize(deserializer).map(Self)
    }
}

impl Serialize for Replaced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// What is removed is what was read: a value that came in between is read as well.
#[test]
fn a_value_that_changes_while_it_is_read_is_read_again() {
    in_time(async || {
        let config = builder().build().unwrap();
        let session = opened(&config, &TestClient::new()).await;
        session.insert("n", 1).unwrap();
        ASKED.set(0);
        assert_eq!(session.remove::<Replaced>("n").unwrap().unwrap().0, 2);
        assert!(!session.contains_key("n"));
        session.insert("n", 1).unwrap();
        ASKED.set(0);
        let updated = session.update("n", |n: Option<Replaced>| n.map(|n| Replaced(n.0 + 10))).unwrap();
        assert_eq!((updated.unwrap().0, session.get::<u64>("n").unwrap()), (12, Some(12)));
        let _ = session.take_all_flash();
        session.flash("info", 1).unwrap();
        ASKED.set(0);
        let taken: Vec<_> = session.take_flash::<Replaced>("info").unwrap().iter().map(|n| n.0).collect();
        assert_eq!(taken, [1, 2]);
        assert_eq!(session.peek_flash::<u64>("info").unwrap(), [0; 0]);
        drop(session.commit().await.unwrap());
    });
}

/// Over the memory store a commit takes the results of `update` as they are, but only while the record is the one on
/// which they were computed.
#[test]
fn an_update_during_a_commit_is_made_on_what_the_commit_has_written() {
    in_time(async || {
        let config = builder().build().unwrap();
        let mut browser = TestClient::new();
        let first = browser.open(&config).await;
        first.insert("n", 1).unwrap();
        browser.commit(&first).await;
        let session = opened(&config, &browser).await;
        let other = browser.open(&config).await;
        let add_one = |n: Option<u64>| n.map(|n| n + 1);
        let during = move |n: Option<u64>| {
            // The commit of the session runs the closure on what the other request has written.
            if n == Some(100) {
                let session = HANDLE.with_borrow(Clone::clone).unwrap();
                assert_eq!(session.update("n", add_one).unwrap(), Some(3));
            }
            add_one(n)
        };
        session.update("n", during).unwrap();
        other.insert("n", 100).unwrap();
        drop(other.commit().await.unwrap());
        for _ in 0..2 {
            drop(session.commit().await.unwrap());
        }
        assert_eq!(browser.open(&config).await.get("n").unwrap(), Some(102));
    });
}

/// What the closure of an update has captured. It asks the session when it is dropped.
struct Captured;

impl Drop for Captured {
    fn drop(&mut self) {
        ask();
    }
}

/// Whatever becomes of an update, its closure is dropped where the session can be asked.
#[test]
fn what_an_update_has_captured_may_ask_its_session_when_it_is_dropped() {
    in_time(async || {
        let config = builder().build().unwrap();
        let keep: fn(&Session) = |_| {};
        let ends: [fn(&Session); 4] =
            [keep, Session::regenerate, |session| session.log_in("ada").unwrap(), Session::destroy];
        // With a step of 0 there is nothing to write.
        let commits = ends.into_iter().flat_map(|end| [(0, false, end), (1, false, end)]);
        for (step, reloads, end) in commits.chain([(1, true, keep)]) {
            let mut browser = TestClient::new();
            let first = browser.open(&config).await;
            first.insert("n", 1).unwrap();
            first.insert("plain", 1).unwrap();
            browser.commit(&first).await;
            let session = opened(&config, &browser).await;
            let captured = Captured;
            let update = move |n: Option<u64>| {
                let _ = &captured;
                n.map(|n| n + step)
            };
            session.update("n", update).unwrap();
            ASKED.set(0);
            if reloads {
                session.reload().await.unwrap();
            } else {
                end(&session);
                drop(session.commit().await.unwrap());
            }
            assert!(ASKED.get() > 0, "a step of {step}, reloads: {reloads}");
            // What the closure has asked for is dropped with the session.
            HANDLE.set(None);
        }
    });
}
