//! Ends that meet a change of id, a login, or a process that stands still or is killed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::{SECRET, is_alive, log_in};
use sessile::testing::{Op, Probe, TestClock, Visitor};
use sessile::{AtLimit, MemoryStore, Origin, SessionConfig, SessionError};

fn probed() -> Probe<MemoryStore> {
    Probe::new(MemoryStore::new())
}

#[tokio::test]
async fn a_login_finishes_an_end_before_it_counts() {
    for at_limit in [AtLimit::EndOldest, AtLimit::Refuse] {
        let probe = probed();
        let config =
            SessionConfig::builder(SECRET).store(probe.clone()).per_user(1, at_limit).build().unwrap();
        let first = log_in(&config, "ada").await.unwrap();
        probe.fail(Op::Destroy, 0);
        assert!(config.sessions_of("ada").end_all().await.is_err());
        assert!(is_alive(&first).await, "the end was marked, and no more");
        let second = log_in(&config, "ada").await.unwrap();
        assert!(is_alive(&second).await && !is_alive(&first).await, "{at_limit:?}: two sessions are alive");
    }
}

#[tokio::test]
async fn the_oldest_session_ends_though_its_id_changes() {
    let probe = probed();
    let config =
        SessionConfig::builder(SECRET).store(probe.clone()).per_user(1, AtLimit::EndOldest).build().unwrap();
    let mut first = log_in(&config, "ada").await.unwrap();
    // The login has read the list, in which the first session stands under its old id.
    let hold = probe.hold(Op::GetMany);
    let login = tokio::spawn({
        let config = config.clone();
        async move { log_in(&config, "ada").await }
    });
    hold.reached().await;
    let session = first.open().await.unwrap();
    session.cycle_id();
    first.commit(&session).await.unwrap();
    drop(hold);
    let second = login.await.unwrap().unwrap();
    assert!(is_alive(&second).await && !is_alive(&first).await, "two sessions are alive");
}

#[tokio::test]
async fn expired_sessions_in_an_older_secrets_list_refuse_nobody() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let (a, b) = ("the first secret of at least 32 bytes", "the second secret of at least 32 bytes");
    let with = |secrets: &[&str]| {
        let builder = SessionConfig::builder(secrets).store(store.clone()).clock(clock.clone());
        builder.max_age(Duration::from_secs(60)).per_user(1, AtLimit::Refuse).build().unwrap()
    };
    log_in(&with(&[a]), "ada").await.unwrap();
    let both = with(&[b, a]);
    assert!(matches!(log_in(&both, "ada").await, Err(SessionError::TooManySessions)));
    clock.advance(Duration::from_secs(121));
    assert!(log_in(&both, "ada").await.is_ok(), "nobody has a session");
}

#[tokio::test]
async fn a_session_that_is_over_ends_no_others() {
    let probe = probed();
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let own = log_in(&config, "ada").await.unwrap().open().await.unwrap();
    let hold = probe.hold(Op::AppendUser);
    let ending = tokio::spawn({
        let config = config.clone();
        async move { config.sessions_of("ada").end_others(&own).await }
    });
    hold.reached().await;
    config.sessions_of("ada").end_all().await.unwrap();
    let later = log_in(&config, "ada").await.unwrap();
    drop(hold);
    assert!(matches!(ending.await.unwrap(), Err(SessionError::Gone)));
    assert!(is_alive(&later).await, "a session that was over has ended another");
}

#[tokio::test]
async fn a_session_that_gets_a_new_id_does_not_end_itself() {
    let probe = probed();
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let own = visitor.open().await.unwrap();
    let hold = probe.hold(Op::AppendUser);
    let ending = tokio::spawn({
        let config = config.clone();
        async move { config.sessions_of("ada").end_others(&own).await }
    });
    hold.reached().await;
    let session = visitor.open().await.unwrap();
    session.cycle_id();
    visitor.commit(&session).await.unwrap();
    drop(hold);
    assert_eq!(ending.await.unwrap().unwrap(), 0);
    assert!(is_alive(&visitor).await, "the session has ended itself");
}

