//! What becomes of a bound session's requests with the proof and without it.

use std::time::Duration;

use axum::http::StatusCode;
use sessile::dbsc::{Dbsc, Missing};
use sessile::testing::Op;
use sessile::{Clock as _, ConfigError, SessionConfig};

use crate::browser::{Browser, REFRESH, SECRET, SETTLED, Site, options};

const BOUND: &str = "__Host-sid.dbsc";

/// A browser whose proof is no longer good.
async fn without_proof(site: &Site) -> Browser {
    let mut browser = site.bound().await;
    site.clock.advance(SETTLED);
    browser.cookies.remove(BOUND);
    browser
}

#[tokio::test]
async fn it_is_reported() {
    let site = Site::new();
    let mut browser = without_proof(&site).await;
    assert_eq!(browser.me(&site).await, "missing , ada");
    assert_eq!(browser.post(&site, "/change/write", &[]).await.status, StatusCode::OK);
    let id = browser.binding.clone().unwrap();
    for (header, reason) in [
        (format!("quota_exceeded;session_identifier=\"{id}\""), "quota_exceeded"),
        (format!("server_error;session_identifier={id}"), "server_error"),
        (
            format!("unreachable;session_identifier=\"x\", quota_exceeded; session_identifier=\"{id}\""),
            "quota_exceeded",
        ),
        ("unreachable;session_identifier=\"x\"".into(), ""),
        ("unreachable".into(), ""),
        (format!("no token;session_identifier=\"{id}\""), ""),
        (format!("{};session_identifier=\"{id}\"", "x".repeat(65)), ""),
        (";;,;\"=".into(), ""),
    ] {
        let answer = browser.send(&site, "GET", "/me", &[("secure-session-skipped", &header)]).await;
        assert_eq!(answer.body, format!("missing {reason}, ada"), "{header}");
    }
}

#[tokio::test]
async fn an_anonymous_request_reads_and_writes_nothing() {
    let site = Site::when(Missing::Anonymous);
    let mut browser = without_proof(&site).await;
    assert_eq!(browser.me(&site).await, "missing , nobody");
    let before = browser.cookies.clone();
    let writes = [Op::Set, Op::Destroy, Op::Touch, Op::Create, Op::Replace, Op::DestroyIf];
    let calls = || writes.map(|op| site.store.calls(op));
    let stored = calls();
    for change in ["write", "out", "regenerate", "cycle", "bind"] {
        let answer = browser.post(&site, &format!("/change/{change}"), &[]).await;
        assert_eq!((answer.status, answer.cookies().len()), (StatusCode::OK, 0), "{change}");
        assert!(answer.header("secure-session-registration").is_none());
    }
    assert_eq!((calls(), &browser.cookies), (stored, &before));
    // The proof was late: with it, the session is what it was.
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

/// A browser that has lost its key would have no way out otherwise.
#[tokio::test]
async fn an_anonymous_request_can_log_in() {
    let site = Site::when(Missing::Anonymous);
    let mut browser = without_proof(&site).await;
    let old = browser.stolen();
    assert_eq!(browser.post(&site, "/login", &[]).await.cookies().len(), 1);
    assert_ne!(browser.cookies, old.cookies);
    assert_eq!(browser.me(&site).await, "pending, ada");
    assert_eq!(browser.register(&site).await.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

#[tokio::test]
async fn it_is_rejected() {
    let site = Site::when(Missing::Reject);
    let mut browser = without_proof(&site).await;
    assert_eq!(browser.me(&site).await, "401");
    let answer = browser.post(&site, "/change/out", &[]).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::UNAUTHORIZED, 0));
    // Otherwise there could be no refresh.
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

/// Middleware may ask for the session before the endpoint does.
#[tokio::test]
async fn middleware_does_not_keep_a_device_from_its_endpoint() {
    use axum::extract::Request;
    use axum::middleware::{Next, from_fn_with_state};
    let mut site = Site::when(Missing::Reject);
    async fn ask(_: sessile::Session, request: Request, next: Next) -> axum::response::Response {
        next.run(request).await
    }
    site.router = site.router.clone().layer(from_fn_with_state(site.sessions.clone(), ask));
    let mut browser = without_proof(&site).await;
    assert_eq!(browser.me(&site).await, "401");
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
}

/// The layer loads the session of every request where `rolling` needs it. A response that did not ask for it
/// stays.
#[tokio::test]
async fn the_layer_rejects_nothing_that_needs_no_session() {
    let mut site = Site::build(|builder| builder.dbsc(options().when_missing(Missing::Reject)).rolling(true));
    let plain = site.router.clone().route("/plain", axum::routing::get(async || "plain"));
    site.router = plain.layer(sessile::SessionLayer::new(site.sessions.clone()));
    let mut browser = without_proof(&site).await;
    let answer = browser.send(&site, "GET", "/plain", &[]).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::OK, 0));
    assert_eq!(browser.me(&site).await, "401");
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    assert_eq!(browser.send(&site, "GET", "/plain", &[]).await.cookies().len(), 1, "rolling");
}

