//! Checks of promises 5 to 7: no failed call and no dropped request leaves a record half written.

use std::time::Duration;

use super::setup::{Act, Probed, key, open, origin, setup, user, value};
use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::Session;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::contract::poll_only;
use crate::testing::probe::Op;
use crate::testing::visitor::{Answer, Visitor};

/// Promise 5: whichever store call of a `regenerate` or `cycle_id` fails, the old session works as before.
pub async fn a_failed_regenerate_leaves_the_old_session<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let acts: [Act; 2] = [Session::regenerate, Session::cycle_id];
    for act in acts {
        for failing in [Op::Create, Op::Destroy, Op::DestroyIf] {
            let mut visitor = user(&config).await;
            let session = open(&visitor).await;
            act(&session);
            // The removal of the old record is asked for twice.
            let failures = if failing == Op::Create { 1 } else { 2 };
            for _ in 0..failures {
                probe.fail(failing, 0);
            }
            if let Ok(answer) = visitor.commit(&session).await {
                // This way to a new id does not use the method, so make the planned failures happen here.
                assert_eq!(answer, Answer::Set);
                let spare = SessionId::random();
                for _ in 0..failures {
                    drop(probe.create(&spare, &Record::default(), Duration::from_secs(9)).await);
                    drop(probe.destroy(&spare).await);
                    drop(probe.destroy_if(&spare, &crate::Version::from(1)).await);
                }
                continue;
            }
            let old = open(&visitor).await;
            assert_eq!(old.get::<String>("user").expect("text").as_deref(), Some("ada"), "{failing:?}");
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

/// Promise 6: if the store cannot be reached, the extractor rejects the request, and nothing is written.
pub async fn a_failed_load_writes_nothing<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let visitor = user(&config).await;
    probe.reset();
    probe.fail(Op::Get, 0);
    assert!(visitor.open().await.is_err(), "a failed load became a session");
    assert_eq!(probe.total(), 1, "something followed a failed load");
    assert_eq!(origin(&visitor).await, Origin::Loaded);
}

/// Promise 6: if a record cannot be decoded, its bytes stay, and the request gets a new session and a new id.
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

/// A failed commit can be repeated: the second one writes what the first one was to write, also if the store
/// carried out the first write and only its answer was lost.
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
    a_late_write_revives_nothing(&config, &probe).await;
}

/// Promise 2: where a new record is written without an answer, the second commit takes another id. So a call that
/// the store carries out when that session has long ended brings nothing back.
async fn a_late_write_revives_nothing<S: SessionStore>(config: &SessionConfig, probe: &Probed<S>) {
    let acts: [(&str, Act, Op); 4] = [
        ("a new session", |session| session.insert("n", 1).expect("insert"), Op::Create),
        ("regenerate", Session::regenerate, Op::Create),
        ("cycle_id", Session::cycle_id, Op::Create),
        ("cycle_id, whose data is brought over", Session::cycle_id, Op::Set),
    ];
    for (what, act, late) in acts {
        let mut visitor = if what == "a new session" { Visitor::new(config) } else { user(config).await };
        let session = open(&visitor).await;
        act(&session);
        if late == Op::Set {
            let mut rival = visitor.clone();
            let other = open(&rival).await;
            other.insert("n", 1).expect("insert");
            rival.commit(&other).await.expect("commit");
        }
        let tried = session.id();
        probe.fail(late, 0);
        let failed = session.commit().await;
        assert!(matches!(failed, Err(SessionError::Store(_))), "{what}: {failed:?}");
        visitor.commit(&session).await.expect("the second try");
        assert_eq!(visitor.id(), Some(session.id()), "{what}");
        let before = visitor.clone();
        let session = open(&visitor).await;
        session.destroy();
        visitor.commit(&session).await.expect("the logout");
        let (tried, ttl) = (key(config, &tried), Duration::from_secs(60));
        probe.inner().set(&tried, &Record::default(), ttl).await.expect("set");
        assert_eq!(origin(&before).await, Origin::Unknown, "{what}: a logout was undone");
    }
}

/// Promise 7: wherever a commit is dropped, each record is as it was or as it was to be, and the visitor can
/// continue with the old cookie.
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
            // The store may still complete the dropped call. Both states are allowed, but no mixture of them.
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
