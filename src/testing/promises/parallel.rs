//! Checks of promise 1: parallel requests lose nothing.

use std::time::Duration;

use tokio::task::JoinSet;

use super::setup::{increment, open, setup, user, value};
use crate::store::SessionStore;

/// Promise 1: if requests load the same record and change different keys, all their changes survive.
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
    // One request removes a key, another one sets a key.
    let (one, other) = (open(&visitor).await, open(&visitor).await);
    one.remove::<u64>("key0").expect("remove");
    other.insert("key1", 100).expect("insert");
    visitor.commit(&other).await.expect("commit");
    visitor.commit(&one).await.expect("commit");
    assert_eq!((value(&visitor, "key0").await, value(&visitor, "key1").await), (None, Some(100)));
}

/// Promise 1: of 200 parallel `update`s of one key, all loaded before the first one is written, none is lost.
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

/// Promise 1: every kind of change is replayed over what another request wrote first.
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

    // `clear` also removes what other requests wrote before the commit, and keeps what its own request set.
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

/// Promise 1: a message that is pushed while another request takes the messages of its kind is kept.
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
