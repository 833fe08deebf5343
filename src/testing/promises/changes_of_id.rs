//! Promises 3 to 5 where answers are lost, ids are taken, and a session goes on after its end.

use super::setup::{Act, key, open, options, origin, setup, user, value};
use crate::error::SessionError;
use crate::id::SessionId;
use crate::record::Record;
use crate::session::Session;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::probe::Op;
use crate::testing::visitor::{Answer, Visitor};

/// Promises 4 and 5: a session whose new id was taken knows the id that it got instead, and its later commits
/// keep what the first one has written.
pub async fn an_id_that_was_taken_is_forgotten<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let taken = SessionId::random();
    let ttl = std::time::Duration::from_secs(60);
    probe.inner().set(&key(&config, &taken), &Record::default(), ttl).await.expect("set");
    let acts: [(&str, Act); 3] =
        [("regenerate", Session::regenerate), ("cycle_id", Session::cycle_id), ("destroy", Session::destroy)];
    for (what, act) in acts {
        let ids = std::sync::Mutex::new(vec![SessionId::random(), taken.clone(), SessionId::random()]);
        let genid = move || ids.lock().expect("no panic").pop().unwrap_or_else(SessionId::random);
        let config = options(&probe).genid(genid).build().expect("the kit's own options");
        let mut visitor = user(&config).await;
        let session = open(&visitor).await;
        act(&session);
        session.insert("first", 1).expect("insert");
        assert_eq!(session.id(), taken, "{what}: the id to be tried first");
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set, "{what}");
        assert_eq!(visitor.id(), Some(session.id()), "{what}: `id()` is not the cookie's");
        assert_ne!(session.id(), taken, "{what}: `id()` is somebody else's");
        assert!(!session.is_new(), "{what}: a stored session is not new");
        session.insert("second", 2).expect("insert");
        visitor.commit(&session).await.expect("commit");
        assert_eq!(visitor.id(), Some(session.id()), "{what}: the second commit changed the id");
        let stored = open(&visitor).await;
        assert_eq!(
            stored.get::<u64>("first").expect("a number"),
            Some(1),
            "{what}: the first commit is lost"
        );
        assert_eq!(stored.get::<u64>("second").expect("a number"), Some(2), "{what}");
    }
}

/// Promise 5: when the answer to the removal of the old record is lost, the commit asks again and goes on
/// with the new record.
pub async fn a_lost_answer_costs_no_session<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let acts: [(Act, &[&str], Op); 2] = [
        (Session::cycle_id, &["user", "role"], Op::DestroyIf),
        (Session::regenerate, &["role"], Op::Destroy),
    ];
    for (act, keys, removal) in acts {
        for fails in [Probed::lose_answer, Probed::fail] {
            let mut visitor = user(&config).await;
            let session = open(&visitor).await;
            act(&session);
            session.insert("role", "admin").expect("insert");
            fails(&probe, removal);
            assert_eq!(visitor.commit(&session).await.expect("the removal is asked for again"), Answer::Set);
            assert_eq!(open(&visitor).await.keys(), keys);
        }
    }
}

/// How a call of a probe goes wrong.
struct Probed;

impl Probed {
    fn lose_answer<S>(probe: &super::setup::Probed<S>, op: Op) {
        probe.lose_answer(op, 0);
    }

    fn fail<S>(probe: &super::setup::Probed<S>, op: Op) {
        probe.fail(op, 0);
    }
}

