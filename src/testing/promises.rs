//! Checks of sessions over a store, each one of the crate's promises. Requests are held at barriers, not slept for.
//!
//! A check panics with what it found.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::contract::poll_only;
use super::{Answer, Op, Probe, Visitor};
use crate::builder::SessionConfigBuilder;
use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::session::{Origin, Session};
use crate::store::SessionStore;

const SECRET: &str = "the conformance kit's secret, longer than 32 bytes";

type Act = fn(&Session);

type Probed<S> = Probe<Arc<S>>;

fn options<S: SessionStore>(probe: &Probed<S>) -> SessionConfigBuilder {
    // Loads touch nothing by themselves, so that calls can be counted.
    let calm = Duration::from_secs(24 * 60 * 60);
    SessionConfig::builder(SECRET).store(probe.clone()).save_uninitialized(false).touch_after(calm)
}

fn setup<S: SessionStore>(store: S) -> (SessionConfig, Probed<S>) {
    let probe = Probe::new(Arc::new(store));
    let config = options(&probe).build().expect("the kit's own options");
    (config, probe)
}

/// Someone who is logged in: a stored session with `user` in it.
async fn user(config: &SessionConfig) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = open(&visitor).await;
    session.insert("user", "ada").expect("insert");
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
    visitor
}

async fn open(visitor: &Visitor) -> Session {
    visitor.open().await.expect("the session loads")
}

async fn origin(visitor: &Visitor) -> Origin {
    open(visitor).await.origin()
}

async fn value(visitor: &Visitor, key: &str) -> Option<u64> {
    open(visitor).await.get(key).expect("a number")
}

fn increment(count: Option<u64>) -> Option<u64> {
    Some(count.unwrap_or(0) + 1)
}

/// Promise 1: two requests that loaded the same record and set different keys both survive.
pub async fn different_keys_both_survive<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let mut visitor = user(&config).await;
    let mut sessions = Vec::new();
    for n in 0..20_u64 {
        let session = open(&visitor).await;
        session.insert(&format!("key{n}"), n).expect("insert");
        sessions.push(session);
    }
    let mut commits = JoinSet::new();
    for session in sessions {
        commits.spawn(async move { session.commit().await.map(drop) });
    }
    for done in commits.join_all().await {
        done.expect("commit");
    }
    for n in 0..20 {
        assert_eq!(value(&visitor, &format!("key{n}")).await, Some(n), "the write of request {n} is lost");
    }
    // One that removes and one that sets.
    let (one, other) = (open(&visitor).await, open(&visitor).await);
    one.remove::<u64>("key0").expect("remove");
    other.insert("key1", 100).expect("insert");
    visitor.commit(&other).await.expect("commit");
    visitor.commit(&one).await.expect("commit");
    assert_eq!((value(&visitor, "key0").await, value(&visitor, "key1").await), (None, Some(100)));
}

/// Promise 1: 200 parallel `update`s of one key all count, all loaded before the first is written.
pub async fn no_update_is_lost<S: SessionStore>(store: S) {
    const REQUESTS: u64 = 200;
    let (config, _) = setup(store);
    let visitor = user(&config).await;
    let mut sessions = Vec::new();
    for _ in 0..REQUESTS {
        let session = open(&visitor).await;
        assert_eq!(session.update("count", increment).expect("update"), Some(1));
        sessions.push(session);
    }
    let mut commits = JoinSet::new();
    for session in sessions {
        commits.spawn(async move { session.commit().await.map(drop) });
    }
    for done in commits.join_all().await {
        done.expect("every update succeeds");
    }
    assert_eq!(value(&visitor, "count").await, Some(REQUESTS));
}

