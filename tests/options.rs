//! Each option's default and its effect on the wire.

mod common;

use std::time::Duration;

use axum::Router;
use axum::http::{Response, Uri};
use axum::routing::get;
use common::{App, SECRET, attributes, get as send, pair, set_cookie, set_cookies};
use sessile::testing::{Op, Probe};
use sessile::{MemoryStore, Priority, SameSite, Secure, Session, SessionConfig, SessionConfigBuilder};
use sessile::{SessionError, SessionGuard, SessionId, SessionStore};

async fn touch_nothing(session: Session) -> Result<SessionGuard, SessionError> {
    session.commit().await
}

async fn write(session: Session) -> Result<SessionGuard, SessionError> {
    session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?;
    session.commit().await
}

fn app(options: SessionConfigBuilder) -> Router {
    let sessions = options.build().unwrap();
    Router::new().route("/read", get(touch_nothing)).route("/write", get(write)).with_state(App { sessions })
}

fn options() -> SessionConfigBuilder {
    SessionConfig::builder(SECRET)
}

async fn cookie(options: SessionConfigBuilder) -> String {
    set_cookie(&send(&app(options), "/write", &[]).await)
}

fn expires(line: &str) -> Option<time::OffsetDateTime> {
    let text = line.split("; ").find_map(|part| part.strip_prefix("Expires="))?;
    Some(time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc2822).unwrap())
}

