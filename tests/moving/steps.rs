//! What each step of a move is there for: two or three processes meet between two of them.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sessile::testing::{Hold, Op, Probe};
use sessile::{MemoryStore, Moving, Record, Replaced, SessionId, SessionStore, StoreError, Version};
use tokio::task::JoinHandle;

use super::drain;

const DAY: Duration = Duration::from_secs(86_400);
/// How long a call is waited for that somebody has to make.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two stores between which somebody moves sessions. The old one has a session.
struct Pair {
    old: MemoryStore,
    new: MemoryStore,
    id: SessionId,
}

/// A process over both stores, whose calls can be held. It does not know that somebody drains.
struct Process {
    old: Probe<MemoryStore>,
    new: Probe<MemoryStore>,
    moving: Moving,
}

fn record(members: &str) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{"originalMaxAge":null,"expires":null}}{members}}}"#)).unwrap()
}

impl Pair {
    async fn new() -> Self {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        drain(&Moving::new(old.clone(), new.clone())).await.unwrap();
        let id = SessionId::random();
        old.set(&id, &record(""), DAY).await.unwrap();
        Self { old, new, id }
    }

    fn process(&self) -> Process {
        let (old, new) = (Probe::new(self.old.clone()), Probe::new(self.new.clone()));
        Process { moving: Moving::new(old.clone(), new.clone()), old, new }
    }

    /// A process that knows. It has moved another session, and so it knows as well that both stores compare and write
    /// in one step: nothing goes on in a task of its own.
    async fn aware(&self) -> Process {
        let (process, id) = (self.process(), SessionId::random());
        self.old.set(&id, &record(""), DAY).await.unwrap();
        assert!(process.moving.touch(&id, DAY).await.unwrap());
        let version = process.moving.get(&id).await.unwrap().unwrap().version.unwrap();
        process.moving.destroy_if(&id, &version).await.unwrap();
        process
    }

    /// A process drains, and is killed at this call.
    async fn killed_at(&self, choose: impl FnOnce(&Process) -> Hold) {
        let process = self.aware().await;
        let hold = choose(&process);
        let reached = tokio::time::timeout(PATIENCE, hold.reached());
        let is_killed =
            matches!(select(pin!(drain(&process.moving)), pin!(reached)).await, Either::Right((Ok(()), _)));
        assert!(is_killed, "the call is not made");
    }

    /// The session has its mark in the old store, and a placeholder in the new one.
    async fn marked(&self) {
        self.killed_at(|process| process.new.hold(Op::Replace)).await;
    }

    /// The same, after the placeholder has expired.
    async fn marked_long_ago(&self) {
        self.marked().await;
        self.new.destroy(&self.id).await.unwrap();
    }

    async fn is_there(&self) -> bool {
        self.process().moving.get(&self.id).await.unwrap().is_some()
    }
}

/// Begins something, which waits at a call.
async fn wait_at<T: Send + 'static>(
    hold: &Hold,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let work = tokio::spawn(work);
    tokio::time::timeout(PATIENCE, hold.reached()).await.expect("the call is made");
    work
}

/// Drains a session. One that is found again in each pass would be drained for ever.
async fn drain_soon(moving: &Moving) {
    let mut drain = moving.drain();
    for _ in 0..10 {
        if drain.next().await.unwrap().is_none() {
            return;
        }
    }
    panic!("the drain does not end");
}

/// Looks for a session as a read does, or as a write does. Returns whether it is there.
async fn look(moving: Moving, id: SessionId, writes: bool) -> bool {
    if writes { moving.touch(&id, DAY).await.unwrap() } else { moving.get(&id).await.unwrap().is_some() }
}

/// Somebody is told that a session has ended whose logout was cut off half-way. Nobody fills its placeholder after
/// that.
#[tokio::test]
async fn what_was_said_to_be_over_stays_over() {
    for writes in [false, true] {
        let pair = Pair::new().await;
        pair.marked().await;
        let mover = pair.process();
        let hold = mover.new.hold(Op::Replace);
        let moving = wait_at(&hold, look(mover.moving, pair.id.clone(), true)).await;
        pair.old.destroy(&pair.id).await.unwrap();
        assert!(!look(pair.process().moving, pair.id.clone(), writes).await);
        drop(hold);
        assert!(!moving.await.unwrap(), "writes: {writes}");
        assert!(!pair.is_there().await, "writes: {writes}");
    }
}