/// Promise 1: every kind of change is played again over what another request wrote first.
pub async fn every_change_survives_a_conflict<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    for key in ["set", "removed", "updated"] {
        session.insert(key, 1).expect("insert");
    }
    session.flash("note", "old").expect("flash");
    visitor.commit(&session).await.expect("commit");

    let late = open(&visitor).await;
    late.insert("set", 10).expect("insert");
    late.remove::<u64>("removed").expect("remove");
    late.update("updated", increment).expect("update");
    assert_eq!(late.take_flash::<String>("note").expect("take"), ["old"]);
    late.flash("note", "late").expect("flash");
    late.set_max_age(Some(Duration::from_secs(77)));

    let early = open(&visitor).await;
    for (key, number) in [("set", 5), ("removed", 5), ("updated", 5), ("other", 5)] {
        early.insert(key, number).expect("insert");
    }
    early.flash("note", "early").expect("flash");
    visitor.commit(&early).await.expect("commit");
    visitor.commit(&late).await.expect("commit");

    let session = open(&visitor).await;
    let number = |key| session.get::<u64>(key).expect("a number");
    assert_eq!((number("set"), number("removed")), (Some(10), None));
    assert_eq!((number("updated"), number("other")), (Some(6), Some(5)));
    assert_eq!(session.peek_flash::<String>("note").expect("peek"), ["early", "late"]);
    assert_eq!(session.max_age(), Some(Duration::from_secs(77)));

    // A cleared session loses what stood there by then, and keeps what came with the clearing.
    let clearing = open(&visitor).await;
    clearing.clear();
    clearing.insert("fresh", 1).expect("insert");
    let writer = open(&visitor).await;
    writer.insert("set", 11).expect("insert");
    visitor.commit(&writer).await.expect("commit");
    visitor.commit(&clearing).await.expect("commit");
    let session = open(&visitor).await;
    assert_eq!(session.keys(), ["fresh"]);
    assert_eq!(session.peek_flash::<String>("note").expect("peek"), ["early", "late"]);
}

/// Promise 1: a message that is pushed while another request drains its kind is there for the next one.
pub async fn a_flash_message_pushed_during_a_drain_is_kept<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.flash("info", "first").expect("flash");
    visitor.commit(&session).await.expect("commit");
    for drain_last in [true, false] {
        let (drain, push) = (open(&visitor).await, open(&visitor).await);
        assert_eq!(drain.take_flash::<String>("info").expect("take"), ["first"]);
        push.flash("info", "first").expect("flash");
        let order = if drain_last { [&push, &drain] } else { [&drain, &push] };
        for session in order {
            visitor.commit(session).await.expect("commit");
        }
        let left = open(&visitor).await.peek_flash::<String>("info").expect("peek");
        assert_eq!(left, ["first"], "drained last: {drain_last}");
    }
}

/// Promise 2: a writer that loaded before a logout gets `Gone`, whatever it did, and nothing comes back.
pub async fn logout_beats_a_slow_writer<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let writes: [(&str, Act); 5] = [
        ("insert", |session| session.insert("late", 1).expect("insert")),
        ("update", |session| assert!(session.update("late", increment).is_ok())),
        ("flash", |session| session.flash("late", 1).expect("flash")),
        ("max-age", |session| session.set_max_age(Some(Duration::from_secs(60)))),
        ("remove", |session| drop(session.remove::<String>("user").expect("remove"))),
    ];
    for (what, write) in writes {
        let mut visitor = user(&config).await;
        let before = visitor.clone();
        let slow = open(&visitor).await;
        write(&slow);
        let logout = open(&visitor).await;
        logout.destroy();
        assert_eq!(visitor.commit(&logout).await.expect("commit"), Answer::Expired);
        let refused = slow.commit().await;
        assert!(matches!(refused, Err(SessionError::Gone)), "{what}: {refused:?}");
        assert_eq!(origin(&before).await, Origin::Unknown, "{what} brought the session back");
    }

    // The same with the logout in the middle of the write.
    let visitor = user(&config).await;
    let slow = open(&visitor).await;
    slow.insert("late", 1).expect("insert");
    let hold = probe.hold(Op::Replace);
    let writing = tokio::spawn(async move { slow.commit().await.map(drop) });
    hold.reached().await;
    probe.inner().destroy(&visitor.id().expect("a cookie")).await.expect("destroy");
    drop(hold);
    let refused = writing.await.expect("no panic");
    assert!(matches!(refused, Err(SessionError::Gone)), "{refused:?}");
    assert_eq!(origin(&visitor).await, Origin::Unknown, "the write brought the session back");
}

/// Promises 2 and 3: after a logout, a late `rolling`, `resave` or `touch()` neither brings the session back nor sends
/// its cookie.
pub async fn logout_beats_a_reader<S: SessionStore>(store: S) {
    let (_, probe) = setup(store);
    for config in [
        options(&probe).rolling(true).build(),
        options(&probe).resave(true).build(),
        options(&probe).rolling(true).resave(true).build(),
        options(&probe).build(),
    ] {
        let config = config.expect("the kit's own options");
        let mut visitor = user(&config).await;
        let mut before = visitor.clone();
        let late = open(&visitor).await;
        late.touch();
        let logout = open(&visitor).await;
        logout.destroy();
        visitor.commit(&logout).await.expect("commit");
        assert_eq!(before.commit(&late).await.expect("a reader is not refused"), Answer::NoCookie);
        assert_eq!(origin(&before).await, Origin::Unknown, "a reader brought the session back");
    }
}