#[tokio::test]
async fn the_defaults() {
    let line = cookie(options()).await;
    assert!(line.starts_with("connect.sid=s%3A"), "{line}");
    assert_eq!(attributes(&line)[..4], ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"], "{line}");
    let left = expires(&line).unwrap() - time::OffsetDateTime::now_utc();
    assert!((86_390..=86_400).contains(&left.whole_seconds()), "{left}");
    assert_eq!(attributes(&line).len(), 5);
    let id = pair(&line)["connect.sid=s%3A".len()..][..36].to_owned();
    let version = id.parse::<uuid::Uuid>().unwrap().get_version_num();
    assert_eq!(version, 4, "an id is a random UUID");
}

#[tokio::test]
async fn name_path_domain_and_flags() {
    assert!(cookie(options().name("sid")).await.starts_with("sid=s%3A"));
    let has = |line: &str, attribute: &str| attributes(line).iter().any(|found| found == attribute);
    assert!(has(&cookie(options().path("/app")).await, "Path=/app"));
    assert!(has(&cookie(options().domain("example.com")).await, "Domain=example.com"));
    assert!(!has(&cookie(options().http_only(false)).await, "HttpOnly"));
    assert!(has(&cookie(options().secure(true)).await, "Secure"));
    assert!(!has(&cookie(options().secure(false)).await, "Secure"));
    assert!(has(&cookie(options().same_site(SameSite::Strict)).await, "SameSite=Strict"));
    let none = cookie(options().same_site(SameSite::None).secure(true)).await;
    assert!(has(&none, "SameSite=None") && has(&none, "Secure"));
    assert!(!cookie(options().no_same_site()).await.contains("SameSite"));
    assert!(has(&cookie(options().secure(true).partitioned(true)).await, "Partitioned"));
    for (priority, attribute) in [
        (Priority::Low, "Priority=Low"),
        (Priority::Medium, "Priority=Medium"),
        (Priority::High, "Priority=High"),
    ] {
        assert!(has(&cookie(options().priority(priority)).await, attribute));
    }
}

#[tokio::test]
async fn max_age_and_browser_session() {
    let line = cookie(options().max_age(Duration::from_secs(60))).await;
    assert!(line.contains("Max-Age=60; Expires="), "{line}");
    // Rounded up: a `Max-Age` of 0 would delete the cookie.
    assert!(cookie(options().max_age(Duration::from_millis(1))).await.contains("Max-Age=1;"));
    let line = cookie(options().browser_session()).await;
    assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
}

#[tokio::test]
async fn secure_auto_follows_the_scheme_and_a_trusted_proxy() {
    let is_secure =
        |response: Response<_>| attributes(&set_cookie(&response)).iter().any(|found| found == "Secure");
    let auto = || options().secure(Secure::Auto);
    let https = ("x-forwarded-proto", "https");
    let cases = [
        (auto(), None, "/write", false),
        (auto(), Some(https), "/write", false),
        (auto(), None, "https://example.com/write", true),
        (auto(), None, "http://example.com/write", false),
        (auto().trust_proxy(true), Some(https), "/write", true),
        (auto().trust_proxy(true), Some(("x-forwarded-proto", " HTTPS , http")), "/write", true),
        (auto().trust_proxy(true), Some(("x-forwarded-proto", "http, https")), "/write", false),
        (auto().trust_proxy(true), Some(("x-forwarded-proto", "http")), "https://example.com/write", false),
        (auto().trust_proxy(true), None, "/write", false),
        // A process behind a proxy cannot see TLS.
        (options().secure(true), None, "/write", true),
        (options().secure(true).trust_proxy(true), Some(https), "/write", true),
        (options().secure(true).trust_proxy(true), None, "/write", true),
    ];
    for (n, (options, header, uri, expected)) in cases.into_iter().enumerate() {
        let headers: Vec<_> = header.into_iter().collect();
        uri.parse::<Uri>().unwrap();
        assert_eq!(is_secure(send(&app(options), uri, &headers).await), expected, "case {n}");
    }
}

#[tokio::test]
async fn a_secure_cookie_over_http_leaves_no_record_and_warns_once() {
    let logs = common::Logs::capture();
    let store = MemoryStore::new();
    let app = app(options().secure(true).trust_proxy(true).store(store.clone()));
    for _ in 0..3 {
        let response = send(&app, "/write", &[("x-forwarded-proto", "http")]).await;
        assert_eq!((response.status().as_u16(), set_cookies(&response).len()), (200, 0));
    }
    assert!(store.is_empty());
    assert_eq!(logs.count("the proxy says the request came over http"), 1, "{}", logs.text());
}

#[tokio::test]
async fn save_uninitialized_and_rolling_and_resave() {
    let store = Probe::new(MemoryStore::new());
    let reading = |options: SessionConfigBuilder| app(options.store(store.clone()));
    let response = send(&reading(options()), "/read", &[]).await;
    assert_eq!((set_cookies(&response).len(), store.calls(Op::Create)), (1, 1), "saved by default");
    let response = send(&reading(options().save_uninitialized(false)), "/read", &[]).await;
    assert_eq!((set_cookies(&response).len(), store.calls(Op::Create)), (0, 1));

    let user = pair(&set_cookie(&send(&reading(options()), "/write", &[]).await));
    for (options, calls, cookies) in [
        (options(), (0, 0), 0),
        (options().rolling(true), (1, 0), 1),
        (options().resave(true), (0, 1), 0),
        (options().resave(true).rolling(true), (0, 1), 1),
    ] {
        store.reset();
        let response = send(&reading(options), "/read", &[("cookie", &user)]).await;
        assert_eq!((store.calls(Op::Touch), store.calls(Op::Replace)), calls);
        assert_eq!(set_cookies(&response).len(), cookies);
    }
}

#[tokio::test]
async fn genid_names_new_sessions() {
    let apple = || SessionId::new("apple").unwrap();
    let line =
        set_cookie(&send(&app(SessionConfig::builder("keyboard cat").genid(apple)), "/write", &[]).await);
    assert_eq!(pair(&line), "connect.sid=s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU");
}

#[tokio::test]
async fn touch_after_throttles_the_touch_at_load() {
    const HOUR: Duration = Duration::from_secs(3600);
    // How long ago the last touch was, and whether a load touches again.
    for (options, ago, touches) in [
        (options().max_age(100 * HOUR), Duration::from_secs(30), 0),
        (options().max_age(100 * HOUR), Duration::from_secs(61), 1),
        (options().max_age(Duration::from_secs(1000)), Duration::from_secs(9), 0),
        (options().max_age(Duration::from_secs(1000)), Duration::from_secs(11), 1),
        (options().max_age(100 * HOUR).touch_after(2 * HOUR), HOUR, 0),
        (options().max_age(100 * HOUR).touch_after(2 * HOUR), 3 * HOUR, 1),
        (options().max_age(100 * HOUR).touch_after(Duration::ZERO), Duration::ZERO, 1),
        // Over half of the life it could not help in time.
        (options().max_age(2 * HOUR).touch_after(3 * HOUR), Duration::from_secs(61 * 60), 1),
        (options().browser_session().store_ttl(100 * HOUR), Duration::from_secs(30), 0),
        (options().browser_session().store_ttl(100 * HOUR), Duration::from_secs(61), 1),
    ] {
        let store = Probe::new(MemoryStore::new());
        let config = options.store(store.clone()).build().unwrap();
        let session = config.session_from_headers(&Default::default()).await.unwrap();
        let _guard = session.commit().await.unwrap();
        let ttl = session.max_age().unwrap_or(100 * HOUR);
        assert!(store.inner().touch(&session.id(), ttl - ago).await.unwrap());
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("cookie", format!("connect.sid={}", config.sign(&session.id())).parse().unwrap());
        let _loaded = config.session_from_headers(&headers).await.unwrap();
        assert_eq!(store.calls(Op::Touch), touches, "life {ttl:?}, touched {ago:?} ago");
        let left = store.inner().get(&session.id()).await.unwrap().unwrap().expires_in.unwrap();
        assert_eq!(left > ttl - Duration::from_secs(5), touches == 1 || ago < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn store_ttl_is_the_life_of_a_browser_session() {
    let store = MemoryStore::new();
    for (options, expected) in [
        (options().browser_session(), 24 * 3600),
        (options().browser_session().store_ttl(Duration::from_secs(77)), 77),
        (options().max_age(Duration::from_secs(99)).store_ttl(Duration::from_secs(77)), 99),
    ] {
        let config = options.store(store.clone()).build().unwrap();
        let session = config.session_from_headers(&Default::default()).await.unwrap();
        let _guard = session.commit().await.unwrap();
        let left = store.get(&session.id()).await.unwrap().unwrap().expires_in.unwrap().as_secs_f64();
        assert!(left <= f64::from(expected) && left > f64::from(expected) - 5.0, "{left}");
    }
}

#[tokio::test]
async fn the_hardened_preset() {
    let strict = || SessionConfig::hardened(SECRET);
    let line = cookie(strict()).await;
    assert!(line.starts_with("__Host-sid=s%3A"));
    assert_eq!(attributes(&line), ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"]);
    assert!(
        set_cookies(&send(&app(strict()), "/read", &[]).await).is_empty(),
        "an untouched session is stored"
    );
}
