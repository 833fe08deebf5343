//! `cookie.secure` and `cookie.sameSite` that follow the request (S43 to S46, S49 to S59), and cookies that
//! follow it in any other way (S47, S48).

use axum::http::HeaderMap;
use sessile::{ConfigError, SameSite, Secure, Session, SessionConfig, SessionConfigBuilder, SessionOptions};

use crate::common::{SetCookie, TestClient, TestResponse, router};
use crate::site::{Site, count, hello, options, stored_cookie};

const HTTP: &str = "http://example.com/";
const HTTPS: &str = "https://example.com/";

async fn visit(options: SessionConfigBuilder, uri: &str, said: Option<&'static str>) -> TestResponse {
    let client = TestClient::new();
    let mut client = match said {
        Some(said) => client.header("x-forwarded-proto", said),
        None => client,
    };
    Site::new(options, hello).get(&mut client, uri).await
}

/// `Secure` and `SameSite` of the cookie that a first visit gets.
async fn cookie(options: SessionConfigBuilder, uri: &str, said: Option<&'static str>) -> (bool, String) {
    let cookie = visit(options, uri, said).await.cookie().unwrap();
    (cookie.has("Secure"), cookie.attribute("SameSite").unwrap_or_default().to_owned())
}

fn auto() -> SessionConfigBuilder {
    options().secure(Secure::Auto)
}

/// `secure: 'auto'`, `proxy: true`, `X-Forwarded-Proto: https`: Secure.
#[tokio::test]
async fn s43_auto_behind_a_trusted_proxy_with_https_is_secure() {
    assert!(cookie(auto().trust_proxy(true), HTTP, Some("https")).await.0);
}

/// `proxy: false`, `X-Forwarded-Proto: https`: a cookie without Secure.
#[tokio::test]
async fn s44_auto_behind_an_untrusted_proxy_is_not_secure() {
    assert!(!cookie(auto().trust_proxy(false), HTTP, Some("https")).await.0);
}

/// `proxy` unset, the request came over https: Secure.
#[tokio::test]
async fn s45_auto_over_https_is_secure() {
    assert!(cookie(auto(), HTTPS, None).await.0);
}

/// `proxy` unset, the request came over http: without Secure.
#[tokio::test]
async fn s46_auto_over_http_is_not_secure() {
    assert!(!cookie(auto(), HTTP, None).await.0);
}

/// A cookie configured by a function: its path, its `httpOnly` and its `secure: false` hold.
///
/// Differs: there is no function; requests that want another cookie get another `SessionConfig`, over the
/// same store.
#[tokio::test]
async fn s47_each_request_can_have_a_configuration_of_its_own() {
    let site = Site::new(options().path("/admin").http_only(false).secure(false), hello);
    let other = options().path("/shop").store(site.store.clone()).build().unwrap();
    let cookie = site.first("/admin").await.cookie().unwrap();
    assert_eq!(cookie.attribute("Path"), Some("/admin"));
    assert!(!cookie.has("HttpOnly") && !cookie.has("Secure"));
    let other = crate::site::layered(&other, hello);
    let cookie = TestClient::new().get(&other, "/shop").await.cookie().unwrap();
    assert_eq!((cookie.attribute("Path"), cookie.has("HttpOnly")), (Some("/shop"), true));
    assert_eq!(site.store.len(), 2);
}

/// The function receives the request.
///
/// Differs: the handler, or a middleware, makes the configuration from the request and opens the session with
/// it.
#[tokio::test]
async fn s48_a_configuration_can_be_made_from_the_request() {
    let base = options().build().unwrap();
    let app = router(&base, async |uri: axum::http::Uri, headers: HeaderMap| {
        let config = options().path(uri.path()).build().unwrap();
        let session: Session = config.session_from_headers(&headers).await.unwrap();
        session.commit().await
    });
    for path in ["/foo", "/bar/baz"] {
        let cookie = TestClient::new().get(&app, path).await.cookie().unwrap();
        assert_eq!(cookie.attribute("Path"), Some(path));
    }
}

fn cross_site() -> SessionConfigBuilder {
    auto().same_site_auto()
}

/// What Express has no objection to: `SameSite=None` without Secure, which every browser drops.
fn refused_without_secure() {
    assert_eq!(options().same_site_auto().build().unwrap_err(), ConfigError::SameSite);
    assert_eq!(options().same_site_auto().secure(false).build().unwrap_err(), ConfigError::SameSite);
}

/// `sameSite: 'auto'` over https: `None`.
///
/// Differs: with `secure` off it is refused at start, because browsers drop a `SameSite=None` cookie that is
/// not Secure.
#[tokio::test]
async fn s49_same_site_auto_over_https_is_none() {
    refused_without_secure();
    assert_eq!(cookie(cross_site(), HTTPS, None).await.1, "None");
    let options: SessionOptions = serde_json::from_str(
        r#"{"secret": "keyboard cat", "cookie": {"secure": "auto", "sameSite": "auto"}}"#,
    )
    .unwrap();
    assert_eq!(cookie(options.into_builder(), HTTPS, None).await, (true, "None".into()));
}