/// A placeholder was seen, and the session arrives before the old store is asked.
#[tokio::test]
async fn who_looks_while_a_session_arrives_finds_it() {
    for writes in [false, true] {
        let pair = Pair::new().await;
        pair.marked().await;
        let late = pair.process();
        let hold = late.old.hold(Op::Get);
        let looking = wait_at(&hold, look(late.moving, pair.id.clone(), writes)).await;
        drain(&pair.process().moving).await.unwrap();
        drop(hold);
        assert!(looking.await.unwrap(), "writes: {writes}");
    }
}

/// A session was seen in the old store, and is ended before the placeholder is there.
#[tokio::test]
async fn what_was_seen_before_the_placeholder_is_seen_again() {
    for drains in [false, true] {
        let pair = Pair::new().await;
        pair.marked_long_ago().await;
        let (late, id) = (pair.aware().await, pair.id.clone());
        let hold = late.new.hold(Op::Create);
        let moving = late.moving;
        let work = wait_at(&hold, async move {
            if drains { drain(&moving).await.unwrap() } else { assert!(!look(moving, id, true).await) }
        });
        let work = work.await;
        pair.process().moving.destroy(&pair.id).await.unwrap();
        drop(hold);
        work.await.unwrap();
        assert!(!pair.is_there().await, "drains: {drains}: a logout was undone");
        assert!(pair.new.get(&pair.id).await.unwrap().is_none(), "drains: {drains}: a placeholder stays");
    }
}

/// Two processes that are late after a logout: one is about to take the place, and one to fill its own.
#[tokio::test]
async fn a_placeholder_is_not_taken_for_a_later_one() {
    let pair = Pair::new().await;
    pair.marked_long_ago().await;
    let (taker, filler) = (pair.aware().await, pair.aware().await);
    let (taking, looking) = (taker.new.hold(Op::Create), taker.old.hold_nth(Op::Get, 1));
    let filling = filler.new.hold(Op::Replace);
    let taker = wait_at(&taking, look(taker.moving, pair.id.clone(), true)).await;
    let filler = wait_at(&filling, look(filler.moving, pair.id.clone(), true)).await;
    pair.process().moving.destroy(&pair.id).await.unwrap();
    drop(taking);
    looking.reached().await;
    drop(filling);
    assert!(!filler.await.unwrap(), "a logout was undone");
    drop(looking);
    assert!(!taker.await.unwrap());
    assert!(!pair.is_there().await);
}

/// A move is cut off after the copy, and then the session's id is left.
#[tokio::test]
async fn an_original_does_not_outlive_its_session() {
    let pair = Pair::new().await;
    pair.killed_at(|process| process.old.hold(Op::DestroyIf)).await;
    let moving = pair.process().moving;
    let version = moving.get(&pair.id).await.unwrap().unwrap().version.unwrap();
    assert!(matches!(moving.destroy_if(&pair.id, &version).await.unwrap(), Replaced::Done(_)));
    assert!(!pair.is_there().await, "the original is the session again");
}

