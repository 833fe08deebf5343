//! Ends that meet a change of id, a login, or a process that stands still or is killed.

use std::time::Duration;

use crate::{SECRET, is_alive, log_in};
use sessile::testing::{Op, Probe, TestClock};
use sessile::{AtLimit, MemoryStore, SessionConfig, SessionError};

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
