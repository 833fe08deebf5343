//! Logins by `log_in` in sessions that Express shares: Express leaves alone what they keep in the record, and
//! `sessions_of` lists and ends them.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sessile::{CreatedSession, Session, SessionConfig, SessionOptions};
use sessile_interop::http_client::{HttpClient, NAME};
use sessile_interop::servers::{SECRET, Servers, Side, id_in, options};

/// A text that a program which reads and writes JSON can spell in more than one way.
const LABEL: &str = "Firefox \u{2013} \"Käse\" </a> \\ \u{7} \u{7f} \u{2028} 🦀";

/// The sessions of both servers, as a program of this crate holds them.
async fn sessions(servers: &Servers) -> SessionConfig {
    let options: SessionOptions = serde_json::from_value(options(json!(SECRET))).unwrap();
    servers.store.for_axum().config(options.into_builder()).await
}

async fn log_in(sessions: &SessionConfig, user: &str) -> CreatedSession {
    let created = sessions.create_session(async |session| {
        session.log_in(user)?;
        session.set_device_label(LABEL);
        session.insert("cart", ["tea"])
    });
    created.await.unwrap()
}

/// The browser that got this session's cookie.
fn browser(servers: &Arc<Servers>, created: &CreatedSession) -> HttpClient {
    let cookie = created.cookie();
    let value = cookie.to_str().unwrap().strip_prefix(NAME).unwrap().strip_prefix('=').unwrap();
    HttpClient::with_cookie(servers, value)
}

/// The session of a browser, as this crate loads it.
async fn load(sessions: &SessionConfig, browser: &HttpClient) -> Session {
    let cookie = format!("{NAME}={}", browser.cookie().unwrap());
    let headers = HeaderMap::from_iter([(COOKIE, cookie.parse().unwrap())]);
    sessions.session_from_headers(&headers).await.unwrap()
}

/// What the record keeps of the login, byte for byte.
async fn login_in(servers: &Servers, id: &str) -> Option<String> {
    let raw = servers.store.raw(id).await.expect("a record");
    let mut record: std::collections::HashMap<String, Box<RawValue>> = serde_json::from_str(&raw).unwrap();
    record.remove("__sessile").map(|value| value.get().to_owned())
}

async fn express_leaves_a_login_alone(servers: Arc<Servers>) {
    let sessions = sessions(&servers).await;
    let browser = browser(&servers, &log_in(&sessions, "ada").await);
    let id = id_in(&browser.cookie().unwrap(), SECRET).unwrap();
    let login = login_in(&servers, &id).await.expect("a login in the record");

    // Express reads it, touches it, writes keys of its own, and logs somebody in and out of them.
    assert_eq!(browser.data(Side::Express).await, json!({ "cart": ["tea"] }));
    let record = servers.store.raw(&id).await.unwrap();
    servers.store.put(&id, &record, Duration::from_secs(60)).await;
    browser.post(Side::Express, "/touch").await;
    assert!(servers.store.life(&id).await.unwrap() > Duration::from_secs(3500), "Express touched nothing");
    browser.put(Side::Express, "/data/theme", json!({ "dark": true })).await;
    browser.put(Side::Express, "/data/cart", json!(["tea", "cups"])).await;
    browser.put(Side::Express, "/data/brief", json!(1)).await;
    browser.delete(Side::Express, "/data/brief").await;
    browser.put(Side::Express, "/max-age", json!(7_200_000)).await;
    assert_eq!(browser.record(&id).await["theme"], json!({ "dark": true }));

    assert_eq!(login_in(&servers, &id).await.as_ref(), Some(&login));
    let session = load(&sessions, &browser).await;
    assert_eq!(session.id().as_str(), id);
    assert!(session.is_logged_in() && session.belongs_to("ada") && !session.belongs_to("bob"));
    assert!(session.confirmed_within(Duration::from_secs(600)));
    assert_eq!(session.get::<Value>("cart").unwrap(), Some(json!(["tea", "cups"])));

    let user = sessions.sessions_of("ada");
    let list = user.list().await.unwrap();
    assert_eq!(list.len(), 1);
    assert!(list[0].is(&session));
    assert_eq!(list[0].device_label(), Some(LABEL));
    assert_eq!(user.end_all().await.unwrap(), 1);
    assert!(user.list().await.unwrap().is_empty());
    assert!(servers.store.raw(&id).await.is_none(), "the record outlived the end");
    assert_eq!(browser.data(Side::Express).await, json!({}));
    assert_ne!(browser.id(Side::Express).await, id);
    assert!(servers.store.raw(&id).await.is_none(), "Express brought the session back");
    assert!(!load(&sessions, &browser).await.is_logged_in());
}

async fn a_login_keeps_the_data_of_express(servers: Arc<Servers>) {
    let sessions = sessions(&servers).await;
    let browser = HttpClient::new(&servers);
    let id = browser.log_in(Side::Express).await;
    browser.put(Side::Express, "/data/cart", json!(["tea"])).await;
    browser.post_json(Side::Express, "/flash/info", json!("welcome")).await;

    let session = load(&sessions, &browser).await;
    assert_eq!(session.id().as_str(), id);
    assert!(!session.is_logged_in() && !session.belongs_to("grace") && !session.belongs_to("42"));
    session.log_in("grace").unwrap();
    drop(session.commit().await.unwrap());
    let new_id = session.id().as_str().to_owned();
    assert_ne!(new_id, id);
    assert!(servers.store.raw(&id).await.is_none(), "the id of before the login still opens the session");

    let browser = HttpClient::with_cookie(&servers, &sessions.sign(&session.id()));
    assert!(load(&sessions, &browser).await.belongs_to("grace"));
    // Express still sees its own login, its data and its message.
    assert_eq!(browser.id(Side::Express).await, new_id);
    assert_eq!(browser.user(Side::Express).await.as_deref(), Some("alice"));
    assert_eq!(browser.data(Side::Express).await, json!({ "cart": ["tea"] }));
    assert_eq!(browser.get(Side::Express, "/flash/info").await.body, json!(["welcome"]));
    assert!(load(&sessions, &browser).await.belongs_to("grace"));
    let list = sessions.sessions_of("grace").list().await.unwrap();
    assert_eq!(list.len(), 1);
    // A logout at Express is one here as well.
    browser.post(Side::Express, "/destroy").await;
    assert!(sessions.sessions_of("grace").list().await.unwrap().is_empty());
}

/// What `docs/guide/users.md` says under "What does not hold".
async fn express_copies_a_login_past_its_list(servers: Arc<Servers>) {
    let sessions = sessions(&servers).await;
    let browser = browser(&servers, &log_in(&sessions, "joan").await);
    let id = browser.id(Side::Express).await;
    browser.post(Side::Express, "/cycle").await;
    assert_ne!(browser.id(Side::Express).await, id);
    let user = sessions.sessions_of("joan");
    assert!(user.list().await.unwrap().is_empty());
    assert_eq!(user.end_all().await.unwrap(), 0);
    assert!(load(&sessions, &browser).await.belongs_to("joan"), "the end reaches it now: mend the guide");
    // The way out that the guide names.
    browser.delete(Side::Express, "/data/__sessile").await;
    let session = load(&sessions, &browser).await;
    assert!(!session.is_logged_in());
    assert_eq!(session.get::<Value>("cart").unwrap(), Some(json!(["tea"])));
}

sessile_interop::on_each_store! {
    express_copies_a_login_past_its_list
    express_leaves_a_login_alone
    a_login_keeps_the_data_of_express
}
