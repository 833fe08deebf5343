//! The life of a binding: login, registration, refreshes, the end.

use std::time::Duration;

use axum::http::StatusCode;
use sessile::testing::Op;

use crate::browser::{Browser, SECRET, SETTLED, Site};
use crate::device::Device;

const BOUND: &str = "__Host-sid.dbsc";

#[tokio::test]
async fn a_login_registers_and_refreshes() {
    let site = Site::new();
    let mut browser = Browser::new();
    let login = browser.post(&site, "/login", &[]).await;
    assert!(browser.asked.is_some(), "{:?}", login.headers);
    assert_eq!(browser.me(&site).await, "pending, ada");

    let answer = browser.register(&site).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let binding = browser.binding.clone().unwrap();
    let instructions = serde_json::json!({
        "session_identifier": binding,
        "refresh_url": "/auth/dbsc/refresh",
        "scope": { "include_site": false, "scope_specification": [] },
        "credentials": [{
            "type": "cookie", "name": BOUND, "attributes": "HttpOnly; SameSite=Lax; Secure; Path=/",
        }],
    });
    assert_eq!(answer.json(), instructions);
    let cookie = answer.cookies().into_iter().find(|line| line.starts_with(BOUND)).unwrap().to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600; Expires="), "{cookie}");
    assert_eq!(browser.me(&site).await, "bound, ada");

    site.clock.advance(Duration::from_secs(540));
    assert_eq!(browser.me(&site).await, "bound, ada");
    let before = browser.cookies[BOUND].clone();
    let answer = browser.refresh(&site).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.header("secure-session-challenge").is_some());
    assert_eq!(answer.cookies().len(), 1, "the bound cookie alone");
    assert_ne!(browser.cookies[BOUND], before);
    site.clock.advance(Duration::from_secs(600));
    assert_eq!(browser.me(&site).await, "bound, ada");
}

#[tokio::test]
async fn an_rsa_key_works_as_well() {
    let site = Site::new();
    let mut browser = Browser { device: Device::rsa(), ..Browser::new() };
    browser.post(&site, "/login", &[]).await;
    assert_eq!(browser.register(&site).await.status, StatusCode::OK);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

#[tokio::test]
async fn a_refresh_costs_one_read_and_no_write() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let all = [Op::Get, Op::Set, Op::Destroy, Op::Touch, Op::Create, Op::Replace, Op::DestroyIf, Op::Check];
    let calls = || all.map(|op| site.store.calls(op));
    let before = calls();
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    let mut expected = before;
    expected[0] += 1;
    assert_eq!(calls(), expected);
    // A request with the bound cookie costs the read of its session, as any other.
    browser.me(&site).await;
    expected[0] += 1;
    assert_eq!(calls(), expected);
}

#[tokio::test]
async fn a_stale_challenge_is_renewed() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let old = browser.challenge.clone();
    site.clock.advance(Duration::from_secs(15 * 60));
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK, "15 minutes are not too long");
    browser.challenge = old;
    site.clock.advance(Duration::from_millis(1));
    let answer = browser.refresh(&site).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::FORBIDDEN, 0));
    assert!(answer.header("secure-session-challenge").is_some());
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK, "the new challenge is good");
    // A browser that was restarted has none.
    let answer = browser.refresh_with(&site, None).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    // A challenge may be answered twice: Chromium sends the same proof again where it was given no new
    // challenge.
    let proof = browser.device.refresh(browser.challenge.as_deref().unwrap());
    for _ in 0..2 {
        assert_eq!(browser.refresh_with(&site, Some(&proof)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn after_a_logout_the_refresh_is_the_end() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let (binding, before) = (browser.binding.clone().unwrap(), browser.stolen());
    let proof = browser.device.refresh(browser.challenge.as_deref().unwrap());
    let answer = browser.post(&site, "/change/out", &[]).await;
    assert!(answer.cookies().iter().all(|line| line.contains("Max-Age=0")), "{:?}", answer.cookies());
    assert_eq!(answer.cookies().len(), 2, "the session's cookie and the bound one: {:?}", answer.cookies());
    assert!(browser.cookies.is_empty());
    let end = serde_json::json!({ "session_identifier": binding, "continue": false });
    // With the cookies that the logout has expired, and without.
    for mut browser in [browser, before] {
        let answer = browser.refresh_with(&site, Some(&proof)).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, end.clone()));
        assert!(answer.cookies().is_empty());
    }
}

