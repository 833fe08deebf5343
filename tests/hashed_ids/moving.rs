//! A store with live sessions whose ids are hashed from now on.

use sessile::testing::Visitor;
use sessile::{Ended, Origin, SessionError, SessionId, SessionStore};

use crate::{HOUR, Shared, at, log_in, origin};

/// Sessions from before stay what they are, for two requests at the same time as well: no update is lost.
#[tokio::test]
async fn a_session_from_before_loses_nothing() {
    let shared = Shared::new();
    let before = log_in(&shared.plain(), "ada").await;
    let config = shared.moving(HOUR);
    let visitor = at(&config, &before);
    let (one, other) = (visitor.open().await.unwrap(), visitor.open().await.unwrap());
    assert_eq!((one.origin(), other.origin()), (Origin::Loaded, Origin::Loaded));
    one.insert("one", 1).unwrap();
    other.insert("other", 2).unwrap();
    drop(one.commit().await.unwrap());
    drop(other.commit().await.unwrap());
    let after = visitor.open().await.unwrap();
    assert_eq!(after.get::<u64>("one").unwrap(), Some(1));
    assert_eq!(after.get::<u64>("other").unwrap(), Some(2));
    assert!(after.belongs_to("ada"));
    assert_eq!(shared.store.len(), 1, "there is one record, so there is one truth");
}

/// No logout is undone: neither by a request under way nor by one that comes later.
#[tokio::test]
async fn a_logout_of_a_session_from_before_holds() {
    let shared = Shared::new();
    let before = log_in(&shared.plain(), "ada").await;
    let config = shared.moving(HOUR);
    let visitor = at(&config, &before);
    let (slow, cycling) = (visitor.open().await.unwrap(), visitor.open().await.unwrap());
    slow.insert("late", 1).unwrap();
    cycling.cycle_id();
    let leaving = visitor.open().await.unwrap();
    leaving.log_out();
    drop(leaving.commit().await.unwrap());
    assert!(matches!(slow.commit().await, Err(SessionError::Gone)));
    assert!(matches!(cycling.commit().await, Err(SessionError::Gone)));
    assert_eq!(origin(&visitor).await, Origin::Unknown);
    assert!(shared.store.is_empty());
}

/// New sessions are hashed, and a session from before is with its next id.
#[tokio::test]
async fn a_new_id_is_hashed() {
    let shared = Shared::new();
    let before = log_in(&shared.plain(), "ada").await;
    let config = shared.moving(HOUR);
    let mut visitor = at(&config, &before);
    let session = visitor.open().await.unwrap();
    session.log_in("ada").unwrap();
    visitor.commit(&session).await.unwrap();
    log_in(&config, "bob").await;
    assert_eq!(shared.store.len(), 2);
    assert!(shared.store.all_ids().iter().all(|id| id.as_str().starts_with("sha256-")));
    assert_eq!(origin(&at(&config, &before)).await, Origin::Unknown);
    // It is one session in the list, and it outlives the move.
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
    shared.clock.advance(2 * HOUR);
    assert_eq!(origin(&visitor).await, Origin::Loaded);
}

/// Handles, lists and ends know the sessions from before under the names that they had.
#[tokio::test]
async fn lists_know_the_sessions_from_before() {
    let shared = Shared::new();
    let plain = shared.plain();
    let (first, second) = (log_in(&plain, "ada").await, log_in(&plain, "ada").await);
    let handle = first.open().await.unwrap().handle();
    let config = shared.moving(HOUR);
    let third = log_in(&config, "ada").await;
    let session = at(&config, &first).open().await.unwrap();
    assert_eq!(session.handle(), handle, "the handle stays the same while the id does");
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 3);
    assert!(config.sessions_of("ada").end(&handle).await.unwrap());
    assert_eq!(origin(&at(&config, &first)).await, Origin::Unknown);
    let kept = third.open().await.unwrap();
    assert_eq!(config.sessions_of("ada").end_others(&kept).await.unwrap(), 1);
    assert_eq!(origin(&at(&config, &second)).await, Origin::Unknown);
    assert_eq!(origin(&third).await, Origin::Loaded);
}

/// At the time that was set, the sessions that are left are over, for requests and in lists.
#[tokio::test]
async fn what_is_left_is_over_when_the_time_has_come() {
    let shared = Shared::new();
    let plain = shared.plain();
    let before = [log_in(&plain, "ada").await, log_in(&plain, "ada").await];
    let config = shared.moving(HOUR);
    let visitor = at(&config, &before[0]);
    let ended = visitor.open().await.unwrap().ended();
    let hashed = log_in(&config, "ada").await;
    shared.clock.advance(HOUR - std::time::Duration::from_millis(1));
    assert_eq!(origin(&visitor).await, Origin::Loaded);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 3);
    shared.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(origin(&visitor).await, Origin::Unknown);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
    assert_eq!(shared.store.len(), 1, "a look at the list removes what nobody can use any more");
    assert_eq!(ended.await, Ended::Expired);
    assert_eq!(origin(&hashed).await, Origin::Loaded);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 1);
    assert_eq!(origin(&at(&shared.hashed(), &before[1])).await, Origin::Unknown);
}

/// `HashIds::On` at once ends what was there before.
#[tokio::test]
async fn without_a_time_the_sessions_from_before_are_over() {
    let shared = Shared::new();
    let before = log_in(&shared.plain(), "ada").await;
    let config = shared.hashed();
    assert_eq!(origin(&at(&config, &before)).await, Origin::Unknown);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
    assert!(shared.store.is_empty());
}

/// An id that a program made in the form of a hash is not looked up as it is, or a stolen hash could be
/// signed and used.
#[tokio::test]
async fn an_id_in_the_form_of_a_hash_is_never_taken_as_it_is() {
    let shared = Shared::new();
    let form = SessionId::new(format!("sha256-{}", "0".repeat(64))).unwrap();
    let near = SessionId::new(format!("sha256-{}", "A".repeat(64))).unwrap();
    let record = sessile::Record::from_json(r#"{"cookie":{},"n":1}"#).unwrap();
    for id in [&form, &near] {
        shared.store.set(id, &record, HOUR).await.unwrap();
    }
    let config = shared.moving(HOUR);
    assert_eq!(origin(&Visitor::with_id(&config, &form)).await, Origin::Unknown);
    assert_eq!(origin(&Visitor::with_id(&config, &near)).await, Origin::Loaded);
}