#[tokio::test]
async fn browsers_that_do_not_register_are_served_as_ever() {
    for missing in [Missing::Report, Missing::Anonymous, Missing::Reject] {
        let site = Site::when(missing);
        let mut browser = Browser::new();
        assert_eq!(browser.me(&site).await, "unbound, nobody");
        browser.post(&site, "/login", &[]).await;
        for _ in 0..3 {
            site.clock.advance(Duration::from_secs(3600));
            assert_eq!(browser.me(&site).await, "pending, ada");
            assert_eq!(browser.post(&site, "/change/write", &[]).await.status, StatusCode::OK);
        }
        let answer = browser.post(&site, "/change/out", &[]).await;
        assert_eq!(answer.cookies().len(), 1, "no bound cookie was ever there");
    }
}

#[tokio::test]
async fn a_proof_lasts_as_long_as_its_cookie_and_the_way_of_a_request() {
    let site = Site::with(Dbsc::new("/auth/dbsc").bound_for(Duration::from_secs(300)));
    let mut browser = site.bound().await;
    assert!(browser.refresh(&site).await.cookies()[0].contains("Max-Age=300;"));
    site.clock.advance(Duration::from_secs(330));
    assert_eq!(browser.me(&site).await, "bound, ada");
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(browser.me(&site).await, "missing , ada");
    // A clock that is behind by more than clocks differ believes nothing.
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    let made = site.clock.now();
    site.clock.set(made - Duration::from_secs(30));
    assert_eq!(browser.me(&site).await, "bound, ada");
    site.clock.set(made - Duration::from_secs(31));
    assert_eq!(browser.me(&site).await, "missing , ada");
}

#[tokio::test]
async fn requests_that_a_registration_has_overtaken_are_not_missing_the_proof() {
    let site = Site::when(Missing::Reject);
    let mut browser = Browser::new();
    browser.post(&site, "/login", &[]).await;
    let mut early = browser.stolen();
    browser.register(&site).await;
    site.clock.advance(Duration::from_secs(10));
    assert_eq!(early.me(&site).await, "pending, ada");
    site.clock.advance(Duration::from_millis(1));
    assert_eq!(early.me(&site).await, "401");
}

#[tokio::test]
async fn bound_cookies_that_are_none_are_missing() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let other = site.bound().await.cookies[BOUND].clone();
    site.clock.advance(SETTLED);
    let good = browser.cookies[BOUND].clone();
    let changed = |at: usize| {
        let letter = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut value = good.clone();
        value.replace_range(at..=at, letter);
        value
    };
    let mut bad =
        vec![other, "x".into(), "A".repeat(54), format!("{good}A"), good[1..].into(), "A".repeat(5000)];
    bad.extend((0..good.len() - 1).map(changed));
    for value in bad {
        browser.cookies.insert(BOUND.into(), value.clone());
        assert_eq!(browser.me(&site).await, "missing , ada", "{value}");
    }
    browser.cookies.insert(BOUND.into(), good);
    assert_eq!(browser.me(&site).await, "bound, ada");
}

#[tokio::test]
async fn a_fresh_proof_can_be_asked_for() {
    let site = Site::new();
    let mut browser = site.bound().await;
    for (path, location) in [
        ("/change/prove?to=1&x=%2F", "/change/prove?to=1&x=%2F"),
        // Not a place on another host.
        ("//evil.example/..//change/prove", "/.//evil.example/..//change/prove"),
    ] {
        // The second one stands for a fallback that asks for the proof.
        let site_router = site.router.clone().fallback_service(
            axum::routing::any(async |session: sessile::Session| session.prove_device())
                .with_state(site.sessions.clone()),
        );
        let site = Site {
            router: site_router,
            clock: site.clock.clone(),
            store: site.store.clone(),
            sessions: site.sessions.clone(),
        };
        browser.refresh(&site).await;
        let answer = browser.post(&site, path, &[]).await;
        assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
        assert_eq!(answer.header("location"), Some(location));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.cookies().len(), 1);
        assert!(answer.cookies()[0].starts_with(&format!("{BOUND}=; ")), "{:?}", answer.cookies());
        assert!(!browser.cookies.contains_key(BOUND) && browser.cookies.contains_key("__Host-sid"));
    }
    // Where the browser cannot prove anything, it is not sent round in circles.
    let id = browser.binding.clone().unwrap();
    site.clock.advance(SETTLED);
    let skipped = format!("quota_exceeded;session_identifier=\"{id}\"");
    let answer = browser.post(&site, "/change/prove", &[("secure-session-skipped", &skipped)]).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let mut other = Browser::new();
    assert_eq!(other.post(&site, "/change/prove", &[]).await.status, StatusCode::FORBIDDEN);
    other.post(&site, "/login", &[]).await;
    assert_eq!(other.post(&site, "/change/prove", &[]).await.status, StatusCode::FORBIDDEN);
    let alone = site.sessions.create_session(async |session| session.log_in("ada")).await.unwrap();
    let headers = [(axum::http::header::COOKIE, alone.cookie())].into_iter().collect();
    let session = site.sessions.session_from_headers(&headers).await.unwrap();
    assert_eq!(session.prove_device().status(), StatusCode::FORBIDDEN);
}

