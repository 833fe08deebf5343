//! Checks of promises 1 to 5: a logout is final, ids cannot be planted, and an old id is worth nothing.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use futures_util::future::join;
use tokio::task::yield_now;

use super::setup::{Act, increment, key, open, options, origin, setup, user};
use crate::config::SessionConfig;
use crate::error::SessionError;
use crate::id::SessionId;
use crate::session::Session;
use crate::session::origin::Origin;
use crate::store::SessionStore;
use crate::testing::probe::{Op, Probe};
use crate::testing::visitor::{Answer, Visitor};

/// Promise 2: a request that loaded before a logout and commits after it gets `Gone`, whatever it did, and
/// writes nothing.
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

    // The same, with a logout after the commit has begun and before its write reaches the store.
    let visitor = user(&config).await;
    let slow = open(&visitor).await;
    slow.insert("late", 1).expect("insert");
    let hold = probe.hold(Op::Replace);
    let writing = tokio::spawn(async move { slow.commit().await.map(drop) });
    hold.reached().await;
    probe.inner().destroy(&key(&config, &visitor.id().expect("a cookie"))).await.expect("destroy");
    drop(hold);
    let refused = writing.await.expect("no panic");
    assert!(matches!(refused, Err(SessionError::Gone)), "{refused:?}");
    assert_eq!(origin(&visitor).await, Origin::Unknown, "the write brought the session back");
}

/// Promise 2: a request that waits while another one writes to the session meets the logout, too: its changes are not
/// made to the record that the other one has written, which another process has removed since.
pub async fn logout_beats_a_waiting_writer<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    for moves in [false, true] {
        let visitor = user(&config).await;
        let id = key(&config, &visitor.id().expect("a cookie"));
        let (first, late) = (open(&visitor).await, open(&visitor).await);
        first.insert("count", "no number").expect("insert");
        assert_eq!(late.update("count", increment).expect("update"), Some(1));
        if moves {
            late.cycle_id();
        }
        let hold = probe.hold_answer(Op::Replace);
        let writing = tokio::spawn(async move { first.commit().await.map(drop) });
        hold.reached().await;
        probe.inner().destroy(&id).await.expect("destroy");
        let created = moves.then(|| probe.hold_answer(Op::Create));
        let until_it_waits = async move {
            if let Some(created) = created {
                created.reached().await;
            }
            // Each turn polls the commit as well.
            for _ in 0..3 {
                yield_now().await;
            }
            drop(hold);
        };
        let (answer, ()) = join(late.commit(), until_it_waits).await;
        writing.await.expect("no panic").expect("it was written before the logout");
        match answer {
            Err(SessionError::Gone) if !moves => {}
            // It brings nothing over, and its own changes begin another session.
            Ok(_) if moves => assert_eq!(late.get::<u64>("count").expect("a number"), Some(1)),
            answer => panic!("it moves: {moves}: {:?}", answer.map(drop)),
        }
        assert_eq!(origin(&visitor).await, Origin::Unknown, "the write brought the session back");
    }
}

/// The same where the write of the other one has met a conflict: what it was told of the record is older than the
/// request that waits.
pub async fn logout_beats_one_who_joins_a_conflict<S: SessionStore>(store: S) {
    let (config, probe) = setup(store);
    let elsewhere = options(&Probe::new(Arc::clone(probe.inner()))).build().expect("the kit's own options");
    let visitor = user(&config).await;
    let own = visitor.id().expect("a cookie");
    let (first, late) = (open(&visitor).await, open(&visitor).await);
    for session in [&first, &late] {
        assert_eq!(session.update("count", increment).expect("update"), Some(1));
    }
    let mut rival = Visitor::with_id(&elsewhere, &own);
    let session = open(&rival).await;
    session.insert("count", "no number").expect("insert");
    rival.commit(&session).await.expect("commit");
    let hold = probe.hold_answer(Op::Replace);
    let writing = tokio::spawn(async move { first.commit().await.map(drop) });
    hold.reached().await;
    probe.inner().destroy(&key(&config, &own)).await.expect("destroy");
    let until_it_waits = async move {
        for _ in 0..3 {
            yield_now().await;
        }
        drop(hold);
    };
    let (answer, ()) = join(late.commit(), until_it_waits).await;
    assert!(matches!(answer, Err(SessionError::Gone)), "{:?}", answer.map(drop));
    // This one began before the logout, so it may have met the record or not.
    let answer = writing.await.expect("no panic");
    assert!(matches!(answer, Err(SessionError::Gone | SessionError::Decode { .. })), "{answer:?}");
}

/// Promises 2 and 3: after a logout, a late request under `rolling`, `resave` or `touch()` neither brings the
/// session back nor sends its cookie.
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

/// Promise 2: if the session has ended in the meantime, `cycle_id` keeps only what its own request set.
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

/// Promise 1: `cycle_id` takes along what other requests wrote to the old record in the meantime.
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

