//! What a session in a cookie is, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::Request;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::routing::get;
use axum_extra::extract::cookie::{Cookie, Key, PrivateCookieJar};
use sessile::testing::TestClock;
use sessile::{
    ConfigError, CookieConfig, CookieConfigBuilder, CookieSession, FlashKey, Origin, SessionError,
    SessionGuard, SessionKey, SessionLayer,
};
use tower::ServiceExt as _;

use crate::logs::Logs;
use crate::{Browser, key};

const HOUR: Duration = Duration::from_secs(3600);
const STEP: SessionKey<u32> = SessionKey::new("step");
const NOTICE: FlashKey<String> = FlashKey::new("notice");

fn builder(clock: &TestClock) -> CookieConfigBuilder {
    CookieConfig::builder(key(1)).clock(clock.clone()).max_age(HOUR)
}

/// The calls are those of a session, and the typed keys work on both.
#[tokio::test]
async fn data_and_messages_come_back_with_the_next_request() {
    let config = CookieConfig::new(key(1)).unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    assert_eq!((session.origin(), session.is_new()), (Origin::NoCookie, true));
    STEP.insert(&session, 2).unwrap();
    session.insert("name", "Ada").unwrap();
    NOTICE.push(&session, "saved".into()).unwrap();
    let line = browser.commit(&session).await.unwrap();
    assert!(
        line.contains("; HttpOnly") && line.contains("; SameSite=Lax") && line.contains("; Path=/"),
        "{line}"
    );
    assert!(!line.contains("Ada"));

    let session = browser.open(&config);
    assert_eq!((session.origin(), session.is_new(), session.len()), (Origin::Loaded, false, 2));
    assert_eq!(STEP.get(&session).unwrap(), Some(2));
    assert_eq!(STEP.modify(&session, |step| *step += 1).unwrap(), 3);
    assert_eq!(NOTICE.take(&session).unwrap(), ["saved"]);
    assert_eq!(session.remove::<String>("name").unwrap().as_deref(), Some("Ada"));
    browser.commit(&session).await.unwrap();

    let session = browser.open(&config);
    assert_eq!((STEP.get(&session).unwrap(), session.keys()), (Some(3), vec!["step".to_owned()]));
    assert!(NOTICE.peek(&session).unwrap().is_empty());
    assert!(browser.commit(&session).await.is_none(), "nothing has changed");
    session.clear();
    assert!(browser.commit(&session).await.is_some());
    assert!(browser.open(&config).is_empty());
}

/// A visitor whose session stays empty gets no cookie, and a second commit says what the first one said.
#[tokio::test]
async fn only_what_there_is_is_sent() {
    let config = CookieConfig::new(key(1)).unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    assert!(browser.commit(&session).await.is_none());
    session.insert("n", 1).unwrap();
    assert!(browser.commit(&session).await.is_some());
    assert!(browser.commit(&session).await.is_some());
    let session = browser.open(&CookieConfig::builder(key(1)).browser_session().build().unwrap());
    assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
    session.set_max_age(None);
    session.insert("n", 2).unwrap();
    let line = browser.commit(&session).await.unwrap();
    assert!(!line.contains("Max-Age"), "{line}");
    // A session without a max-age sends what it has changed as well.
    let session = browser.open(&config);
    session.insert("n", 3).unwrap();
    assert!(browser.commit(&session).await.is_some());
    assert_eq!(browser.open(&config).get::<u8>("n").unwrap(), Some(3));
}

/// A byte that was changed, another key, another name: no session, and no panic.
#[tokio::test]
async fn what_was_changed_is_no_session() {
    let config = CookieConfig::new(key(1)).unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    session.insert("n", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let good = browser.0.unwrap();
    let start = "session=".len();
    for at in start..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = Browser(String::from_utf8(bytes).ok());
        assert_eq!(changed.open(&config).origin(), Origin::BadSignature, "{at}");
    }
    assert_eq!(
        Browser(Some(good.clone())).open(&CookieConfig::new(key(2)).unwrap()).origin(),
        Origin::BadSignature
    );
    let other = CookieConfig::builder(key(1)).name("other").build().unwrap();
    let renamed = Browser(Some(good.replace("session=", "other=")));
    assert_eq!(renamed.open(&other).origin(), Origin::BadSignature);
    // A planted cookie of the name hides no good one.
    let planted = Browser(Some(format!("session=planted; {good}")));
    assert_eq!(planted.open(&config).origin(), Origin::Loaded);
    // As many as browsers keep for a domain, some of them sealed with a key of somebody else.
    let foreign = CookieConfig::new(key(9)).unwrap();
    let mut other = Browser::default();
    let session = other.open(&foreign);
    session.insert("n", 2).unwrap();
    other.commit(&session).await.unwrap();
    let junk =
        [&other.0.unwrap(), "session=planted"].into_iter().cycle().take(50).collect::<Vec<_>>().join("; ");
    let planted = Browser(Some(format!("{junk}; {good}")));
    assert_eq!(planted.open(&config).origin(), Origin::Loaded);
}

