//! What of the session's cookie reaches the header (S115 to S136).

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::http::Uri;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use sessile::{Priority, Secure, Session, SessionConfigBuilder, SessionOptions};

use crate::common::{SetCookie, TestClient, id};
use crate::site::{MINUTE, Site, count, expires, hello, look, options, stored_cookie};

/// The cookie of a first visit.
async fn cookie(options: SessionConfigBuilder) -> SetCookie {
    Site::new(options, hello).first("/").await.cookie().unwrap()
}

/// `cookie.httpOnly = false` and `cookie.secure = true` of one session reach the header.
///
/// Differs: the attributes are the configuration's, for all its sessions. What a record says of them stays in
/// the record, for Express.
#[tokio::test]
async fn s115_the_configured_attributes_reach_the_header() {
    let site = Site::new(options().http_only(false).secure(true), count);
    let theirs =
        r#"{"cookie":{"originalMaxAge":60000,"expires":null,"secure":false,"httpOnly":true,"path":"/x"}}"#;
    site.store.plant(&id("apple"), theirs).await;
    let known = site.get(&mut TestClient::holding(&site.config, &id("apple")), "/").await.cookie().unwrap();
    for cookie in [site.first("/").await.cookie().unwrap(), known] {
        assert!(!cookie.has("HttpOnly") && cookie.has("Secure"), "{}", cookie.line);
        assert_eq!(cookie.attribute("Path"), Some("/"));
    }
    let kept = stored_cookie(&site.store.text(&id("apple")).await.unwrap());
    assert_eq!((&kept["httpOnly"], &kept["path"]), (&true.into(), &"/x".into()));
}

/// A cookie that ends with the browser has no `Expires`. In Express it is the default.
///
/// Differs: the default is a max-age of 24 hours; `browser_session()` is Express' default.
#[tokio::test]
async fn s116_a_browser_session_has_no_expires() {
    let ends_with_browser = cookie(options().browser_session()).await;
    assert_eq!(ends_with_browser.names(), ["HttpOnly", "Path", "SameSite"]);
    let default = cookie(sessile::SessionConfig::builder("keyboard cat")).await;
    assert_eq!(default.attribute("Max-Age"), Some("86400"));
}

/// Such a cookie is sent once.
#[tokio::test]
async fn s117_a_browser_session_is_sent_once() {
    let site = Site::new(options().browser_session(), count);
    let mut client = TestClient::new();
    assert!(site.get(&mut client, "/").await.cookie().is_some());
    let second = site.get(&mut client, "/").await;
    assert_eq!((&*second.body, second.cookie().is_some()), ("2", false));
}

/// `maxAge`, `path`, `httpOnly` and `priority` of the options reach the header.
///
/// Differs: one session cannot override `secure`; `Secure::Auto` follows the request.
#[tokio::test]
async fn s118_the_options_reach_the_header() {
    let options = options()
        .max_age(MINUTE)
        .path("/admin")
        .http_only(false)
        .priority(Priority::High)
        .secure(Secure::Auto);
    let cookie = Site::new(options, hello).first("/admin").await.cookie().unwrap();
    assert_eq!(cookie.names(), ["Expires", "Max-Age", "Path", "Priority", "SameSite"]);
    let expected = [("Max-Age", "60"), ("Path", "/admin"), ("Priority", "High")];
    for (name, value) in expected {
        assert_eq!(cookie.attribute(name), Some(value));
    }
}

