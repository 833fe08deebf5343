//! `unset` (S92 to S96): what becomes of a session that a handler gives up.

use sessile::{Session, SessionError, SessionOptions};

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, id, router};
use crate::site::{Site, layered, look, options};

const RECORD: &str = r#"{"cookie":{"originalMaxAge":60000,"expires":null},"views":4}"#;

async fn leave(session: Session) {
    session.destroy();
}

/// `unset` of an unknown value is an error.
///
/// Differs: the option is not known at all, so every value of it is one: a session is ended by `destroy()`.
#[test]
fn s92_unset_is_no_option() {
    for value in ["bogus!", "keep", "destroy"] {
        let json = format!(r#"{{"secret": "keyboard cat", "unset": "{value}"}}"#);
        let error = serde_json::from_str::<SessionOptions>(&json).unwrap_err();
        assert!(error.to_string().contains("unset"), "{error}");
    }
}

/// By default the record survives `req.session = null`.
///
/// Differs: there is no null to set. A session that is dropped and never committed leaves its record alone.
#[tokio::test]
async fn s93_the_record_of_a_dropped_session_survives() {
    let store = RecordingStore::default();
    let config = options().store(store.clone()).build().unwrap();
    store.plant(&id("apple"), RECORD).await;
    let app = router(&config, async |session: Session| {
        session.insert("views", 9)?;
        drop(session);
        Ok::<_, SessionError>("")
    });
    let answer = TestClient::holding(&config, &id("apple")).get(&app, "/").await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (200, 0));
    assert_eq!(store.text(&id("apple")).await.unwrap(), RECORD);
}

/// `unset: 'destroy'`: the record is removed.
#[tokio::test]
async fn s94_a_destroyed_session_is_removed() {
    let site = Site::new(options(), leave);
    site.store.plant(&id("apple"), RECORD).await;
    let answer = site.get(&mut TestClient::holding(&site.config, &id("apple")), "/").await;
    assert_eq!((answer.status.as_u16(), site.store.len()), (200, 0));
    assert_eq!(site.writes(), ["destroy"]);
}

/// The same for a new session: no cookie, nothing stored.
#[tokio::test]
async fn s95_a_new_session_that_is_destroyed_leaves_nothing() {
    let site = Site::new(options(), async |session: Session| {
        session.insert("user", "ada").unwrap();
        session.destroy();
    });
    let answer = site.first("/").await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (200, 0));
    assert_eq!((site.store.calls(), site.store.len()), (vec![], 0));
}

/// An error of the store's `destroy` is reported.
///
/// Differs: it is a 503, not a 200 with the handler's body: the user is told that the logout did not happen.
/// The session and its cookie live on.
#[tokio::test]
async fn s96_an_error_of_destroy_is_reported() {
    let site = Site::new(options(), leave);
    site.store.plant(&id("apple"), RECORD).await;
    site.store.fail(&["destroy"]);
    let mut client = TestClient::holding(&site.config, &id("apple"));
    let answer = site.get(&mut client, "/").await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (503, 0));
    let app = layered(&site.config, look);
    assert_eq!(client.get(&app, "/").await.body, "Some(4)");
}