/// What the key has sealed and is no session leaves the visitor with a new one, and an event.
#[tokio::test]
async fn a_sealed_text_that_is_no_session_is_an_event() {
    let config = CookieConfig::new(key(1)).unwrap();
    let logs = Logs::capture();
    for (text, origin) in [
        ("9999999999999.no json", Origin::Undecodable),
        ("9999999999999.[]", Origin::Undecodable),
        ("soon.{\"cookie\":{}}", Origin::BadSignature),
        ("", Origin::BadSignature),
    ] {
        let jar = PrivateCookieJar::<Key>::new(key(1)).add(Cookie::new("session", text));
        let response = axum::response::IntoResponse::into_response(jar);
        let line = response.headers()[SET_COOKIE].to_str().unwrap().to_owned();
        let browser = Browser(Some(line.split(';').next().unwrap().to_owned()));
        assert_eq!(browser.open(&config).origin(), origin, "{text}");
    }
    assert_eq!(logs.text().matches("a session in a cookie cannot be decoded").count(), 2, "{}", logs.text());
}

/// The end is sealed: a browser, or a thief, that keeps the cookie longer has nothing.
#[tokio::test]
async fn a_copy_ends_with_the_time_that_is_sealed_in_it() {
    let clock = TestClock::new();
    for config in [
        builder(&clock).build().unwrap(),
        builder(&clock).browser_session().idle_timeout(HOUR).build().unwrap(),
    ] {
        let mut browser = Browser::default();
        let session = browser.open(&config);
        session.insert("n", 1).unwrap();
        browser.commit(&session).await.unwrap();
        clock.advance(HOUR - Duration::from_millis(1));
        assert_eq!(browser.open(&config).origin(), Origin::Loaded);
        clock.advance(Duration::from_millis(1));
        assert_eq!(browser.open(&config).origin(), Origin::Unknown);
    }
}

