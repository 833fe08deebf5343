//! The kinds of request that are measured, each over a session of 1 KiB in ten keys, and each beside the same
//! request to a handler that knows no sessions.

#![allow(dead_code, reason = "every bench uses a part of this module")]

use std::fmt;
use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use sessile::{
    Session, SessionConfig, SessionConfigBuilder, SessionError, SessionGuard, SessionKey, SessionLayer,
    SessionStore,
};
use tower::ServiceExt as _;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Reads a number and a struct.
    Read,
    /// The same, and returns the guard.
    ReadCommit,
    /// Counts, and commits.
    Write,
    /// Reads, and commits with `rolling`.
    Rolling,
    /// Comes without a cookie, puts in one key, and commits.
    New,
    /// Comes with a cookie that nobody signed, and reads.
    Forged,
    /// Asks for no session, under the layer.
    Layer,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::Read, Self::ReadCommit, Self::Write, Self::Rolling, Self::New, Self::Forged, Self::Layer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::ReadCommit => "read-commit",
            Self::Write => "write",
            Self::Rolling => "rolling",
            Self::New => "new",
            Self::Forged => "forged",
            Self::Layer => "layer",
        }
    }

    fn options(self) -> SessionConfigBuilder {
        let builder = SessionConfig::builder("a secret of at least 32 bytes, for benches");
        match self {
            Self::Rolling => builder.rolling(true),
            Self::Layer => builder.save_uninitialized(false),
            _ => builder,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A request of one kind, and the app it goes to.
#[derive(Clone)]
pub(crate) struct Case {
    app: Router,
    headers: HeaderMap,
}

impl Case {
    pub(crate) async fn new(kind: Kind, store: impl SessionStore) -> Self {
        let config = kind.options().store(store).build().expect("the options hold");
        let app = App { sessions: config.clone() };
        let app = match kind {
            Kind::Read | Kind::Forged => Router::new().route("/", get(read)).with_state(app),
            Kind::ReadCommit | Kind::Rolling => Router::new().route("/", get(read_commit)).with_state(app),
            Kind::Write => Router::new().route("/", get(write)).with_state(app),
            Kind::New => Router::new().route("/", get(new)).with_state(app),
            Kind::Layer => Router::new().route("/", get(bare)).layer(SessionLayer::new(config.clone())),
        };
        let cookie = match kind {
            Kind::Read | Kind::ReadCommit | Kind::Write | Kind::Rolling => {
                Some(config.sign(&seed(&config).await.id()))
            }
            Kind::Forged => {
                let mut value = config.sign(&sessile::SessionId::random());
                // The id's first character, behind `s%3A`.
                value.replace_range(4..5, if value[4..].starts_with('0') { "1" } else { "0" });
                Some(value)
            }
            Kind::New | Kind::Layer => None,
        };
        let mut headers = HeaderMap::new();
        if let Some(value) = cookie {
            let line = format!("theme=dark; connect.sid={value}");
            headers.insert(COOKIE, HeaderValue::try_from(line).expect("a signed value is a header value"));
        }
        let case = Self { app, headers };
        case.check(kind).await;
        case
    }

    /// A kind that does not do its work would be measured all the same.
    async fn check(&self, kind: Kind) {
        let response = self.send().await;
        assert!(response.status().is_success(), "{kind}: {}", response.status());
        let sets = response.headers().contains_key("set-cookie");
        assert_eq!(sets, matches!(kind, Kind::Write | Kind::Rolling | Kind::New), "{kind}: the cookie");
    }

    /// The same request to a handler that knows no sessions.
    pub(crate) fn bare(&self) -> Self {
        Self { app: Router::new().route("/", get(bare)), headers: self.headers.clone() }
    }

    pub(crate) async fn send(&self) -> Response<Body> {
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = self.headers.clone();
        let answer = self.app.clone().oneshot(request).await;
        answer.unwrap_or_else(|never| match never {})
    }
}

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

#[derive(Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    admin: bool,
}

pub(crate) const VIEWS: SessionKey<u64> = SessionKey::new("views");
const USER: SessionKey<User> = SessionKey::new("user");

async fn bare() -> &'static str {
    "ok"
}

fn reads(session: &Session) -> Result<(), SessionError> {
    black_box(VIEWS.get(session)?);
    black_box(USER.get(session)?.map(|user| (user.id, user.name, user.admin)));
    Ok(())
}

async fn read(session: Session) -> Result<&'static str, SessionError> {
    reads(&session)?;
    Ok("ok")
}

async fn read_commit(session: Session) -> Result<(SessionGuard, &'static str), SessionError> {
    reads(&session)?;
    Ok((session.commit().await?, "ok"))
}

async fn write(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = VIEWS.get(&session)?.unwrap_or(0);
    VIEWS.insert(&session, views + 1)?;
    Ok((session.commit().await?, "ok"))
}

async fn new(session: Session) -> Result<impl IntoResponse, SessionError> {
    VIEWS.insert(&session, 1)?;
    Ok((session.commit().await?, "ok"))
}

/// Stores a session whose data is 1,024 bytes of JSON in ten keys.
async fn seed(config: &SessionConfig) -> Session {
    let session = config.session_from_headers(&HeaderMap::new()).await.expect("nothing is loaded");
    fill(&session).expect("every value is JSON");
    session.commit().await.map(drop).expect("the store takes it");
    session
}

pub(crate) fn fill(session: &Session) -> Result<(), SessionError> {
    for n in 0..4 {
        session.insert(&format!("filler-{n}"), "x".repeat(104))?;
    }
    VIEWS.insert(session, 1_000_000)?;
    USER.insert(session, User { id: 42, name: "Ada Lovelace".into(), admin: false })?;
    for n in 4..8 {
        session.insert(&format!("filler-{n}"), "x".repeat(104))?;
    }
    Ok(())
}
