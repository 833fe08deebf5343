//! What is believed of a proxy (S30 to S36). The cookie is Secure.

use sessile::{Secure, SessionConfigBuilder};

use crate::common::{TestClient, TestResponse};
use crate::site::{Site, hello, options};

/// A first visit, with these headers.
async fn visit(
    options: SessionConfigBuilder,
    headers: &[(&'static str, &'static str)],
) -> (Site, TestResponse) {
    visit_at(options, headers, "/").await
}

async fn visit_at(
    options: SessionConfigBuilder,
    headers: &[(&'static str, &'static str)],
    uri: &str,
) -> (Site, TestResponse) {
    let site = Site::new(options, hello);
    let mut client = TestClient::new();
    for (name, value) in headers {
        client = client.header(name, value);
    }
    let answer = site.get(&mut client, uri).await;
    assert_eq!(answer.status, 200);
    (site, answer)
}

fn secure_behind_proxy() -> SessionConfigBuilder {
    options().secure(true).trust_proxy(true)
}

const HTTPS: (&str, &str) = ("x-forwarded-proto", "https");

/// `proxy: true`, `X-Forwarded-Proto: https`: a cookie.
#[tokio::test]
async fn s30_a_trusted_proxy_that_says_https_gets_the_cookie_through() {
    let (_, answer) = visit(secure_behind_proxy(), &[HTTPS]).await;
    assert!(answer.cookie().unwrap().has("Secure"));
}

/// `https,http`: the first item counts.
#[tokio::test]
async fn s31_the_first_item_of_the_header_counts() {
    let (_, answer) = visit(secure_behind_proxy(), &[("x-forwarded-proto", "https,http")]).await;
    assert!(answer.cookie().unwrap().has("Secure"));
    let (site, answer) = visit(secure_behind_proxy(), &[("x-forwarded-proto", "http,https")]).await;
    assert!(answer.cookie().is_none());
    assert_eq!(site.store.len(), 0, "no orphan record");
}

/// `proxy: true` and no header: the answer is a 200.
///
/// Differs: the cookie is sent, `Secure`. A proxy that says nothing is no proof of plain http, and a browser
/// on plain http drops the cookie by itself.
#[tokio::test]
async fn s32_a_trusted_proxy_that_says_nothing() {
    let (_, answer) = visit(secure_behind_proxy(), &[]).await;
    assert!(answer.cookie().unwrap().has("Secure"));
    let (_, answer) = visit(options().secure(Secure::Auto).trust_proxy(true), &[]).await;
    assert!(!answer.cookie().unwrap().has("Secure"));
}

/// `proxy: false`: `X-Forwarded-Proto` has no say.
///
/// Differs: `secure(true)` sends the cookie whatever the request says; what shows that the header is not
/// believed is `Secure::Auto`.
#[tokio::test]
async fn s33_without_trust_the_header_has_no_say() {
    let off = || options().trust_proxy(false);
    let (_, answer) = visit(off().secure(Secure::Auto), &[HTTPS]).await;
    assert!(!answer.cookie().unwrap().has("Secure"));
    let (site, answer) = visit(off().secure(true), &[("x-forwarded-proto", "http")]).await;
    assert!(answer.cookie().unwrap().has("Secure"));
    assert_eq!(site.store.len(), 1);
}

/// `proxy: false`: nor does anything else that somebody says about the request (`req.secure`).
///
/// Differs: there is no `req.secure` that a router could set; the other headers proxies send are not read.
#[tokio::test]
async fn s34_without_trust_no_other_header_has_a_say() {
    for header in [
        ("forwarded", "proto=https"),
        ("x-forwarded-ssl", "on"),
        ("x-forwarded-scheme", "https"),
        ("front-end-https", "on"),
    ] {
        let (_, answer) = visit(options().secure(Secure::Auto).trust_proxy(false), &[header]).await;
        assert!(!answer.cookie().unwrap().has("Secure"), "{header:?}");
    }
}

/// `proxy` unset: `X-Forwarded-Proto` has no say.
#[tokio::test]
async fn s35_by_default_the_header_has_no_say() {
    let (_, answer) = visit(options().secure(Secure::Auto), &[HTTPS]).await;
    assert!(!answer.cookie().unwrap().has("Secure"));
}

/// `proxy` unset: what the server knows of the connection (`req.secure`) counts.
///
/// Differs: it is the scheme of the request's URI, which HTTP/2 and requests in absolute form carry.
#[tokio::test]
async fn s36_by_default_the_requests_own_scheme_counts() {
    let auto = || options().secure(Secure::Auto);
    let (_, answer) = visit_at(auto(), &[], "https://example.com/").await;
    assert!(answer.cookie().unwrap().has("Secure"));
    let (_, answer) = visit_at(auto(), &[], "http://example.com/").await;
    assert!(!answer.cookie().unwrap().has("Secure"));
}