/// Configurations over one store, before and after a new secret.
fn before_and_after(probe: &Probe<MemoryStore>) -> [SessionConfig; 2] {
    let (old, new) = ("the first secret of at least 32 bytes", "the second secret of at least 32 bytes");
    [[old].as_slice(), [new, old].as_slice()].map(|secrets| {
        let builder = SessionConfig::builder(secrets).store(probe.clone());
        builder.per_user(1, AtLimit::Refuse).build().unwrap()
    })
}

/// Found by the model checker: a login counted on the place in the older secret's list that it was about to
/// leave, and another request took that place along to a new id.
#[tokio::test]
async fn a_login_counts_a_place_that_another_request_has_moved() {
    let probe = probed();
    let [before, after] = before_and_after(&probe);
    let first = log_in(&before, "ada").await.unwrap();
    let mut visitor = Visitor::with_id(&after, &first.id().unwrap());
    let (again, moving) = (visitor.open().await.unwrap(), visitor.open().await.unwrap());
    let hold = probe.hold(Op::Create);
    again.log_in("ada").unwrap();
    let login = tokio::spawn(async move { again.commit().await.map(drop) });
    hold.reached().await;
    moving.cycle_id();
    visitor.commit(&moving).await.unwrap();
    drop(hold);
    assert!(matches!(login.await.unwrap(), Err(SessionError::TooManySessions)));
    assert!(is_alive(&visitor).await);
    assert_eq!(after.sessions_of("ada").count().await.unwrap(), 1);
}

/// Whoever the secrets of before and after a new one know.
#[tokio::test]
async fn nobody_acts_as_themselves() {
    let probe = probed();
    let [before, after] = before_and_after(&probe);
    let first = log_in(&before, "ada").await.unwrap();
    let mut visitor = Visitor::with_id(&after, &first.id().unwrap());
    let session = visitor.open().await.unwrap();
    session.impersonate("ada").unwrap();
    assert!(!session.is_impersonated());
    visitor.commit(&session).await.unwrap();
    assert_eq!(visitor.id(), first.id(), "nothing has changed");
    let list = after.sessions_of("ada").list().await.unwrap();
    assert!(matches!(list.as_slice(), [one] if one.is(&session) && !one.is_impersonated()));
}

/// Found by the model checker: both requests take the removal of the old record for their own doing.
#[tokio::test]
async fn of_two_that_move_a_session_one_arrives() {
    let store = MemoryStore::new();
    let probe = Probe::new(store.clone());
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    // In one process the two removals come one after the other.
    let elsewhere = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut one = log_in(&config, "ada").await.unwrap();
    let mut other = Visitor::with_id(&elsewhere, &one.id().unwrap());
    let (first, second) = (one.open().await.unwrap(), other.open().await.unwrap());
    first.cycle_id();
    second.cycle_id();
    // The first removal fails, and before it is asked for again the other request removes the record.
    probe.fail(Op::DestroyIf, 0);
    let hold = probe.hold_nth(Op::DestroyIf, 1);
    let moves = tokio::spawn(async move { one.commit(&first).await.map(|_| one) });
    hold.reached().await;
    other.commit(&second).await.unwrap();
    drop(hold);
    let one = moves.await.unwrap().unwrap();
    assert!(!one.open().await.unwrap().is_logged_in(), "what is left is a guest's session");
    let session = other.open().await.unwrap();
    let list = config.sessions_of("ada").list().await.unwrap();
    assert!(matches!(list.as_slice(), [one] if one.is(&session)));
}

