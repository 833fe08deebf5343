//! Commits to a store in memory are tried on the spot; here is what becomes of those that have to wait.

use std::task::Poll;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use futures_util::poll;

use crate::session::Session;
use crate::{SessionConfig, SessionId};

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

    // Its record is another one by now, so it has to queue up.
    let lane = config.inner().lanes.enter(&id).await;
    let mut commit = Box::pin(session.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(11));
    drop(lane);
    commit.await.map(drop).unwrap();
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(12));
    assert!(!session.is_modified());
}

#[tokio::test]
async fn a_commit_that_was_dropped_while_it_waited_can_be_made_again() {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.insert("mine", true).unwrap();
    let rival = open(&config, &id).await;
    rival.insert("theirs", true).unwrap();
    rival.commit().await.map(drop).unwrap();

    let lane = config.inner().lanes.enter(&id).await;
    {
        let mut commit = Box::pin(session.commit());
        assert!(matches!(poll!(&mut commit), Poll::Pending));
    }
    drop(lane);
    assert!(session.is_modified());
    session.commit().await.map(drop).unwrap();
    let now = open(&config, &id).await;
    assert_eq!(now.keys(), ["n", "theirs", "mine"]);
}

#[tokio::test]
async fn a_commit_waits_for_the_one_of_another_handle() {
    let (config, id) = stored().await;
    let session = open(&config, &id).await;
    session.insert("n", 2).unwrap();
    let turn = session.inner().committing.lock().await;
    let mut commit = Box::pin(session.commit());
    assert!(matches!(poll!(&mut commit), Poll::Pending));
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(1));
    drop(turn);
    commit.await.map(drop).unwrap();
    assert_eq!(open(&config, &id).await.get::<u32>("n").unwrap(), Some(2));
}