/// Promise 2: `cycle_id` over a session that ended meanwhile keeps only what this request itself set.
pub async fn a_cycled_id_takes_nothing_from_a_gone_session<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let mut visitor = user(&config).await;
    let before = visitor.clone();
    let login = open(&visitor).await;
    login.cycle_id();
    login.insert("mine", 1).expect("insert");
    let logout = open(&visitor).await;
    logout.destroy();
    visitor.commit(&logout).await.expect("commit");
    assert_eq!(visitor.commit(&login).await.expect("commit"), Answer::Set);
    assert_eq!(open(&visitor).await.keys(), ["mine"], "data of the ended session lives on");
    assert_eq!(origin(&before).await, Origin::Unknown);
}

/// Promise 1 for `cycle_id`: what others wrote to the old record meanwhile moves along.
pub async fn a_cycled_id_takes_what_others_wrote<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let mut visitor = user(&config).await;
    let before = visitor.clone();
    let login = open(&visitor).await;
    login.cycle_id();
    login.update("count", increment).expect("update");
    let other = open(&visitor).await;
    other.insert("other", 1).expect("insert");
    other.insert("count", 41).expect("insert");
    visitor.commit(&other).await.expect("commit");
    assert_eq!(visitor.commit(&login).await.expect("commit"), Answer::Set);
    assert_ne!(visitor.id(), before.id());
    let session = open(&visitor).await;
    assert_eq!(session.get::<String>("user").expect("text").as_deref(), Some("ada"));
    assert_eq!(session.get::<u64>("other").expect("a number"), Some(1));
    assert_eq!(session.get::<u64>("count").expect("a number"), Some(42));
    assert_eq!(origin(&before).await, Origin::Unknown, "the old id still works");
}

/// Promise 3: a request whose cookie names no session clears nothing and writes nothing.
pub async fn a_miss_clears_no_cookie<S: SessionStore>(store: S) {
    let (_, probe) = setup(store);
    for config in [options(&probe).build(), options(&probe).rolling(true).resave(true).build()] {
        let config = config.expect("the kit's own options");
        let mut visitor = Visitor::with_id(&config, &SessionId::random());
        let session = open(&visitor).await;
        assert_eq!(session.origin(), Origin::Unknown);
        probe.reset();
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::NoCookie);
        assert_eq!(probe.total(), 0, "a request without a session wrote something");
    }
}

/// Promise 4: an id nobody minted here is never written, signed or not.
pub async fn only_minted_ids_are_written<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let acts: [(&str, Act); 5] = [
        ("insert", |_| {}),
        ("clear", Session::clear),
        ("regenerate", Session::regenerate),
        ("cycle_id", Session::cycle_id),
        ("touch", Session::touch),
    ];
    for (what, act) in acts {
        let planted = SessionId::random();
        let mut visitor = Visitor::with_id(&config, &planted);
        let session = open(&visitor).await;
        act(&session);
        session.insert("user", "ada").expect("insert");
        assert_ne!(session.id(), planted, "{what}");
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
        assert_ne!(visitor.id().as_ref(), Some(&planted), "{what}: the planted id was adopted");
        let there = probe.inner().get(&planted).await.expect("get");
        assert!(there.is_none(), "{what}: something was written under the planted id");
    }
}

/// Promises 4 and 5: after `regenerate`, `cycle_id` and `destroy` the old id is worth nothing.
pub async fn an_old_id_is_worth_nothing<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let acts: [(&str, Act, &[&str]); 3] = [
        ("regenerate", Session::regenerate, &["new"]),
        ("cycle_id", Session::cycle_id, &["user", "new"]),
        (
            "cycle_id, regenerate",
            |session| {
                session.cycle_id();
                session.regenerate()
            },
            &["new"],
        ),
    ];
    for (what, act, keys) in acts {
        let mut visitor = user(&config).await;
        let before = visitor.clone();
        let session = open(&visitor).await;
        act(&session);
        session.insert("new", 1).expect("insert");
        let id = session.id();
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
        assert_eq!(visitor.id(), Some(id), "{what}: id() told another id");
        assert_eq!(open(&visitor).await.keys(), keys, "{what}");
        assert_eq!(origin(&before).await, Origin::Unknown, "{what}: the old id still works");
    }
}