/// Use moves the end, up to the absolute one.
#[tokio::test]
async fn use_moves_the_end() {
    let clock = TestClock::new();
    let config = builder(&clock).absolute_timeout(3 * HOUR).build().unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    session.insert("n", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let session = browser.open(&config);
    assert!(browser.commit(&session).await.is_none(), "a hundredth of its life has not passed");
    for _ in 0..5 {
        clock.advance(HOUR / 2);
        let session = browser.open(&config);
        assert_eq!(session.origin(), Origin::Loaded);
        assert!(browser.commit(&session).await.is_some(), "it is only read, and lives longer");
    }
    clock.advance(HOUR / 2);
    assert_eq!(browser.open(&config).origin(), Origin::Unknown, "the absolute end");
    let rolling = builder(&clock).rolling(true).build().unwrap();
    let session = browser.open(&rolling);
    assert_eq!(session.origin(), Origin::Loaded, "sealed with the same key");
    assert!(browser.commit(&session).await.is_some());
}

/// The key changes without a loss, and an old one opens no more once it is dropped.
#[tokio::test]
async fn keys_change() {
    let (old, new) = (CookieConfig::new(key(1)).unwrap(), CookieConfig::builder(key(2)));
    let mut browser = Browser::default();
    let session = browser.open(&old);
    session.insert("n", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let copy = browser.clone();
    let both = new.old_key(key(1)).build().unwrap();
    let session = browser.open(&both);
    assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
    assert!(browser.commit(&session).await.is_some(), "a commit seals it anew");
    let new = CookieConfig::new(key(2)).unwrap();
    assert_eq!(browser.open(&new).get::<u8>("n").unwrap(), Some(1));
    assert_eq!(copy.open(&new).origin(), Origin::BadSignature);
}

/// Over 4,096 bytes the browser would drop the cookie, so the commit fails and says how much it is over.
#[tokio::test]
async fn what_is_too_large_is_an_error_and_not_a_lost_cookie() {
    let config = CookieConfig::new(key(1)).unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    session.insert("small", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let (mut fits, mut over) = (0, 4096);
    while over - fits > 1 {
        let length = (fits + over) / 2;
        let session = browser.open(&config);
        session.insert("large", "x".repeat(length)).unwrap();
        match session.commit().await {
            Ok(guard) => {
                let line = Browser::default().receive(guard).unwrap();
                assert!(line.len() <= 4096, "{}", line.len());
                fits = length;
            }
            Err(SessionError::TooLarge { bytes, limit: 4096 }) => {
                assert!(bytes > 4096 && bytes < 4096 + 2 * (length + 200), "{bytes}");
                over = length;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(fits > 2600, "{fits} bytes fit");
    let session = browser.open(&config);
    // The line's length differs by some dozen bytes each time: of the characters of base64, two are escaped.
    session.insert("large", "x".repeat(over + 300)).unwrap();
    for _ in 0..2 {
        let error = session.commit().await.unwrap_err();
        assert!(matches!(error, SessionError::TooLarge { .. }) && error.status() == 500, "{error}");
    }
    session.remove::<String>("large").unwrap();
    browser.commit(&session).await.unwrap();
    assert_eq!(browser.open(&config).keys(), ["small"]);
}

/// A logout removes the cookie; a message after it begins a new session without the old data.
#[tokio::test]
async fn a_logout_forgets_the_cookie() {
    let config = CookieConfig::builder(key(1)).path("/app").build().unwrap();
    let mut browser = Browser::default();
    let session = browser.open(&config);
    session.insert("n", 1).unwrap();
    browser.commit(&session).await.unwrap();
    let copy = browser.clone();
    let session = browser.open(&config);
    session.destroy();
    let line = browser.commit(&session).await.unwrap();
    assert!(
        line.starts_with("session=;") && line.contains("; Path=/app") && line.contains("; Max-Age=0"),
        "{line}"
    );
    assert!(browser.0.is_none());
    // What the first line of its documentation says: a copy lives on.
    assert_eq!(copy.open(&config).origin(), Origin::Loaded);

    browser = copy;
    let session = browser.open(&config);
    session.destroy();
    session.flash("info", "bye").unwrap();
    browser.commit(&session).await.unwrap();
    let session = browser.open(&config);
    assert!(session.is_empty());
    assert_eq!(session.take_flash::<String>("info").unwrap(), ["bye"]);
}

#[test]
fn what_browsers_would_ignore_is_refused() {
    let builder = || CookieConfig::builder(key(1));
    assert_eq!(builder().name("a b").build().unwrap_err(), ConfigError::Name);
    assert_eq!(builder().partitioned(true).build().unwrap_err(), ConfigError::Partitioned);
    assert_eq!(builder().max_age(Duration::ZERO).build().unwrap_err(), ConfigError::MaxAge);
    assert!(builder().name("__Host-session").secure(true).build().is_ok());
    let debug = format!("{:?} {:?}", builder(), builder().build().unwrap());
    assert!(!debug.contains("34, 35"), "{debug}");
}

struct App {
    drafts: CookieConfig,
    sessions: sessile::SessionConfig,
}

impl FromRef<App> for CookieConfig {
    fn from_ref(app: &App) -> Self {
        app.drafts.clone()
    }
}

impl FromRef<App> for sessile::SessionConfig {
    fn from_ref(app: &App) -> Self {
        app.sessions.clone()
    }
}

/// Every extractor of a request gets the same session, beside the one that the store keeps, which a layer
/// commits.
#[tokio::test]
async fn every_extractor_of_a_request_gets_the_same_session() {
    async fn handler(
        one: CookieSession,
        session: sessile::Session,
        other: CookieSession,
    ) -> Result<SessionGuard, SessionError> {
        one.insert("one", 1)?;
        session.insert("stored", 1)?;
        assert!(other.contains_key("one") && !other.contains_key("stored"));
        other.commit().await
    }
    let sessions = sessile::SessionConfig::new("a secret of 32 bytes or more for tests").unwrap();
    let app = App { drafts: CookieConfig::new(key(1)).unwrap(), sessions: sessions.clone() };
    let app =
        Router::new().route("/", get(handler)).layer(SessionLayer::new(sessions)).with_state(Arc::new(app));
    let response =
        app.oneshot(Request::get("/").header(COOKIE, "a=b").body(Body::empty()).unwrap()).await.unwrap();
    let lines: Vec<_> =
        response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("session=")), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("connect.sid=s%3A")), "{lines:?}");
}
