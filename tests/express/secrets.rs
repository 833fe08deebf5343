//! `secret` (S86 to S91).

use sessile::{ConfigError, Secrets, SessionConfig};
use uuid::Uuid;

use crate::common::{SetCookie, TestClient};
use crate::site::{count, layered};

/// A first visit and a second one, both answered; the cookie of the first.
async fn signs_and_verifies(secrets: impl Into<Secrets>) -> SetCookie {
    let config = SessionConfig::new(secrets).unwrap();
    let app = layered(&config, count);
    let mut client = TestClient::new();
    let cookie = client.get(&app, "/").await.cookie().unwrap();
    assert_eq!(client.get(&app, "/").await.body, "2");
    cookie
}

/// An empty list of secrets is an error.
#[test]
fn s86_no_secrets_are_an_error() {
    let none: Vec<String> = Vec::new();
    assert_eq!(SessionConfig::new(none).unwrap_err(), ConfigError::NoSecret);
}

/// A string signs and verifies.
#[tokio::test]
async fn s87_a_string_signs_and_verifies() {
    signs_and_verifies("keyboard cat").await;
}

/// 32 random bytes sign and verify.
#[tokio::test]
async fn s88_random_bytes_sign_and_verify() {
    let secret = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
    signs_and_verifies(secret).await;
}

/// With a list of secrets the cookie is signed.
#[tokio::test]
async fn s89_a_list_signs() {
    let cookie = signs_and_verifies(["keyboard cat", "nyan cat"]).await;
    assert!(cookie.value.starts_with("s%3A"));
    assert!(SessionConfig::new("dog").unwrap().verify(&cookie.value).is_none());
}

/// The first of them signs: a server that knows the second alone sees no session.
#[tokio::test]
async fn s90_the_first_of_a_list_signs() {
    let cookie = signs_and_verifies(["keyboard cat", "nyan cat"]).await;
    assert!(SessionConfig::new("keyboard cat").unwrap().verify(&cookie.value).is_some());
    assert!(SessionConfig::new("nyan cat").unwrap().verify(&cookie.value).is_none());
}

/// Any of them verifies.
///
/// Differs: a cookie under an old secret is signed anew at once, not only when one is due anyway.
#[tokio::test]
async fn s91_each_of_a_list_verifies() {
    let store = sessile::MemoryStore::new();
    let config = |secrets: &[&str]| SessionConfig::builder(secrets).store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    assert_eq!(client.get(&layered(&config(&["nyan cat"]), count), "/").await.body, "1");
    let both = config(&["keyboard cat", "nyan cat"]);
    assert_eq!(client.get(&layered(&both, count), "/").await.body, "2");
    assert_eq!(client.get(&layered(&config(&["keyboard cat"]), count), "/").await.body, "3");
}