/// A browser forgets a binding after a 4xx, and a store that is down is no reason for it.
#[tokio::test]
async fn a_store_that_is_down_is_no_refusal() {
    let site = Site::new();
    let mut browser = site.bound().await;
    site.store.fail(Op::Get, 0);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    site.store.corrupt(0);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::SERVICE_UNAVAILABLE);
    let mut other = Browser::new();
    other.post(&site, "/login", &[]).await;
    for op in [Op::Get, Op::Replace] {
        site.store.fail(op, 0);
        assert_eq!(other.register(&site).await.status, StatusCode::SERVICE_UNAVAILABLE, "{op:?}");
    }
    assert_eq!(other.register(&site).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_the_option_nothing_happens() {
    let site = Site::build(|builder| builder);
    let mut browser = Browser::new();
    let answer = browser.post(&site, "/login", &[]).await;
    assert!(answer.header("secure-session-registration").is_none());
    assert_eq!(browser.me(&site).await, "unbound, ada");
    assert_eq!(browser.post(&site, REFRESH, &[]).await.status, StatusCode::NOT_FOUND);
    let id = site.store.inner().all_ids().remove(0);
    let stored = sessile::SessionStore::get(&site.store, &id).await.unwrap().unwrap();
    assert!(!stored.record.as_json().contains("dbsc"));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let build = |dbsc: Dbsc| SessionConfig::hardened(SECRET).dbsc(dbsc).build();
    for path in ["auth", "/a b", "/a\"b", "/a;b", "/{id}", "/a//b", "/ü", "/a?b", &"/a".repeat(200)] {
        assert_eq!(build(Dbsc::new(path)).unwrap_err(), ConfigError::DbscPath, "{path}");
    }
    assert_eq!(build(Dbsc::new("/a").exclude("b")).unwrap_err(), ConfigError::DbscPath);
    for path in ["", "/", "/a", "/a/b.c/", "/.well-known/dbsc"] {
        assert!(build(Dbsc::new(path)).is_ok(), "{path}");
    }
    let within = SessionConfig::builder(SECRET).path("/app");
    assert!(within.dbsc(Dbsc::new("/app/dbsc")).build().is_ok());
    let outside = SessionConfig::builder(SECRET).path("/app");
    assert_eq!(outside.dbsc(Dbsc::new("/dbsc")).build().unwrap_err(), ConfigError::DbscPath);
    for seconds in [0, 24 * 3600 + 1] {
        let error = build(Dbsc::new("/a").bound_for(Duration::from_secs(seconds))).unwrap_err();
        assert_eq!(error, ConfigError::BoundFor);
    }
    let partitioned = SessionConfig::hardened(SECRET).partitioned(true).dbsc(options()).build();
    assert_eq!(partitioned.unwrap_err(), ConfigError::DbscPartitioned);
}

/// Where a proxy takes a part of the path away, the endpoints are mounted under what is left.
#[tokio::test]
async fn endpoints_are_mounted_by_hand() {
    let mut site = Site::when(Missing::Reject);
    let inner = axum::Router::new()
        .route("/register", site.sessions.dbsc_register())
        .route("/refresh", site.sessions.dbsc_refresh());
    site.router = site.router.clone().nest("/elsewhere", inner);
    let mut browser = without_proof(&site).await;
    assert_eq!(browser.me(&site).await, "401");
    let (id, proof) =
        (browser.binding.clone().unwrap(), browser.device.refresh(browser.challenge.as_deref().unwrap()));
    let headers = [("sec-secure-session-id", &*id), ("secure-session-response", &*proof)];
    let answer = browser.post(&site, "/elsewhere/refresh", &headers).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
    let mut other = Browser::new();
    other.post(&site, "/login", &[]).await;
    let proof = other.device.registration(other.asked.as_deref().unwrap());
    let answer = other.post(&site, "/elsewhere/register", &[("secure-session-response", &proof)]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// The program is told that a session was bound, and when one comes without its device.
#[tokio::test]
async fn what_happens_to_bound_sessions_is_told() {
    use sessile::{RefusalReason, SessionEventKind};
    use std::sync::{Arc, Mutex};
    for missing in [Missing::Report, Missing::Anonymous, Missing::Reject] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let journal = told.clone();
        let site = Site::build(|builder| {
            builder.dbsc(options().when_missing(missing)).on_event(move |event| {
                assert!(event.handle().is_some());
                journal.lock().unwrap().push(event.kind());
            })
        });
        let mut browser = without_proof(&site).await;
        let bound =
            told.lock().unwrap().iter().filter(|kind| **kind == SessionEventKind::DeviceBound).count();
        assert_eq!(bound, 1, "{missing:?}");
        told.lock().unwrap().clear();
        browser.me(&site).await;
        let refused = SessionEventKind::Refused(RefusalReason::Unproven);
        let expected = if missing == Missing::Report { vec![] } else { vec![refused] };
        assert_eq!(*told.lock().unwrap(), expected, "{missing:?}");
    }
}