/// Promises 2 and 5: when no removal of the old record is answered, the commit fails, and the old session or
/// the new one lives. A later commit does not take an ended session over.
pub async fn an_unanswered_removal_ends_in_one_session<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    for (act, removal) in [(Session::cycle_id as Act, Op::DestroyIf), (Session::regenerate, Op::Destroy)] {
        // Not carried out: the old session works as before, and the commit can be repeated.
        let mut visitor = user(&config).await;
        let session = open(&visitor).await;
        act(&session);
        session.insert("role", "admin").expect("insert");
        probe.fail(removal, 0);
        probe.fail(removal, 0);
        assert!(matches!(session.commit().await, Err(SessionError::Store(_))));
        assert_eq!(open(&visitor).await.keys(), ["user"], "{removal:?}: the old session is not as before");
        let before = visitor.clone();
        assert_eq!(visitor.commit(&session).await.expect("the second commit"), Answer::Set);
        assert_eq!(visitor.id(), Some(session.id()));
        assert_eq!(open(&visitor).await.get::<String>("role").expect("text").as_deref(), Some("admin"));
        assert_eq!(origin(&before).await, Origin::Unknown, "{removal:?}: the old id still works");
    }
    // Carried out, and no answer came: nobody can tell it from a logout.
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.cycle_id();
    session.insert("role", "admin").expect("insert");
    probe.fail(Op::DestroyIf, 0);
    probe.fail(Op::DestroyIf, 0);
    assert!(session.commit().await.is_err());
    let logout = open(&visitor).await;
    logout.destroy();
    logout.commit().await.map(drop).expect("the logout");
    let new = Visitor::with_id(&config, &session.id());
    assert!(matches!(visitor.commit(&session).await, Err(SessionError::Gone)), "a logout was undone");
    assert_eq!(origin(&new).await, Origin::Unknown, "the new record outlives the session");

    // Whoever has failed before the removal was asked for, at the data that another request had written, has
    // removed nothing: that one keeps its session, and this one begins a new one.
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.cycle_id();
    session.insert("role", "admin").expect("insert");
    let mut rival = visitor.clone();
    let other = open(&rival).await;
    other.insert("n", 1).expect("insert");
    rival.commit(&other).await.expect("commit");
    probe.fail(Op::Set, 0);
    assert!(matches!(session.commit().await, Err(SessionError::Store(_))), "nothing was brought over");
    let other = open(&rival).await;
    other.cycle_id();
    rival.commit(&other).await.expect("commit");
    assert_eq!(visitor.commit(&session).await.expect("no removal was unanswered"), Answer::Set);
    assert_eq!(open(&visitor).await.keys(), ["role"], "data of a session that has another id");
    assert_eq!(open(&rival).await.keys(), ["user", "n"]);
}

/// Promise 3: once the store has said in a request that the record is gone, the request sends no cookie for
/// it.
pub async fn a_second_commit_sends_no_dead_cookie<S: SessionStore>(store: S) {
    let (config, _) = setup(store);
    let acts: [(&str, Act); 2] = [
        ("touch", Session::touch),
        ("insert", |session| {
            session.insert("n", 2).expect("insert");
        }),
    ];
    for (what, act) in acts {
        let visitor = user(&config).await;
        let session = open(&visitor).await;
        session.insert("n", 1).expect("insert");
        let mut other = visitor.clone();
        assert_eq!(other.commit(&session).await.expect("commit"), Answer::Set);
        let logout = open(&visitor).await;
        logout.destroy();
        logout.commit().await.map(drop).expect("the logout");
        act(&session);
        match session.commit().await {
            Ok(guard) => assert_eq!(other.receive(guard), Answer::NoCookie, "{what}"),
            Err(error) => assert!(matches!(error, SessionError::Gone), "{what}: {error}"),
        }
        // Also not by a commit that has nothing to write, and not after a reload.
        if let Ok(guard) = session.commit().await {
            assert_eq!(other.receive(guard), Answer::NoCookie, "{what}, a third commit");
        }
        assert!(matches!(session.reload().await, Err(SessionError::Gone)), "{what}");
        if let Ok(guard) = session.commit().await {
            assert_eq!(other.receive(guard), Answer::NoCookie, "{what}, after a reload");
        }
    }
}

/// Promise 2: what is written after `destroy` goes into a new session, and the old one ends all the same.
pub async fn a_message_after_logout_is_delivered<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let mut visitor = user(&config).await;
    let before = visitor.clone();
    let session = open(&visitor).await;
    session.insert("dropped", 1).expect("insert");
    session.destroy();
    assert_eq!(session.get::<String>("user").expect("text"), None);
    assert_eq!(session.remove::<u64>("dropped").expect("remove"), None);
    session.touch();
    session.clear();
    assert!(matches!(session.save().await, Err(SessionError::Destroyed)));
    assert!(matches!(session.reload().await, Err(SessionError::Destroyed)));
    session.flash("info", "You are logged out.").expect("flash");
    session.insert("theme", "dark").expect("insert");
    assert!(session.is_new());
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
    assert_ne!(visitor.id(), before.id(), "the old id lives on");
    assert_eq!(origin(&before).await, Origin::Unknown, "the session has not ended");
    let next = open(&visitor).await;
    assert_eq!(next.keys(), ["theme"]);
    assert_eq!(next.take_flash::<String>("info").expect("flash"), ["You are logged out."]);

    // A logout that was carried out before the message was written.
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.log_out();
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Expired);
    session.insert("n", 1).expect("insert");
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Set);
    assert_eq!(value(&visitor, "n").await, Some(1));

    // Nothing to change is no reason for a new session.
    let mut visitor = user(&config).await;
    let session = open(&visitor).await;
    session.destroy();
    assert_eq!(session.update::<u64, _>("n", |n| n).expect("update"), None);
    session.set_max_age(None);
    probe.reset();
    assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::Expired);
    assert_eq!(probe.calls(Op::Create), 0);
}
