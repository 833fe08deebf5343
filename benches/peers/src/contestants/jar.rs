//! axum-extra's `SignedCookieJar` alone: the counter is in the cookie, and there is no store behind it.

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use axum_extra::extract::cookie::{Cookie, Key, SignedCookieJar};

use super::secret::SECRET;
use crate::payload::{User, VIEWS, shown};

#[derive(Clone)]
struct State(Key);

impl FromRef<State> for Key {
    fn from_ref(state: &State) -> Self {
        state.0.clone()
    }
}

fn views(jar: &SignedCookieJar) -> Option<u64> {
    jar.get("views").and_then(|cookie| cookie.value().parse().ok())
}

fn cookie(views: u64) -> Cookie<'static> {
    let max_age = time::Duration::days(1);
    Cookie::build(("views", views.to_string())).path("/").http_only(true).max_age(max_age).build()
}

async fn fill(jar: SignedCookieJar) -> (SignedCookieJar, &'static str) {
    (jar.add(cookie(VIEWS)), "filled")
}

async fn read(jar: SignedCookieJar) -> String {
    let views = views(&jar);
    shown(views, views.map(|_| User::ada()))
}

async fn rolling(jar: SignedCookieJar) -> (SignedCookieJar, String) {
    let views = views(&jar);
    (jar.add(cookie(views.unwrap_or(0))), shown(views, views.map(|_| User::ada())))
}

async fn write(jar: SignedCookieJar) -> (SignedCookieJar, String) {
    let views = views(&jar).unwrap_or(0) + 1;
    (jar.add(cookie(views)), views.to_string())
}

async fn plain() -> &'static str {
    "plain"
}

pub fn axum(rolls: bool) -> Router {
    Router::new()
        .route("/fill/{bytes}", get(fill))
        .route("/read", if rolls { get(rolling) } else { get(read) })
        .route("/write", get(write))
        .route("/new", get(write))
        .route("/plain", get(plain))
        .with_state(State(Key::from(SECRET.as_bytes())))
}