/// Promise 5: whichever call of a `regenerate` or `cycle_id` fails, the old session works as before.
pub async fn a_failed_regenerate_leaves_the_old_session<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let acts: [Act; 2] = [Session::regenerate, Session::cycle_id];
    for act in acts {
        for failing in [Op::Create, Op::Destroy, Op::DestroyIf] {
            let mut visitor = user(&config).await;
            let session = open(&visitor).await;
            act(&session);
            let new = session.id();
            probe.fail(failing, 0);
            if let Ok(answer) = visitor.commit(&session).await {
                // This kind of move does not make this call; use the plan up.
                assert_eq!(answer, Answer::Set);
                let spare = SessionId::random();
                drop(probe.create(&spare, &crate::Record::default(), Duration::from_secs(9)).await);
                drop(probe.destroy(&spare).await);
                drop(probe.destroy_if(&spare, &crate::Version::from(1)).await);
                continue;
            }
            let old = open(&visitor).await;
            assert_eq!(old.get::<String>("user").expect("text").as_deref(), Some("ada"), "{failing:?}");
            let left = probe.inner().get(&new).await.expect("get");
            assert!(left.is_none(), "{failing:?}: the new record is left behind");
        }
    }
}

/// Promise 5: `regenerate`, `cycle_id` and `destroy` do nothing before `commit`.
pub async fn nothing_happens_before_commit<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let visitor = user(&config).await;
    let session = open(&visitor).await;
    probe.reset();
    session.insert("n", 1).expect("insert");
    session.cycle_id();
    session.regenerate();
    session.clear();
    session.flash("info", 1).expect("flash");
    session.destroy();
    assert_eq!(probe.total(), 0);
    drop(session);
    assert_eq!(origin(&visitor).await, Origin::Loaded, "a session that was not committed is gone");
}

/// Promise 6: when the store cannot be reached, the extractor refuses, and nothing is written.
pub async fn a_failed_load_writes_nothing<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let visitor = user(&config).await;
    probe.reset();
    probe.fail(Op::Get, 0);
    assert!(visitor.open().await.is_err(), "a failed load became a session");
    assert_eq!(probe.total(), 1, "something followed a failed load");
    assert_eq!(origin(&visitor).await, Origin::Loaded);
}

/// Promise 6: a record that cannot be decoded gives a new session under a new id; its bytes stay.
pub async fn an_undecodable_record_is_left_alone<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let mut visitor = user(&config).await;
    let before = visitor.clone();
    probe.corrupt(0);
    let session = open(&visitor).await;
    assert_eq!(session.origin(), Origin::Undecodable);
    assert!(session.is_empty());
    session.insert("new", 1).expect("insert");
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
    assert_ne!(visitor.id(), before.id());
    assert_eq!(open(&before).await.keys(), ["user"], "the undecodable record was touched");
}

/// A commit that failed changed nothing in the session: a second one writes the same. When only the answer was lost, an
/// `insert` is still right.
pub async fn a_failed_commit_can_be_repeated<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    for lost in [false, true] {
        let mut visitor = user(&config).await;
        let session = open(&visitor).await;
        session.insert("n", 7).expect("insert");
        if lost {
            probe.lose_answer(Op::Replace, 0);
        } else {
            probe.fail(Op::Replace, 0);
        }
        let failed = session.commit().await;
        assert!(matches!(failed, Err(SessionError::Store(_))), "{failed:?}");
        visitor.commit(&session).await.expect("the second try");
        assert_eq!(value(&visitor, "n").await, Some(7));
    }
}

/// Promise 7: wherever a commit is dropped, each record is as before or as after, and the visitor can go on with the
/// cookie they have.
pub async fn a_dropped_request_leaves_no_half<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let acts: [(&str, Act, &[&[&str]]); 4] = [
        ("insert", |session| session.insert("n", 1).expect("insert"), &[&["user"], &["user", "n"]]),
        (
            "cycle_id",
            |session| {
                session.cycle_id();
                session.insert("n", 1).expect("insert")
            },
            &[&["user"], &[]],
        ),
        ("regenerate", Session::regenerate, &[&["user"], &[]]),
        ("destroy", Session::destroy, &[&["user"], &[]]),
    ];
    for (what, act, allowed) in acts {
        for polls in 0..40 {
            let visitor = user(&config).await;
            let session = open(&visitor).await;
            act(&session);
            let done = poll_only(polls, session.commit()).await.is_some();
            drop(session);
            // A store may carry on with what it was asked, so wait for a state that is allowed: half of one never is.
            let keys = open(&visitor).await.keys();
            assert!(
                allowed.iter().any(|allowed| keys == *allowed),
                "{what}, dropped after {polls} polls: {keys:?}"
            );
            let still = open(&visitor).await;
            if still.origin() == Origin::Loaded {
                still.insert("later", 1).expect("insert");
                match still.commit().await {
                    Ok(_) | Err(SessionError::Gone) => {}
                    Err(error) => panic!("{what}, dropped after {polls} polls: {error}"),
                }
            }
            if done {
                break;
            }
        }
    }
}