/// An expiry that is no date is reported, and the answer is a 200.
///
/// Differs: there is none. A max-age no cookie may have is cut to 400 days; in the options it is an error at
/// start.
#[tokio::test]
async fn s119_an_expiry_is_always_a_date() {
    let site = Site::new(options(), async |session: Session| session.set_max_age(Some(Duration::MAX)));
    let answer = site.first("/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("34560000"));
    assert!(options().max_age(Duration::MAX).build().is_err());
    for given in [r#""maxAge": "soon""#, r#""expires": "2030-01-01T00:00:00.000Z""#] {
        let json = format!(r#"{{"secret": "keyboard cat", "cookie": {{{given}}}}}"#);
        assert!(serde_json::from_str::<SessionOptions>(&json).is_err(), "{json}");
    }
}

const OTHERS: [&str; 2] = ["first=1", "second=2; Path=/x"];

/// The answer's lines: the two the handler set, then the session's.
async fn kept<H, T>(handler: H)
where
    H: axum::handler::Handler<T, crate::common::App>,
    T: 'static,
{
    let answer = Site::new(options(), handler).first("/").await;
    let lines = answer.lines("set-cookie");
    assert_eq!(lines[..2], OTHERS);
    assert!(lines[2].starts_with("connect.sid=s%3A"));
    assert_eq!(lines.len(), 3);
}

/// A `Set-Cookie` that was set before is kept, and comes first.
#[tokio::test]
async fn s120_other_cookies_are_kept() {
    kept(async |session: Session| {
        session.insert("user", "ada").unwrap();
        let mut response = "".into_response();
        for line in OTHERS {
            response.headers_mut().append(SET_COOKIE, line.parse().unwrap());
        }
        response
    })
    .await;
    // Also where the handler sets the session's cookie, and the layer sets it again.
    kept(async |session: Session| {
        let mut guarded = session.commit().await.unwrap().into_response();
        let own = guarded.headers_mut().remove(SET_COOKIE).unwrap();
        for line in OTHERS.map(|line| line.parse().unwrap()).into_iter().chain([own]) {
            guarded.headers_mut().append(SET_COOKIE, line);
        }
        session.insert("user", "ada").unwrap();
        guarded
    })
    .await;
}

/// So is one that comes with the head of the response (`writeHead`).
#[tokio::test]
async fn s121_cookies_of_a_whole_response_are_kept() {
    kept(async || {
        let response = Response::builder().status(200);
        OTHERS
            .into_iter()
            .fold(response, |head, line| head.header(SET_COOKIE, line))
            .body(Body::empty())
            .unwrap()
    })
    .await;
}

/// Says the session's own max-age in milliseconds.
async fn original_max_age(session: Session) -> String {
    session.insert("user", "ada").unwrap();
    format!("{:?}", session.cookie().original_max_age().map(|age| age.as_millis()))
}

/// `originalMaxAge` is the option, exactly.
#[tokio::test]
async fn s122_original_max_age_is_the_option() {
    let site = Site::new(options().max_age(Duration::from_millis(2000)), original_max_age);
    assert_eq!(site.first("/").await.body, "Some(2000)");
}

/// It is the same in later requests: no millisecond is lost.
#[tokio::test]
async fn s123_original_max_age_stays() {
    let site = Site::new(options().max_age(Duration::from_millis(2000)).resave(true), original_max_age);
    let mut client = TestClient::new();
    for _ in 0..50 {
        assert_eq!(site.get(&mut client, "/").await.body, "Some(2000)");
    }
    assert_eq!(stored_cookie(&site.store.text(&site.store.ids()[0]).await.unwrap())["originalMaxAge"], 2000);
}

/// It is the same with a store whose `expires` is something else than text.
#[tokio::test]
async fn s124_original_max_age_does_not_depend_on_the_stored_expires() {
    let site = Site::new(options(), original_max_age);
    for expires in ["1700000000000", "null", r#""2020-01-01T00:00:00.000Z""#, r#""soon""#, "{}"] {
        let record = format!(r#"{{"cookie":{{"originalMaxAge":2000,"expires":{expires}}}}}"#);
        site.store.plant(&id("apple"), &record).await;
        let answer = site.get(&mut TestClient::holding(&site.config, &id("apple")), "/").await;
        assert_eq!(answer.body, "Some(2000)", "{expires}");
    }
}

/// A Secure cookie, over TLS: sent.
///
/// Differs: it is the scheme of the request's URI that is looked at, as HTTP/2 carries it.
#[tokio::test]
async fn s125_over_https_a_secure_cookie_is_sent() {
    for secure in [Secure::Always, Secure::Auto] {
        let site = Site::new(options().secure(secure), hello);
        assert!(site.first("https://localhost/").await.cookie().unwrap().has("Secure"));
    }
}

/// Over plain http: not sent.
///
/// Differs: `true` sends it all the same, because a process behind a proxy cannot see TLS; browsers drop it
/// then. Where a trusted proxy says http it is not sent, and nothing is stored.
#[tokio::test]
async fn s126_over_http_a_secure_cookie_is_not_sent() {
    let site = Site::new(options().secure(true).trust_proxy(true), hello);
    let mut client = TestClient::new().header("x-forwarded-proto", "http");
    assert!(site.get(&mut client, "/").await.cookie().is_none());
    assert_eq!(site.store.len(), 0);
    assert!(cookie(options().secure(true)).await.has("Secure"));
}

/// The cookie of a first visit lives for as long as this, from when it was sent; in both of its words.
async fn lives<H, T>(options: SessionConfigBuilder, handler: H, life: Duration)
where
    H: axum::handler::Handler<T, crate::common::App>,
    T: 'static,
{
    let site = Site::new(options, handler);
    let before = SystemTime::now();
    let cookie = site.first("/").await.cookie().unwrap();
    let after = SystemTime::now();
    assert_eq!(cookie.attribute("Max-Age"), Some(&*life.as_secs().to_string()));
    // The header counts whole seconds.
    let expires = expires(&cookie);
    assert!(before + life < expires + Duration::from_secs(1) && expires <= after + life, "{}", cookie.line);
}

/// A max-age of 2000 ms is 2000 ms from the response.
#[tokio::test]
async fn s127_the_options_max_age_is_what_the_cookie_lives() {
    lives(options().max_age(Duration::from_millis(2000)), hello, Duration::from_secs(2)).await;
}

/// A session's own of 5000 ms.
#[tokio::test]
async fn s128_a_sessions_own_max_age_is_what_the_cookie_lives() {
    let own = async |session: Session| session.set_max_age(Some(Duration::from_millis(5000)));
    lives(options(), own, Duration::from_secs(5)).await;
}

/// A session's own of 3,000,000,000 ms.
#[tokio::test]
async fn s129_a_max_age_over_32_bits_is_exact() {
    let own = async |session: Session| session.set_max_age(Some(Duration::from_millis(3_000_000_000)));
    lives(options(), own, Duration::from_millis(3_000_000_000)).await;
}

/// An expiry of `Date(0)` ends the cookie.
///
/// Differs: it is a max-age of zero; the header says `Max-Age=0` and the present time, and the store drops
/// the session.
#[tokio::test]
async fn s130_a_max_age_of_zero_ends_the_cookie() {
    let site = Site::new(options(), async |session: Session| session.set_max_age(Some(Duration::ZERO)));
    let mut client = TestClient::new();
    let cookie = site.get(&mut client, "/").await.cookie().unwrap();
    assert_eq!(cookie.attribute("Max-Age"), Some("0"));
    assert!(expires(&cookie) <= SystemTime::now());
    assert_eq!((client.value("connect.sid"), site.store.len()), (None, 0));
}

/// Lets the session end with the browser, and counts except under `/look`.
async fn until_the_browser_closes(uri: Uri, session: Session) -> String {
    session.set_max_age(None);
    match uri.path() {
        "/look" => look(session).await.unwrap(),
        _ => count(session).await.unwrap(),
    }
}

/// An expiry of null: no `Expires`.
#[tokio::test]
async fn s131_a_session_without_a_max_age_has_no_expires() {
    let cookie = Site::new(options(), until_the_browser_closes).first("/").await.cookie().unwrap();
    assert_eq!(cookie.names(), ["HttpOnly", "Path", "SameSite"]);
}

/// It is not sent again with the second request.
#[tokio::test]
async fn s132_a_session_without_a_max_age_is_sent_once() {
    let site = Site::new(options(), until_the_browser_closes);
    let mut client = TestClient::new();
    assert!(site.get(&mut client, "/").await.cookie().is_some());
    let second = site.get(&mut client, "/look").await;
    assert_eq!((&*second.body, second.cookie().is_some()), ("Some(1)", false));
}

/// Nor when the second request changes something.
#[tokio::test]
async fn s133_a_session_without_a_max_age_is_sent_once_whatever_changes() {
    let site = Site::new(options(), until_the_browser_closes);
    let mut client = TestClient::new();
    assert!(site.get(&mut client, "/").await.cookie().is_some());
    let second = site.get(&mut client, "/").await;
    assert_eq!((&*second.body, second.cookie().is_some()), ("2", false));
}

/// `partitioned` is off by default.
#[tokio::test]
async fn s134_partitioned_is_off_by_default() {
    assert!(!cookie(options().secure(true)).await.has("Partitioned"));
}

/// `false`: absent.
#[tokio::test]
async fn s135_partitioned_false_is_absent() {
    assert!(!cookie(options().secure(true).partitioned(false)).await.has("Partitioned"));
}

/// `true`: present.
#[tokio::test]
async fn s136_partitioned_true_is_present() {
    assert!(cookie(options().secure(true).partitioned(true)).await.has("Partitioned"));
}