/// The same, where one of them logs in over a session in which the user acts as another one: the login gets a
/// place of its own, as if it had come after the other request.
#[tokio::test]
async fn a_login_over_an_acted_session_that_moves_has_its_own_place() {
    for is_acted in [true, false] {
        let probe = probed();
        let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
        let mut visitor = log_in(&config, "staff").await.unwrap();
        let session = visitor.open().await.unwrap();
        if is_acted {
            session.impersonate("ada").unwrap();
        }
        visitor.commit(&session).await.unwrap();
        let (mut one, mut other) = (visitor.clone(), visitor);
        let (login, moving) = (one.open().await.unwrap(), other.open().await.unwrap());
        if !is_acted {
            login.impersonate("ada").unwrap();
        }
        login.log_in("staff").unwrap();
        moving.cycle_id();
        let hold = probe.hold(Op::Create);
        let logs_in = tokio::spawn(async move { one.commit(&login).await.map(|_| one) });
        hold.reached().await;
        other.commit(&moving).await.unwrap();
        drop(hold);
        let one = logs_in.await.unwrap().unwrap();
        assert_eq!(config.sessions_of("ada").count().await.unwrap(), usize::from(is_acted));
        let (login, moved) = (one.open().await.unwrap(), other.open().await.unwrap());
        let list = config.sessions_of("staff").list().await.unwrap();
        assert!(matches!(list.as_slice(), [new, old] if new.is(&login) && old.is(&moved)));
    }
}

/// Found by the model checker: whoever had begun to move the session away from the destroyed record.
#[tokio::test]
async fn a_logout_reaches_the_ids_that_a_session_is_about_to_get() {
    let store = MemoryStore::new();
    let probe = Probe::new(store.clone());
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    // In one process the two removals come one after the other.
    let elsewhere = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut other = Visitor::with_id(&elsewhere, &visitor.id().unwrap());
    let (out, moving) = (visitor.open().await.unwrap(), other.open().await.unwrap());
    out.destroy();
    moving.cycle_id();
    // The record is there under both ids.
    let hold = probe.hold(Op::DestroyIf);
    let moves = tokio::spawn(async move { other.commit(&moving).await.map(|_| other) });
    hold.reached().await;
    visitor.commit(&out).await.unwrap();
    assert!(config.sessions_of("ada").list().await.unwrap().is_empty());
    assert_eq!(store.len(), 0, "the record is there that the session was about to move to");
    drop(hold);
    // What is left is a guest's session.
    let other = moves.await.unwrap().unwrap();
    assert!(!other.open().await.unwrap().is_logged_in());
    assert!(config.sessions_of("ada").list().await.unwrap().is_empty());
}

/// The logout is about to remove the record under the id to which the session was about to move.
#[tokio::test]
async fn a_guests_session_that_begins_beside_a_logout_stays() {
    let probe = probed();
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let elsewhere = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut other = Visitor::with_id(&elsewhere, &visitor.id().unwrap());
    let (out, moving) = (visitor.open().await.unwrap(), other.open().await.unwrap());
    out.destroy();
    moving.cycle_id();
    let hold_move = probe.hold(Op::DestroyIf);
    let moves = tokio::spawn(async move { other.commit(&moving).await.map(|_| other) });
    hold_move.reached().await;
    let hold_end = probe.hold_nth(Op::Destroy, 1);
    let logout = tokio::spawn(async move { visitor.commit(&out).await.map(drop) });
    hold_end.reached().await;
    drop(hold_move);
    let guest = moves.await.unwrap().unwrap();
    drop(hold_end);
    logout.await.unwrap().unwrap();
    let session = guest.open().await.unwrap();
    assert!(
        session.origin() == Origin::Loaded && !session.is_logged_in(),
        "the logout ended the guest's session"
    );
}

