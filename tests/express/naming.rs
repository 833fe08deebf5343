//! Ids and names: `genid` (S60 to S64), `key` and `name` (S65 to S68).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use sessile::{SessionConfigBuilder, SessionId, SessionOptions};

use crate::common::{TestClient, id};
use crate::site::{Site, count, hello, options};

fn from_file(json: &str) -> Result<SessionOptions, serde_json::Error> {
    serde_json::from_str(json)
}

/// `genid` that is no function is an error.
///
/// Differs: the compiler says so; in a file of options there is no `genid` at all.
#[test]
fn s60_genid_is_a_function() {
    let error = from_file(r#"{"secret": "keyboard cat", "genid": "apple"}"#).unwrap_err();
    assert!(error.to_string().contains("genid"), "{error}");
}

/// The default generator works: a new id for each session.
#[tokio::test]
async fn s61_the_default_generator_works() {
    let site = Site::new(options(), hello);
    let mut ids = Vec::new();
    for _ in 0..100 {
        let id = site.id(&site.first("/").await.cookie().unwrap());
        assert_eq!(id.as_str().len(), 36);
        assert!(!ids.contains(&id));
        ids.push(id);
    }
}

/// The cookie's value of a first visit where `genid` gives this id.
async fn value(of: &'static str) -> String {
    let site = Site::new(options().genid(move || id(of)), hello);
    site.first("/").await.cookie().unwrap().value
}

/// `apple` becomes exactly this cookie.
#[tokio::test]
async fn s62_apple_is_signed_as_express_signs_it() {
    assert_eq!(value("apple").await, "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU");
}

/// `%` becomes exactly this cookie.
#[tokio::test]
async fn s63_a_percent_sign_is_encoded_as_express_encodes_it() {
    assert_eq!(value("%").await, "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g");
}

/// `genid` makes an id out of the request: for `/foo` it becomes exactly this cookie.
///
/// Differs: it gets no request, because an id is to be a secret and nothing a visitor may choose. What it
/// gives is taken all the same, once for each new session.
#[tokio::test]
async fn s64_genid_is_asked_once_for_each_new_session() {
    assert_eq!(value("/foo").await, "s%3A%2Ffoo.paEKBtAHbV5s1IB8B2zPnzAgYmmnRPIqObW4VRYj%2FMQ");
    let asked = Arc::new(AtomicU32::new(0));
    let minted = Arc::clone(&asked);
    let genid = move || SessionId::new(format!("id-{}", minted.fetch_add(1, Ordering::Relaxed))).unwrap();
    let site = Site::new(options().genid(genid), count);
    let mut client = TestClient::new();
    for _ in 0..3 {
        site.get(&mut client, "/").await;
    }
    site.first("/").await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}

/// The name of the cookie that a first visit gets, and that the next one is known by.
async fn name(options: SessionConfigBuilder) -> String {
    let site = Site::new(options, count);
    let mut client = TestClient::new();
    let name = site.get(&mut client, "/").await.cookie().unwrap().name;
    assert_eq!(site.get(&mut client, "/").await.body, "2");
    name
}

/// `key` is the older word for `name`; without it the cookie is `connect.sid`.
#[tokio::test]
async fn s65_without_key_the_cookie_is_connect_sid() {
    let options = from_file(r#"{"secret": "keyboard cat"}"#).unwrap();
    assert_eq!(name(options.into_builder()).await, "connect.sid");
}

/// `key` names the cookie.
///
/// Differs: it is known in a file of options alone; the builder has `name`.
#[tokio::test]
async fn s66_key_names_the_cookie() {
    let options = from_file(r#"{"secret": "keyboard cat", "key": "session_id"}"#).unwrap();
    assert_eq!(name(options.into_builder()).await, "session_id");
}

/// Without `name` the cookie is `connect.sid`.
#[tokio::test]
async fn s67_without_name_the_cookie_is_connect_sid() {
    assert_eq!(name(options()).await, "connect.sid");
}

/// `name` names the cookie.
#[tokio::test]
async fn s68_name_names_the_cookie() {
    assert_eq!(name(options().name("session_id")).await, "session_id");
    let options = from_file(r#"{"secret": "keyboard cat", "name": "session_id"}"#).unwrap();
    assert_eq!(name(options.into_builder()).await, "session_id");
}