#[tokio::test]
async fn logins_and_regenerate_end_the_binding_and_ask_anew() {
    for change in ["/change/log_in", "/change/log_in_bob", "/change/regenerate"] {
        let site = Site::new();
        let mut browser = site.bound().await;
        let (old, old_challenge) = (browser.binding.clone().unwrap(), browser.challenge.clone().unwrap());
        let first_asked = browser.asked.take();
        browser.post(&site, change, &[]).await;
        assert!(browser.me(&site).await.starts_with("pending"), "{change}");
        let proof = browser.device.refresh(&old_challenge);
        let end = serde_json::json!({ "session_identifier": old, "continue": false });
        assert_eq!(browser.refresh_with(&site, Some(&proof)).await.json(), end, "{change}");
        // What the browser was asked before is no longer good.
        let asked = std::mem::replace(&mut browser.asked, first_asked);
        assert_eq!(browser.register(&site).await.status, StatusCode::UNAUTHORIZED, "{change}");
        browser.asked = asked;
        assert_eq!(browser.register(&site).await.status, StatusCode::OK, "{change}");
        assert_ne!(browser.binding.as_ref(), Some(&old));
        assert!(browser.me(&site).await.starts_with("bound"), "{change}");
    }
}

#[tokio::test]
async fn a_new_id_keeps_the_binding() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let id = browser.cookies["__Host-sid"].clone();
    let answer = browser.post(&site, "/change/cycle", &[]).await;
    assert!(answer.header("secure-session-registration").is_none());
    assert_ne!(browser.cookies["__Host-sid"], id);
    assert_eq!(browser.me(&site).await, "bound, ada");
    site.clock.advance(SETTLED);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

#[tokio::test]
async fn a_bound_session_is_not_asked_again() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let answer = browser.post(&site, "/change/bind", &[]).await;
    assert!(answer.header("secure-session-registration").is_none());
    assert_eq!(browser.me(&site).await, "bound, ada");
    // One that was asked and has not answered is.
    let mut other = Browser::new();
    other.post(&site, "/login", &[]).await;
    let answer = other.post(&site, "/change/bind", &[]).await;
    assert!(answer.header("secure-session-registration").is_some());
    assert_eq!(other.register(&site).await.status, StatusCode::OK);
}

#[tokio::test]
async fn secrets_are_rotated() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let mut asked = Browser::new();
    asked.post(&site, "/login", &[]).await;
    let rotated = site.with_secrets(&["another secret of at least 32 bytes", SECRET]);
    assert_eq!(browser.me(&rotated).await, "bound, ada");
    assert_eq!(browser.refresh(&rotated).await.status, StatusCode::OK);
    assert_eq!(asked.register(&rotated).await.status, StatusCode::OK);
    rotated.clock.advance(SETTLED);
    // What the new secret has made, the old secret alone does not know: the newest one signs.
    assert_eq!(browser.me(&site).await, "missing , ada");
    assert_eq!(browser.me(&rotated).await, "bound, ada");
}

#[tokio::test]
async fn the_list_of_a_user_says_which_sessions_are_bound() {
    let site = Site::new();
    site.bound().await;
    let mut other = Browser::new();
    other.post(&site, "/login", &[]).await;
    let list = site.sessions.sessions_of("ada").list().await.unwrap();
    let mut bound: Vec<_> = list.iter().map(sessile::UserSession::is_bound).collect();
    bound.sort_unstable();
    assert_eq!(bound, [false, true]);
}

#[tokio::test]
async fn the_end_of_all_sessions_ends_the_next_refresh() {
    let site = Site::new();
    let mut browser = site.bound().await;
    site.sessions.sessions_of("ada").end_all().await.unwrap();
    assert_eq!(browser.refresh(&site).await.json()["continue"], false);
}