/// Found by exploring the protocol: where a list has dropped the entry of the destroyed record already.
#[tokio::test]
async fn a_logout_reaches_those_ids_also_when_its_own_entry_is_dropped() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let probe = Probe::new(store.clone());
    let build = || SessionConfig::builder(SECRET).store(probe.clone()).clock(clock.clone()).build().unwrap();
    let (config, elsewhere) = (build(), build());
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let mut other = Visitor::with_id(&elsewhere, &visitor.id().unwrap());
    let (out, moving) = (visitor.open().await.unwrap(), other.open().await.unwrap());
    out.destroy();
    moving.cycle_id();
    // The entries are old enough to be dropped where there is no record.
    let stands_still = probe.hold(Op::DestroyIf);
    let moves = tokio::spawn(async move { other.commit(&moving).await.map(|_| other) });
    stands_still.reached().await;
    let logs_out = probe.hold(Op::AppendUser);
    let out = tokio::spawn(async move { visitor.commit(&out).await.map(drop) });
    logs_out.reached().await;
    clock.advance(Duration::from_secs(61));
    config.sessions_of("ada").list().await.unwrap();
    drop(logs_out);
    out.await.unwrap().unwrap();
    assert!(config.sessions_of("ada").list().await.unwrap().is_empty());
    assert_eq!(store.len(), 0, "the record is there that the session was about to move to");
    drop(stands_still);
    let other = moves.await.unwrap().unwrap();
    assert!(!other.open().await.unwrap().is_logged_in());
}

/// Found by exploring the protocol: the logout destroys the record of the login as well.
#[tokio::test]
async fn a_login_outlives_the_logout_of_the_session_whose_data_it_brings_over() {
    let store = MemoryStore::new();
    let probe = Probe::new(store.clone());
    let build = || SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let (config, elsewhere) = (build(), build());
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let mut other = Visitor::with_id(&elsewhere, &visitor.id().unwrap());
    let (out, login, writes) =
        (visitor.open().await.unwrap(), other.open().await.unwrap(), visitor.open().await.unwrap());
    login.log_in("ada").unwrap();
    writes.insert("key", 1).unwrap();
    visitor.commit(&writes).await.unwrap();
    // What was written is to be brought over.
    let hold = probe.hold(Op::Replace);
    let logs_in = tokio::spawn(async move { other.commit(&login).await.map(|_| other) });
    hold.reached().await;
    out.destroy();
    visitor.commit(&out).await.unwrap();
    assert_eq!(store.len(), 0);
    drop(hold);
    let other = logs_in.await.unwrap().unwrap();
    assert!(other.open().await.unwrap().is_logged_in());
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
}

/// A password that was right when the login began is no longer, also in the session that the end has kept.
#[tokio::test]
async fn a_login_that_began_before_an_end_fails_in_the_kept_session_too() {
    let config = SessionConfig::new(SECRET).unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let session = visitor.open().await.unwrap();
    let login = config.sessions_of("ada").begin_login().await.unwrap();
    config.sessions_of("ada").end_others(&session).await.unwrap();
    session.log_in_with(login).unwrap();
    assert!(matches!(visitor.commit(&session).await, Err(SessionError::Gone)));
    assert!(is_alive(&visitor).await, "the kept session is over");
}

/// A commit that another task makes never comes between the steps of `impersonate`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_beside_impersonate_leaves_no_session_out_of_the_list() {
    let config = SessionConfig::new(SECRET).unwrap();
    for round in 0..400 {
        let (staff, user) = (format!("staff {round}"), format!("ada {round}"));
        let session = Arc::new(log_in(&config, &staff).await.unwrap().open().await.unwrap());
        let (start, is_over) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(AtomicBool::new(false)));
        let commits = {
            let (session, start, is_over) = (Arc::clone(&session), Arc::clone(&start), Arc::clone(&is_over));
            tokio::spawn(async move {
                start.wait();
                while !is_over.load(Ordering::Relaxed) {
                    session.touch();
                    drop(session.commit().await.unwrap());
                }
            })
        };
        start.wait();
        session.impersonate(&user).unwrap();
        is_over.store(true, Ordering::Relaxed);
        commits.await.unwrap();
        drop(session.commit().await.unwrap());
        assert!(session.is_impersonated());
        let list = config.sessions_of(&user).list().await.unwrap();
        assert!(
            list.iter().any(|listed| listed.is(&session)),
            "round {round}: no end of the user reaches it"
        );
    }
}