/// Over http: `Lax`.
#[tokio::test]
async fn s50_same_site_auto_over_http_is_lax() {
    assert_eq!(cookie(cross_site(), HTTP, None).await.1, "Lax");
}

/// `proxy: true`, `X-Forwarded-Proto: https`: `None`.
#[tokio::test]
async fn s51_same_site_auto_behind_a_trusted_proxy_with_https_is_none() {
    assert_eq!(cookie(cross_site().trust_proxy(true), HTTP, Some("https")).await.1, "None");
}

/// `proxy: true`, `X-Forwarded-Proto: http`: `Lax`.
#[tokio::test]
async fn s52_same_site_auto_behind_a_trusted_proxy_with_http_is_lax() {
    assert_eq!(cookie(cross_site().trust_proxy(true), HTTP, Some("http")).await.1, "Lax");
}

/// `proxy: false`, `X-Forwarded-Proto: https`: `Lax`.
#[tokio::test]
async fn s53_same_site_auto_behind_an_untrusted_proxy_is_lax() {
    assert_eq!(cookie(cross_site().trust_proxy(false), HTTP, Some("https")).await.1, "Lax");
}

/// With `secure: 'auto'`, over https: Secure and `None`; stored as resolved.
#[tokio::test]
async fn s54_both_auto_over_https_are_secure_and_none() {
    let site = Site::new(cross_site(), hello);
    let cookie = site.first(HTTPS).await.cookie().unwrap();
    assert!(cookie.has("Secure"));
    assert_eq!(cookie.attribute("SameSite"), Some("None"));
    assert_eq!(stored(&site, &cookie).await, (true, "none".into()));
}

/// With `secure: 'auto'`, over http: no Secure, and `Lax`; stored as resolved.
#[tokio::test]
async fn s55_both_auto_over_http_are_not_secure_and_lax() {
    let site = Site::new(cross_site(), hello);
    let cookie = site.first(HTTP).await.cookie().unwrap();
    assert!(!cookie.has("Secure"));
    assert_eq!(cookie.attribute("SameSite"), Some("Lax"));
    assert_eq!(stored(&site, &cookie).await, (false, "lax".into()));
}

async fn stored(site: &Site, cookie: &SetCookie) -> (bool, String) {
    let stored = stored_cookie(&site.store.text(&site.id(cookie)).await.unwrap());
    (stored["secure"].as_bool().unwrap(), stored["sameSite"].as_str().unwrap().to_owned())
}

/// With `secure: false`, over https.
///
/// Differs: refused at start, see S49; `Lax` is what such a site can have.
#[tokio::test]
async fn s56_same_site_auto_without_secure_over_https() {
    refused_without_secure();
    assert_eq!(
        cookie(options().secure(false).same_site(SameSite::Lax), HTTPS, None).await,
        (false, "Lax".into())
    );
}

/// With `secure: false`, over http: no Secure, and `Lax`.
///
/// Differs: refused at start, see S49; `Lax` is what such a site can have.
#[tokio::test]
async fn s57_same_site_auto_without_secure_over_http() {
    refused_without_secure();
    assert_eq!(
        cookie(options().secure(false).same_site(SameSite::Lax), HTTP, None).await,
        (false, "Lax".into())
    );
}

/// With `secure: true`, over https: Secure and `None`.
#[tokio::test]
async fn s58_same_site_auto_with_secure_over_https_is_none() {
    assert_eq!(cookie(options().secure(true).same_site_auto(), HTTPS, None).await, (true, "None".into()));
}

/// With `secure: true`, over http: no cookie.
///
/// Differs: that it is http has to be known, from a trusted proxy. Without one the cookie is sent, Secure and
/// `Lax`.
#[tokio::test]
async fn s59_same_site_auto_with_secure_over_http_is_not_sent() {
    let secure = || options().secure(true).same_site_auto();
    assert!(visit(secure().trust_proxy(true), HTTP, Some("http")).await.cookie().is_none());
    assert_eq!(cookie(secure(), HTTP, None).await, (true, "Lax".into()));
}

/// `destroy` expires the cookie under the attributes it was set with.
#[tokio::test]
async fn an_expired_cookie_has_the_same_attributes() {
    let config: SessionConfig = cross_site().build().unwrap();
    let app = crate::site::layered(&config, count);
    let leave = crate::site::layered(&config, async |session: Session| session.destroy());
    let mut client = TestClient::new();
    client.get(&app, HTTPS).await;
    let cookie = client.get(&leave, HTTPS).await.cookie().unwrap();
    assert_eq!((cookie.has("Secure"), cookie.attribute("SameSite")), (true, Some("None")));
    assert_eq!(cookie.attribute("Max-Age"), Some("0"));
}
