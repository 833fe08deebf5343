//! When something is stored: `rolling` (S69 to S73), `resave` (S74 to S79), `saveUninitialized` (S80 to S85).

use std::time::Duration;

use axum::http::Uri;
use sessile::{Session, SessionConfigBuilder, SessionError};

use crate::common::logs::Logs;
use crate::common::{TestClient, TestResponse};
use crate::site::{Site, count, hello, look, options};

/// Puts the same value there each time.
async fn same(session: Session) -> Result<(), SessionError> {
    session.insert("user", "bob")
}

/// What the store saw of two requests of one client, and whether each got a cookie.
async fn twice(site: &Site) -> [(Vec<&'static str>, bool); 2] {
    let mut client = TestClient::new();
    let mut visit = async || {
        let answer = site.get(&mut client, "/").await;
        assert_eq!(answer.status, 200);
        (site.writes(), answer.cookie().is_some())
    };
    [visit().await, visit().await]
}

/// `rolling` is off by default: no cookie for a second request that writes the same value.
#[tokio::test]
async fn s69_without_rolling_the_same_value_brings_no_cookie() {
    let site = Site::new(options(), same);
    assert_eq!(twice(&site).await, [(vec!["create"], true), (vec![], false)]);
}

/// On: that second request gets one.
#[tokio::test]
async fn s70_with_rolling_every_request_brings_a_cookie() {
    let site = Site::new(options().rolling(true), same);
    assert_eq!(twice(&site).await, [(vec!["create"], true), (vec!["touch"], true)]);
}

/// On, `saveUninitialized: false`, a new session left alone: nothing stored, no cookie.
#[tokio::test]
async fn s71_rolling_sends_nothing_for_an_empty_session() {
    for site in [
        Site::new(options().rolling(true).save_uninitialized(false), look),
        Site::new(options().rolling(true).save_uninitialized(false), hello),
    ] {
        assert_eq!(twice(&site).await, [(vec![], false), (vec![], false)]);
    }
}

/// On, `saveUninitialized: true`, a new session left alone: stored, with a cookie.
#[tokio::test]
async fn s72_rolling_and_save_uninitialized_store_an_empty_session() {
    let site = Site::new(options().rolling(true).save_uninitialized(true), hello);
    assert_eq!(twice(&site).await, [(vec!["create"], true), (vec!["touch"], true)]);
}

/// On, `saveUninitialized: false`, a new session that was changed: stored, with a cookie.
#[tokio::test]
async fn s73_rolling_stores_a_changed_session() {
    let site = Site::new(options().rolling(true).save_uninitialized(false), count);
    assert_eq!(twice(&site).await, [(vec!["create"], true), (vec!["replace"], true)]);
}

/// `resave` is on by default: a session is written by both of two requests that change nothing.
///
/// Differs: it is off by default, as it will be in version 2.
#[tokio::test]
async fn s74_resave_is_off_by_default() {
    assert_eq!(twice(&Site::new(options(), same)).await[1].0, [""; 0]);
    assert_eq!(twice(&Site::new(options().resave(true), same)).await[1].0, ["replace"]);
}

/// On: a session that nothing was changed in is written again.
#[tokio::test]
async fn s75_with_resave_an_unchanged_session_is_written() {
    for site in [Site::new(options().resave(true), look), Site::new(options().resave(true), hello)] {
        assert_eq!(twice(&site).await, [(vec!["create"], true), (vec!["replace"], false)]);
    }
}

/// Off: it is not.
#[tokio::test]
async fn s76_without_resave_an_unchanged_session_is_not_written() {
    for site in [Site::new(options().resave(false), look), Site::new(options().resave(false), hello)] {
        assert_eq!(twice(&site).await, [(vec!["create"], true), (vec![], false)]);
    }
}

/// Off, three requests of which the first and the last change something: two writes.
#[tokio::test]
async fn s77_without_resave_what_changes_is_written() {
    let site = Site::new(options().resave(false), async |uri: Uri, session: Session| match uri.path() {
        "/look" => Ok(()),
        path => session.insert("token", path),
    });
    let mut client = TestClient::new();
    let mut writes = Vec::new();
    for path in ["/one", "/look", "/two"] {
        site.get(&mut client, path).await;
        writes.push(site.writes());
    }
    assert_eq!(writes, [vec!["create"], vec![], vec!["replace"]]);
}

/// Off: a counter that is called `cookie`, inside another object, counts as a change.
#[tokio::test]
async fn s78_without_resave_a_nested_cookie_counts_as_a_change() {
    #[derive(serde::Serialize, serde::Deserialize, Default)]
    struct User {
        cookie: u64,
    }
    let site = Site::new(options().resave(false), async |session: Session| {
        let user = session
            .update("user", |user: Option<User>| Some(User { cookie: user.unwrap_or_default().cookie + 1 }));
        user.map(|user| user.unwrap().cookie.to_string())
    });
    assert_eq!(twice(&site).await[1].0, ["replace"]);
    let last = site.store.text(&site.store.ids()[0]).await.unwrap();
    assert!(last.ends_with(r#""user":{"cookie":2}}"#), "{last}");
}

/// Off: an error of the store's `touch` is reported, and the answer is a 200 with its body.
///
/// Differs: while the session is loaded it is a warning in the log. Where `rolling` promises the browser a
/// longer life, the answer is a 503 without a cookie.
#[tokio::test]
async fn s79_an_error_of_touch_is_reported() {
    let logs = Logs::capture();
    let site = Site::new(options().touch_after(Duration::ZERO), count);
    let mut client = TestClient::new();
    site.get(&mut client, "/").await;
    site.store.fail(&["touch"]);
    let answer = site.get(&mut client, "/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "2"));
    assert_eq!(logs.warnings().iter().filter(|line| line.contains("could not be extended")).count(), 1);

    let site = Site::new(options().rolling(true), look);
    let mut client = TestClient::new();
    site.get(&mut client, "/").await;
    site.store.fail(&["touch"]);
    let answer = site.get(&mut client, "/").await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (503, 0));
}

/// A first visit that leaves the session alone, or changes it.
async fn first(options: SessionConfigBuilder, change: bool) -> (Site, TestResponse) {
    let site = if change { Site::new(options, count) } else { Site::new(options, look) };
    let answer = site.first("/").await;
    assert_eq!(answer.status, 200);
    (site, answer)
}

/// `saveUninitialized` is on by default: a new session is stored, with a cookie.
#[tokio::test]
async fn s80_save_uninitialized_is_on_by_default() {
    let (site, answer) = first(options(), false).await;
    assert_eq!((site.writes(), answer.cookie().is_some()), (vec!["create"], true));
}

/// On: stored, with a cookie.
#[tokio::test]
async fn s81_with_save_uninitialized_a_new_session_is_stored() {
    let (site, answer) = first(options().save_uninitialized(true), false).await;
    assert_eq!((site.writes(), answer.cookie().is_some()), (vec!["create"], true));
}

/// Off: neither.
#[tokio::test]
async fn s82_without_save_uninitialized_a_new_session_is_not_stored() {
    let (site, answer) = first(options().save_uninitialized(false), false).await;
    assert_eq!((site.writes(), answer.cookie().is_some()), (vec![], false));
}

/// Off, a new session that was changed: both.
#[tokio::test]
async fn s83_without_save_uninitialized_a_changed_session_is_stored() {
    let (site, answer) = first(options().save_uninitialized(false), true).await;
    assert_eq!((site.writes(), answer.cookie().is_some()), (vec!["create"], true));
}

/// An error of the store's `set` is reported.
///
/// Differs: Express has sent the head by then, so the answer stays a 200 with a cookie for a session that is
/// not there. Here it is a 503 without a cookie.
#[tokio::test]
async fn s84_an_error_of_set_is_reported() {
    let logs = Logs::capture();
    let site = Site::new(options().save_uninitialized(false), count);
    site.store.fail(&["create"]);
    let answer = site.first("/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (503, "Service Unavailable"));
    assert!(answer.cookies().is_empty());
    assert!(logs.text().contains("the store is told to fail"), "{}", logs.text());
}

/// Off, a new session left alone: `touch` is never called.
#[tokio::test]
async fn s85_without_save_uninitialized_a_new_session_is_not_touched() {
    let touched = async |session: Session| session.touch();
    for site in [
        Site::new(options().save_uninitialized(false), hello),
        Site::new(options().save_uninitialized(false).touch_after(Duration::ZERO), touched),
    ] {
        assert_eq!(twice(&site).await, [(vec![], false), (vec![], false)]);
    }
}
