//! Ids, cookie values, secrets and data appear in no log, no error and no `Debug`.

use std::error::Error;
use std::fmt::Debug;

use crate::common::logs::Logs;
use crate::common::stores::{RecordingStore, Texts};
use crate::common::{TestClient, builder, id, router};
use axum::response::IntoResponse as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sessile::{
    FlashKey, MemoryStore, Record, Replaced, Secrets, Session, SessionConfig, SessionError, SessionId,
    SessionKey, SessionLayer, SessionOptions, SessionStore, Stored, Version,
};
use tower::Layer as _;

const SECRET: &str = "swordfish-swordfish-swordfish-swordfish";
const ID: &str = "hunter2-the-session-id";
const DATA: &str = "chartreuse-socks";
const FLASH: &str = "mauve-hat";

fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).genid(|| id(ID)).store(store).build().unwrap()
}

/// What must not be found, and the name it goes by in a failure.
fn clean(text: &str, what: &str) {
    let signature = config(MemoryStore::new()).sign(&id(ID));
    let signature = signature.rsplit_once('.').unwrap().1.to_owned();
    for needle in ["swordfish", "hunter2", "chartreuse", "mauve", &signature, &signature[..12]] {
        assert!(!text.contains(needle), "{what} tells `{needle}`: {text}");
    }
    // Bytes printed as a list of numbers.
    for needle in [SECRET, ID, DATA] {
        let numbers = format!("{:?}", &needle.as_bytes()[..6]);
        assert!(!text.contains(numbers.trim_matches(['[', ']'])), "{what} tells bytes: {text}");
    }
}

fn clean_debug(value: &dyn Debug, what: &str) {
    clean(&format!("{value:?}\n{value:#?}"), what);
}

fn clean_error(error: &(dyn Error + 'static), what: &str) {
    let mut next = Some(error);
    while let Some(error) = next {
        clean(&format!("{error}\n{error:?}\n{error:#?}"), what);
        next = error.source();
    }
}

async fn filled(config: &SessionConfig) -> Session {
    let session = TestClient::new().open(config).await;
    session.insert("color", DATA).unwrap();
    session.flash("info", FLASH).unwrap();
    session
}

#[tokio::test]
async fn no_debug_tells() {
    let store = MemoryStore::new();
    let config = config(store.clone());
    let session = filled(&config).await;
    clean_debug(&session, "a new session");
    let guard = session.commit().await.unwrap();
    clean_debug(&guard, "a guard");
    clean_debug(&session, "a session");
    clean_debug(&session.cookie(), "CookieState");
    clean_debug(&session.id(), "SessionId");
    clean_debug(&SessionId::new(format!("{ID}\n")), "InvalidSessionId");
    clean_debug(&session.take_all_flash(), "Flashes");
    clean_debug(&config, "SessionConfig");
    clean_debug(&SessionConfig::builder(SECRET), "SessionConfigBuilder");
    clean_debug(&Secrets::from(SECRET), "Secrets");
    clean_debug(&Secrets::from([SECRET.as_bytes()]), "Secrets");
    clean_debug(&SessionLayer::new(config.clone()), "SessionLayer");
    clean_debug(&SessionLayer::new(config.clone()).layer(()), "SessionService");
    let options = SessionOptions { secret: vec![SECRET.into()], ..SessionOptions::default() };
    clean_debug(&options, "SessionOptions");
    clean_debug(&store, "MemoryStore");
    let stored = store.get(&id(ID)).await.unwrap().unwrap();
    let text = stored.record.as_json().to_owned();
    assert!(text.contains(DATA), "the needle is in the haystack");
    clean_debug(&stored.record, "Record");
    clean_debug(&stored, "Stored");
    clean_debug(&stored.version, "Version");
    clean_debug(&Version::from(text.as_bytes()), "Version");
    clean_debug(&Replaced::Done(Version::of(&stored.record)), "Replaced");
    clean_debug(&Replaced::Conflict(Stored::from(stored.record.clone())), "Replaced");
    clean_debug(&SessionKey::<String>::new("color"), "SessionKey");
    clean_debug(&FlashKey::<String>::new("info"), "FlashKey");
    session.destroy();
    clean_debug(&session.commit().await.unwrap(), "the guard of a destroyed session");
}

/// serde's messages quote what they trip over.
#[derive(Debug)]
struct Picky;

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format!("{text} is not for me")))
    }
}

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(DATA))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Color {
    Red,
}

fn value_errors(session: &Session) -> Vec<SessionError> {
    vec![
        session.get::<u64>("color").unwrap_err(),
        session.get::<Picky>("color").unwrap_err(),
        session.get::<Color>("color").map(|color| matches!(color, Some(Color::Red))).unwrap_err(),
        session.remove::<Picky>("color").map(drop).unwrap_err(),
        session.update("color", |n: Option<u64>| n).unwrap_err(),
        session.insert("other", Picky).unwrap_err(),
        session.flash("info", Picky).unwrap_err(),
        session.take_flash::<Picky>("info").map(drop).unwrap_err(),
        session.peek_flash::<u64>("info").unwrap_err(),
    ]
}

