//! What a bound cookie costs a request.

use std::time::{Duration, Instant};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use sessile::dbsc::Binding;

use crate::browser::Site;

/// What the proof of its device costs a request of a bound session, beside the same request to an app that does
/// not look at it:
/// `cargo test --release --features dbsc,testing --test dbsc price -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn price_of_a_bound_cookie() {
    const CALLS: u32 = 20_000;
    let (site, plain) = sites().await;
    let headers = headers(&site).await;
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..40 {
        for (site, fastest) in [&site, &plain].into_iter().zip(&mut fastest) {
            let began = Instant::now();
            for _ in 0..CALLS {
                load(site, &headers).await;
            }
            *fastest = (*fastest).min(began.elapsed() / CALLS);
        }
    }
    let [bound, plain] = fastest;
    println!("a request of a bound session: {bound:?}, without a look at the proof {plain:?}");
}

/// A site, and one over the same store that has the option off.
pub(crate) async fn sites() -> (Site, Site) {
    let site = Site::new();
    let mut plain = Site::build(|builder| builder.store(site.store.clone()).clock(site.clock.clone()));
    plain.clock = site.clock.clone();
    (site, plain)
}

/// The headers of a browser that is bound.
pub(crate) async fn headers(site: &Site) -> HeaderMap {
    let browser = site.bound().await;
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookies.join("; ")).unwrap())]);
    let session = site.sessions.session_from_headers(&headers).await.unwrap();
    assert!(matches!(session.binding(), Binding::Bound { .. }));
    headers
}

pub(crate) async fn load(site: &Site, headers: &HeaderMap) {
    let session = site.sessions.session_from_headers(headers).await.unwrap();
    assert!(session.belongs_to("ada"));
}
