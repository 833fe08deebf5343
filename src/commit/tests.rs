//! Commits that have to wait. Most commits to a store in memory complete at their first poll, so these tests
//! make them wait.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use futures_util::poll;
use tokio::sync::Semaphore;

use crate::SessionError;
use crate::session::Session;
use crate::{MemoryStore, Record, SessionConfig, SessionId, SessionStore, StoreError, Stored};

async fn stored() -> (SessionConfig, SessionId) {
    let config = SessionConfig::new("a secret of at least 32 bytes, for tests").unwrap();
    let session = config.session_from_headers(&HeaderMap::new()).await.unwrap();
    session.insert("n", 1).unwrap();
    session.commit().await.map(drop).unwrap();
    (config, session.id())
}

async fn open(config: &SessionConfig, id: &SessionId) -> Session {
    let cookie = HeaderValue::try_from(format!("connect.sid={}", config.sign(id))).unwrap();
    config.session_from_headers(&HeaderMap::from_iter([(COOKIE, cookie)])).await.unwrap()
}

#[tokio::test]
async fn a_commit_behind_a_rival_waits_and_writes_once() {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.update("n", |n: Option<u32>| Some(n.unwrap_or(0) + 1)).unwrap();
    let rival = open(&config, &id).await;
    rival.update("n", |n: Option<u32>| Some(n.unwrap_or(0) + 10)).unwrap();
    rival.commit().await.map(drop).unwrap();

    // The commit meets a conflict, and then waits for the record's lock.
    let lock = config.inner().store.lock(&id).await.unwrap();
    let mut commit = Box::pin(session.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(11));
    drop(lock);
    commit.await.map(drop).unwrap();
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(12));
    assert!(!session.is_modified());
}

/// A session that has a change, over whose record another request has written since.
async fn overtaken() -> (SessionConfig, SessionId, Session) {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.insert("mine", true).unwrap();
    let rival = open(&config, &id).await;
    rival.insert("theirs", true).unwrap();
    rival.commit().await.map(drop).unwrap();
    (config, id, session)
}

#[tokio::test]
async fn a_commit_that_was_dropped_while_it_waited_can_be_made_again() {
    let (config, id, session) = overtaken().await;
    let lock = config.inner().store.lock(&id).await.unwrap();
    {
        let mut commit = Box::pin(session.commit());
        assert!(matches!(poll!(&mut commit), Poll::Pending));
    }
    drop(lock);
    assert!(session.is_modified());
    session.commit().await.map(drop).unwrap();
    let now = open(&config, &id).await;
    assert_eq!(now.keys(), ["n", "theirs", "mine"]);
}

/// A value that is new over the record of its request is not new over one that a rival has written since.
#[tokio::test]
async fn a_value_that_a_rival_has_written_meanwhile_is_no_change() {
    let (config, id, session) = overtaken().await;
    let lock = config.inner().store.lock(&id).await.unwrap();
    let mut commit = Box::pin(session.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    session.insert("theirs", true).unwrap();
    drop(lock);
    commit.await.map(drop).unwrap();
    assert!(!session.is_modified());
}

#[tokio::test]
async fn a_commit_waits_for_the_one_of_another_handle() {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.insert("n", 2).unwrap();
    let lock = session.inner().commit_lock.lock().await;
    let mut commit = Box::pin(session.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(1));
    drop(lock);
    commit.await.map(drop).unwrap();
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(2));
}

/// The other commit may be a future that nobody polls any more.
#[tokio::test(start_paused = true)]
async fn a_commit_does_not_wait_for_ever() {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.insert("n", 2).unwrap();
    let lock = session.inner().commit_lock.lock().await;
    let (commit, reload) = futures_util::join!(session.commit(), session.reload());
    assert!(matches!(commit.map(drop), Err(SessionError::Conflict)));
    assert!(matches!(reload, Err(SessionError::Conflict)));
    drop(lock);
    session.commit().await.map(drop).unwrap();
}

/// A store whose `set` waits for a permit.
struct Gate(MemoryStore, Arc<Semaphore>);

impl SessionStore for Gate {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.0.get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.1.acquire().await.expect("it stays open").forget();
        self.0.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.0.destroy(id).await
    }
}

#[tokio::test]
async fn a_handle_with_nothing_to_write_waits_for_the_cookie_of_another() {
    let gate = Arc::new(Semaphore::new(0));
    let config = SessionConfig::builder("a secret of at least 32 bytes, for tests")
        .store(Gate(MemoryStore::new(), Arc::clone(&gate)))
        .save_uninitialized(false)
        .build()
        .unwrap();
    let session = config.session_from_headers(&HeaderMap::new()).await.unwrap();
    let other = session.clone();
    let mut save = Box::pin(session.save());
    assert!(matches!(poll!(&mut save), Poll::Pending));
    let mut commit = Box::pin(other.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    gate.add_permits(1);
    save.await.unwrap();
    let mut headers = HeaderMap::new();
    commit.await.unwrap().apply(&mut headers);
    assert!(headers.contains_key(SET_COOKIE));
}