/// A move is cut off after the mark. A process that does not know of it carries it on, and writes to the copy.
#[tokio::test]
async fn nobody_writes_over_a_mark() {
    let pair = Pair::new().await;
    pair.marked_long_ago().await;
    let process = pair.process();
    let version = process.moving.get(&pair.id).await.unwrap().unwrap().version.unwrap();
    let written = process.moving.replace(&pair.id, &version, &record(r#","n":1"#), DAY).await.unwrap();
    assert!(matches!(written, Replaced::Done(_)));
    assert_eq!(process.old.calls(Op::Replace), 0, "the mark was written over");
    assert!(pair.old.is_empty());
}

/// A process that is killed after it has created a record in the old store, where another one has created the same
/// in the new one.
#[tokio::test]
async fn of_two_sessions_the_new_store_has_the_one_that_counts() {
    let pair = Pair::new().await;
    pair.new.set(&pair.id, &record(r#","n":2"#), DAY).await.unwrap();
    drain_soon(&pair.process().moving).await;
    assert!(pair.old.is_empty());
    let stored = pair.new.get(&pair.id).await.unwrap().unwrap();
    assert_eq!(stored.record.as_json(), record(r#","n":2"#).as_json());
}

/// A process creates a record in the old store, and another one moves it before the first looks.
#[tokio::test]
async fn a_record_that_has_moved_at_once_was_created() {
    let pair = Pair::new().await;
    let (process, id) = (pair.process(), SessionId::random());
    let hold = process.old.hold(Op::DestroyIf);
    let (moving, at) = (process.moving, id.clone());
    let creating = wait_at(&hold, async move { moving.create(&at, &record(r#","n":1"#), DAY).await }).await;
    drain(&pair.process().moving).await.unwrap();
    drop(hold);
    assert!(creating.await.unwrap().unwrap(), "the id is said to be taken");
    assert!(pair.new.get(&id).await.unwrap().is_some());
}

#[tokio::test]
async fn who_finds_a_record_in_the_new_store_finds_its_list_there() {
    let pair = Pair::new().await;
    pair.old.users().unwrap().append("u", "[1]\n").await.unwrap();
    let user = record(r#","__sessile":{"user":"u"}"#);
    assert!(pair.aware().await.moving.create(&SessionId::random(), &user, DAY).await.unwrap());
    assert!(pair.new.users().unwrap().read("u").await.unwrap().ends_with("[1]\n"));
}

/// A session ends while it is touched, and somebody who is late has taken its place.
#[tokio::test]
async fn a_touch_extends_no_placeholder() {
    let pair = Pair::new().await;
    drain(&pair.process().moving).await.unwrap();
    let process = pair.aware().await;
    let hold = process.new.hold_nth(None, 1);
    let touching = wait_at(&hold, look(process.moving, pair.id.clone(), true)).await;
    let placeholder = record(r#","__sessile":{"adopting":{"moving":"x"}}"#);
    pair.new.set(&pair.id, &placeholder, Duration::from_secs(60)).await.unwrap();
    drop(hold);
    assert!(!touching.await.unwrap(), "a placeholder was taken for the session");
    let left = pair.new.get(&pair.id).await.unwrap().and_then(|stored| stored.expires_in);
    assert!(left.is_none_or(|left| left <= Duration::from_secs(60)), "it lives for {left:?}");
}

/// A session moves while its ids are listed, from stores that read them bit by bit.
#[tokio::test]
async fn a_session_that_moves_is_among_the_ids() {
    struct Lazy(MemoryStore);

    impl SessionStore for Lazy {
        sessile::forward_store!(self => self.0, except ids);

        fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
            let ids = stream::once(async { stream::iter(self.0.all_ids()).map(Ok) });
            Some(ids.flatten().boxed())
        }
    }

    let pair = Pair::new().await;
    pair.new.set(&SessionId::random(), &record(""), DAY).await.unwrap();
    let moving = Moving::new(Lazy(pair.old.clone()), Lazy(pair.new.clone()));
    let mut ids = moving.ids().unwrap();
    let first = ids.try_next().await.unwrap().unwrap();
    drain(&pair.process().moving).await.unwrap();
    let mut rest: Vec<_> = ids.try_collect().await.unwrap();
    rest.push(first);
    assert!(rest.contains(&pair.id));
    assert_eq!(rest.len(), 2);
}

#[tokio::test]
async fn a_session_under_way_has_one_id() {
    let pair = Pair::new().await;
    pair.killed_at(|process| process.old.hold(Op::DestroyIf)).await;
    let ids: Vec<_> = pair.process().moving.ids().unwrap().try_collect().await.unwrap();
    assert_eq!(ids.len(), 1);
}

/// A move is cut off before the mark, and then the session ends: its placeholder is no session.
#[tokio::test]
async fn a_placeholder_is_not_listed() {
    let pair = Pair::new().await;
    pair.killed_at(|process| process.old.hold(Op::Replace)).await;
    pair.old.destroy(&pair.id).await.unwrap();
    assert!(pair.new.get(&pair.id).await.unwrap().is_some());
    let ids: Vec<_> = pair.process().moving.ids().unwrap().try_collect().await.unwrap();
    assert!(ids.is_empty());
}

/// A process that does not know of the move touches the original after it was copied.
#[tokio::test]
async fn a_touch_of_the_original_is_not_lost() {
    let pair = Pair::new().await;
    let (process, id) = (pair.process(), pair.id.clone());
    let hold = process.old.hold(Op::Touch);
    let moving = process.moving;
    let touching = wait_at(&hold, async move { moving.touch(&id, 30 * DAY).await }).await;
    pair.killed_at(|process| process.old.hold(Op::DestroyIf)).await;
    drop(hold);
    assert!(touching.await.unwrap().unwrap());
    drain(&pair.process().moving).await.unwrap();
    let left = pair.new.get(&pair.id).await.unwrap().unwrap().expires_in.unwrap();
    assert!(left > 29 * DAY, "only {left:?} are left");
}

/// Of many sessions that are read at once, one moves between the two stores.
#[tokio::test]
async fn a_session_that_moves_is_among_many() {
    let pair = Pair::new().await;
    let (reader, id) = (pair.process(), pair.id.clone());
    let hold = reader.old.hold(Op::GetMany);
    let moving = reader.moving;
    let reading = wait_at(&hold, async move { moving.get_many(&[id]).await }).await;
    drain(&pair.process().moving).await.unwrap();
    drop(hold);
    assert!(reading.await.unwrap().unwrap()[0].is_some());
}

/// What comes to the old store while a pass is under way, as from a process that has not looked yet.
#[tokio::test]
async fn the_last_pass_is_one_that_moves_nothing() {
    let pair = Pair::new().await;
    let moving = pair.process().moving;
    let mut drain = moving.drain();
    assert_eq!(drain.next().await.unwrap().map(|so_far| so_far.moved), Some(1));
    pair.old.set(&SessionId::random(), &record(""), DAY).await.unwrap();
    while drain.next().await.unwrap().is_some() {}
    assert!(pair.old.is_empty());
}

#[tokio::test]
async fn a_pass_that_was_cut_off_is_not_the_last() {
    let pair = Pair::new().await;
    let process = pair.process();
    let mut drain = process.moving.drain();
    let hold = process.new.hold(Op::Create);
    assert!(matches!(select(pin!(drain.next()), pin!(hold.reached())).await, Either::Right(_)));
    drop(hold);
    while drain.next().await.unwrap().is_some() {}
    assert!(pair.old.is_empty());
}

/// The note that sessions move is no session: it does not move, and is not counted.
#[tokio::test]
async fn the_note_stays_where_it_is() {
    let pair = Pair::new().await;
    drain(&pair.process().moving).await.unwrap();
    let back = Moving::new(pair.new.clone(), pair.old.clone());
    let (mut drain, mut moved) = (back.drain(), 0);
    while let Some(so_far) = drain.next().await.unwrap() {
        moved = so_far.moved;
    }
    assert_eq!(moved, 1);
    assert_eq!(pair.new.len(), 1, "the note has moved, or a session has not");
}

/// A store that gives the text of a record back in another form than it was written in.
#[tokio::test]
async fn an_original_is_found_in_another_form() {
    struct Spaced(MemoryStore);

    fn spaced(record: &Record) -> Record {
        let json = record.as_json();
        let members = json.strip_prefix("{ ").or(json.strip_prefix('{')).unwrap();
        Record::from_json(["{ ", members].concat()).unwrap()
    }

    impl SessionStore for Spaced {
        sessile::forward_store!(self => self.0, except set, create, replace);

        async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
            self.0.set(id, &spaced(record), ttl).await
        }

        async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
            self.0.create(id, &spaced(record), ttl).await
        }

        async fn replace(
            &self,
            id: &SessionId,
            expected: &Version,
            record: &Record,
            ttl: Duration,
        ) -> Result<Replaced, StoreError> {
            self.0.replace(id, expected, &spaced(record), ttl).await
        }
    }

    let pair = Pair::new().await;
    let moving = Moving::new(Spaced(pair.old.clone()), pair.new.clone());
    drain_soon(&moving).await;
    assert!(pair.old.is_empty());
    assert!(pair.is_there().await);
}