#[tokio::test]
async fn no_error_tells() {
    let config = config(MemoryStore::new());
    let session = filled(&config).await;
    for error in value_errors(&session) {
        clean_error(&error, "an error of a value");
    }
    let _ = session.commit().await.unwrap();
    for broken in [
        format!("{{\"cookie\":{{}},\"color\":\"{DATA}"),
        format!("{{\"color\":\"{DATA}\"}}"),
        format!("\"{DATA}\""),
        format!("{{\"cookie\":\"{DATA}\"}}"),
        format!("{{\"cookie\":{{\"{DATA}\"}}}}"),
        DATA.to_owned(),
    ] {
        clean_error(&Record::from_json(broken.as_str()).unwrap_err(), "a corrupt record");
        clean_error(&serde_json::from_str::<Record>(&broken).unwrap_err(), "a corrupt record, through serde");
    }
    clean_error(&SessionId::new(format!("{ID}\0")).unwrap_err(), "InvalidSessionId");
    for json in ["{\"secret\": {\"swordfish\": 1}}", "{\"secret\": [\"swordfish\", 1]}"] {
        clean_error(&serde_json::from_str::<SessionOptions>(json).unwrap_err(), "options");
    }
}

/// A handler that does everything, and fails in every way a value can.
async fn everything(session: Session) -> Result<impl axum::response::IntoResponse, SessionError> {
    let _ = (session.id(), session.origin(), session.keys());
    session.insert("color", DATA)?;
    session.flash("info", FLASH)?;
    for error in value_errors(&session) {
        drop(error.into_response());
    }
    session.update("visits", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?;
    session.save().await?;
    session.reload().await?;
    session.cycle_id();
    Ok((session.commit().await?, "done"))
}

#[tokio::test]
async fn no_log_tells_what_a_whole_cycle_did() {
    let logs = Logs::capture();
    let store = RecordingStore::default();
    let number = std::sync::atomic::AtomicUsize::new(0);
    let genid = move || {
        let n = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        id(&format!("{ID}-{n}"))
    };
    let config = SessionConfig::builder([SECRET, "swordfish the older"])
        .genid(genid)
        .store(store.clone())
        .touch_after(std::time::Duration::ZERO)
        .build()
        .unwrap();
    let app = router(&config, everything).layer(SessionLayer::new(config.clone()));
    let mut client = TestClient::new();
    for _ in 0..3 {
        let answer = client.get(&app, "/").await;
        assert_eq!(answer.status, 200, "{}", logs.text());
    }
    for method in ["get", "touch", "replace", "create", "destroy_if", "destroy"] {
        store.fail(&[method]);
        let answer = client.get(&app, "/").await;
        assert!(!answer.body.contains("hunter2"), "{}", answer.body);
    }
    store.fail(&[]);
    for value in [config.sign(&id(ID)), format!("{}x", config.sign(&id(ID))), DATA.to_owned()] {
        let session =
            config.session_from_headers(&crate::common::cookie_lines([format!("connect.sid={value}")])).await;
        drop(session.unwrap());
    }
    let session = client.open(&config).await;
    session.insert("color", "chartreuse too").unwrap();
    drop(session);
    let text = logs.text();
    for event in ["never committed", "ERROR", "a session call failed", "origin=Loaded", "origin=BadSignature"]
    {
        assert!(text.contains(event), "`{event}` was logged: {text}");
    }
    clean(&text, "the log");
}

#[tokio::test]
async fn no_log_tells_what_a_corrupt_record_held() {
    let logs = Logs::capture();
    let store = Texts::with(ID, format!("{{\"cookie\":{{}},\"color\":\"{DATA}"));
    let config = config(store);
    drop(TestClient::holding(&config, &id(ID)).open(&config).await);
    assert!(logs.text().contains("ERROR"));
    clean(&logs.text(), "the log");
}

#[tokio::test]
async fn no_log_tells_of_flash_that_cannot_be_decoded() {
    let logs = Logs::capture();
    let record = format!(r#"{{"cookie":{{}},"flash":{{"info":["{FLASH}\ud800"]}}}}"#);
    let store = Texts::with(ID, record);
    let config = config(store);
    let session = TestClient::holding(&config, &id(ID)).open(&config).await;
    assert!(session.take_all_flash().is_empty());
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());
    clean(&logs.text(), "the log");
}

/// The warning of a session that nobody committed names the path, and nothing that stands behind a `?`.
#[tokio::test]
async fn no_log_tells_a_query() {
    let logs = Logs::capture();
    let app = router(&config(MemoryStore::new()), async |session: Session| session.insert("n", 1));
    assert_eq!(TestClient::new().get(&app, "/reset?token=chartreuse").await.status, 200);
    assert!(logs.text().contains("never committed") && logs.text().contains("/reset"), "{}", logs.text());
    clean(&logs.text(), "the log");
}

/// A random secret is neither logged nor shown, and signs what it verifies; two are different.
#[test]
fn a_random_secret_is_told_nowhere() {
    let logs = Logs::capture();
    let (one, two) = (Secrets::random(), Secrets::random());
    assert_eq!(logs.warnings().len(), 2, "{}", logs.text());
    assert_eq!(format!("{one:?}"), "Secrets(1 REDACTED)");
    // `hardened` takes it: it is long enough and not monotonous.
    let sessions = SessionConfig::hardened(one).build().unwrap();
    let other = SessionConfig::hardened(two).build().unwrap();
    let signed = sessions.sign(&id(ID));
    assert_eq!(sessions.verify(&signed), Some(id(ID)));
    assert_eq!(other.verify(&signed), None);
}

/// The builder's warning about a short secret does not quote it.
#[test]
fn no_log_tells_a_short_secret() {
    let logs = Logs::capture();
    drop(SessionConfig::new("swordfish"));
    drop(builder().name("bad name").build());
    assert_eq!(logs.warnings().len(), 1);
    clean(&logs.text(), "the log");
}
