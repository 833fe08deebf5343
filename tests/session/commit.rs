//! Commits: once, again after a failure, and beside other handles on the session.

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, TestResponse, builder, router};
use axum::response::IntoResponse as _;
use sessile::{Session, SessionConfig, SessionError};

fn setup() -> (SessionConfig, RecordingStore) {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    (config, store)
}

/// A visitor with `n` = 1 and one message.
async fn visitor(config: &SessionConfig) -> TestClient {
    let mut client = TestClient::new();
    let session = client.open(config).await;
    session.insert("n", 1).unwrap();
    session.flash("info", "x").unwrap();
    client.commit(&session).await;
    client
}

#[tokio::test]
async fn commit_is_idempotent() {
    let (config, store) = setup();
    let session = TestClient::new().open(&config).await;
    session.insert("n", 1).unwrap();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let guard = session.commit().await.unwrap();
        let answer = TestResponse::of(guard.into_response()).await;
        lines.push(answer.cookie().unwrap().line);
    }
    assert_eq!(store.calls(), ["create"]);
    assert!(lines.iter().all(|line| *line == lines[0]));
    session.insert("n", 2).unwrap();
    let _ = session.commit().await.unwrap();
    assert_eq!(store.calls(), ["replace"]);
}

#[tokio::test]
async fn parallel_commits_of_one_session_store_it_once() {
    let (config, store) = setup();
    let session = TestClient::new().open(&config).await;
    session.insert("n", 1).unwrap();
    let commits: Vec<_> = (0..8)
        .map(|_| session.clone())
        .map(|s| tokio::spawn(async move { s.commit().await.is_ok() }))
        .collect();
    for commit in commits {
        assert!(commit.await.unwrap());
    }
    assert_eq!(store.calls(), ["create"]);
}

/// What another handle does while a commit is under way is not counted as done.
#[tokio::test]
async fn a_destroy_during_a_commit_is_left_to_the_next_one() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    for what in ["touch", "destroy"] {
        let session = client.open(&config).await;
        session.insert("n", what).unwrap();
        store.calls();
        {
            let mut commit = Box::pin(session.commit());
            store.hold();
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(commit.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            match what {
                "touch" => session.touch(),
                _ => session.destroy(),
            }
            store.release();
            let _ = commit.await.unwrap();
        }
        assert_eq!(store.calls(), ["replace"]);
        client.commit(&session).await;
        assert_eq!(store.calls(), [what]);
    }
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn a_failed_commit_can_be_tried_again() {
    let (config, store) = setup();
    let mut client = visitor(&config).await;
    for (method, change) in [
        ("replace", (|session| session.insert("n", 2).unwrap()) as fn(&Session)),
        ("create", |session| session.cycle_id()),
        ("destroy_if", |session| session.cycle_id()),
        ("destroy", |session| session.destroy()),
    ] {
        let session = client.open(&config).await;
        change(&session);
        store.fail(&[method]);
        assert!(matches!(session.commit().await, Err(SessionError::Store(_))), "{method}");
        assert!(!client.open(&config).await.is_new(), "{method}: the old cookie still works");
        store.fail(&[]);
        assert!(client.commit(&session).await.cookie().is_some(), "{method}");
    }
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn a_new_session_is_read_only_through_its_own_cookie() {
    let (config, _) = setup();
    let app = router(&config, async |session: Session| {
        (session.commit().await.unwrap(), session.is_empty().to_string())
    });
    let mut client = TestClient::new();
    let answer = client.get(&app, "/?connect.sid=x&sid=y").await;
    assert_eq!(answer.body, "true");
    assert!(answer.cookie().is_some());
}