/// Promise 3: a request whose cookie names no session, and that puts nothing into its own, clears and
/// replaces no cookie and writes nothing.
pub async fn a_miss_clears_no_cookie<S: SessionStore>(store: S) {
    let (_, probe) = setup(store);
    for config in [
        options(&probe).build(),
        options(&probe).save_uninitialized(true).build(),
        options(&probe).save_uninitialized(true).rolling(true).resave(true).build(),
    ] {
        let config = config.expect("the kit's own options");
        let mut unknown = Visitor::with_id(&config, &SessionId::random());
        let undecodable = user(&config).await;
        let requests = [
            (unknown.headers(), Origin::Unknown),
            (cookies(&config, ["forged"]), Origin::BadSignature),
            (undecodable.headers(), Origin::Undecodable),
        ];
        for (headers, origin) in requests {
            if origin == Origin::Undecodable {
                probe.corrupt(0);
            }
            let session = config.session_from_headers(&headers).await.expect("the session loads");
            assert_eq!(session.origin(), origin);
            session.touch();
            probe.reset();
            assert_eq!(unknown.commit(&session).await.expect("commit"), Answer::NoCookie, "{origin:?}");
            assert_eq!(probe.total(), 0, "{origin:?}: a request without a session wrote something");
        }
    }
}

/// Promise 3: a request that was sent before a login, and is handled after it, takes the new cookie from
/// nobody, also if untouched sessions are stored.
pub async fn a_late_request_replaces_no_cookie<S: SessionStore>(store: S) {
    let (_, probe) = setup(store);
    let config = options(&probe).save_uninitialized(true).build().expect("the kit's own options");
    let acts: [(&str, Act); 2] = [("cycle_id", Session::cycle_id), ("regenerate", Session::regenerate)];
    for (what, act) in acts {
        let mut visitor = user(&config).await;
        let late = visitor.headers();
        let login = open(&visitor).await;
        act(&login);
        login.insert("user", "ada").expect("insert");
        assert_eq!(visitor.commit(&login).await.expect("commit"), Answer::Set);

        let session = config.session_from_headers(&late).await.expect("the session loads");
        assert_eq!(session.origin(), Origin::Unknown);
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::NoCookie, "{what}");
        let user = open(&visitor).await.get::<String>("user").expect("text");
        assert_eq!(user.as_deref(), Some("ada"), "{what}: the late request has logged the visitor out");
    }
}

/// Promise 3: cookies that somebody has planted before the good one do not hide it, up to the documented
/// limits: 64 cookies of the name are checked for a signature, and 4 signed ones are looked up. Beyond the
/// limits they still do not make the response replace the good cookie.
pub async fn planted_cookies_hide_no_session<S: SessionStore>(store: S) {
    let (_, probe) = setup(store);
    let config = options(&probe).save_uninitialized(true).build().expect("the kit's own options");
    let mut visitor = user(&config).await;
    let good = config.sign(&visitor.id().expect("a cookie"));
    let cases = [
        (63, 0, Origin::Loaded, 1),
        (0, 3, Origin::Loaded, 4),
        (60, 3, Origin::Loaded, 4),
        (64, 0, Origin::BadSignature, 0),
        (65, 0, Origin::BadSignature, 0),
        (0, 4, Origin::Unknown, 4),
        (0, 5, Origin::Unknown, 4),
    ];
    for (forged, dead, origin, lookups) in cases {
        let case = format!("{forged} forged cookies and {dead} of ended sessions");
        let dead = std::iter::repeat_with(|| config.sign(&SessionId::random())).take(dead);
        let planted = std::iter::repeat_n("forged".to_owned(), forged).chain(dead);
        let headers = cookies(&config, planted.chain([good.clone()]));
        probe.reset();
        let session = config.session_from_headers(&headers).await.expect("the session loads");
        assert_eq!(session.origin(), origin, "{case}");
        assert_eq!(visitor.commit(&session).await.expect("commit"), Answer::NoCookie, "{case}");
        assert_eq!((probe.calls(Op::Get), probe.total()), (lookups, lookups), "{case}: calls of the store");
    }
}

/// The headers of a request with these cookies of the session's name.
fn cookies(config: &SessionConfig, values: impl IntoIterator<Item = impl Display>) -> HeaderMap {
    let pairs: Vec<_> = values.into_iter().map(|value| format!("{}={value}", config.name())).collect();
    let line = HeaderValue::try_from(pairs.join("; ")).expect("cookies are a header value");
    HeaderMap::from_iter([(COOKIE, line)])
}

/// Promise 4: an id that this server did not make is never written, even if it is signed.
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
        for id in [key(&config, &planted), planted] {
            let there = probe.inner().get(&id).await.expect("get");
            assert!(there.is_none(), "{what}: something was written under the planted id");
        }
    }
}

/// Promises 4 and 5: after `regenerate` and `cycle_id` the old id names no session any more.
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
