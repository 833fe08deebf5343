//! An application, and a browser that keeps cookies and bindings as Chromium does.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRef;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderName, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use sessile::dbsc::{Binding, Dbsc, Missing};
use sessile::testing::{Probe, TestClock};
use sessile::{MemoryStore, Session, SessionConfig, SessionConfigBuilder, SessionError};
use tower::ServiceExt as _;

use crate::device::Device;

pub(crate) const SECRET: &str = "a secret of at least 32 bytes, for tests";
pub(crate) const REGISTER: &str = "/auth/dbsc/register";
pub(crate) const REFRESH: &str = "/auth/dbsc/refresh";
/// After this time a registered session's requests need the proof.
pub(crate) const SETTLED: Duration = Duration::from_secs(11);

#[derive(Clone, FromRef)]
pub(crate) struct App {
    pub(crate) sessions: SessionConfig,
}

pub(crate) struct Site {
    pub(crate) clock: TestClock,
    pub(crate) store: Probe<MemoryStore>,
    pub(crate) sessions: SessionConfig,
    pub(crate) router: Router,
}

pub(crate) fn options() -> Dbsc {
    Dbsc::new("/auth/dbsc")
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::with(options())
    }

    pub(crate) fn when(missing: Missing) -> Self {
        Self::with(options().when_missing(missing))
    }

    pub(crate) fn with(options: Dbsc) -> Self {
        Self::build(|builder| builder.dbsc(options))
    }

    pub(crate) fn build(options: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder) -> Self {
        let clock = TestClock::new();
        let store = Probe::new(MemoryStore::builder().clock(clock.clone()).build());
        let builder = SessionConfig::hardened(SECRET).clock(clock.clone()).store(store.clone());
        let sessions = options(builder).build().unwrap();
        Self { router: routes(&sessions), clock, store, sessions }
    }

    /// The same site after its secrets were changed.
    pub(crate) fn with_secrets(&self, secrets: &[&str]) -> Self {
        let builder = SessionConfig::hardened(secrets).clock(self.clock.clone()).store(self.store.clone());
        let sessions = builder.dbsc(options()).build().unwrap();
        let (clock, store) = (self.clock.clone(), self.store.clone());
        Self { router: routes(&sessions), clock, store, sessions }
    }

    /// A browser that has logged in and registered its device.
    pub(crate) async fn bound(&self) -> Browser {
        let mut browser = Browser::new();
        browser.post(self, "/login", &[]).await;
        assert_eq!(browser.register(self).await.status, StatusCode::OK);
        browser
    }
}

fn routes(sessions: &SessionConfig) -> Router {
    async fn me(session: Session) -> String {
        let binding = match session.binding() {
            Binding::Unbound => "unbound".into(),
            Binding::Pending => "pending".into(),
            Binding::Bound { .. } => "bound".into(),
            Binding::Missing { skipped } => format!("missing {}", skipped.unwrap_or_default()),
            _ => "?".into(),
        };
        format!("{binding}, {}", if session.belongs_to("ada") { "ada" } else { "nobody" })
    }
    async fn log_in(session: Session) -> Result<Response, SessionError> {
        session.log_in("ada")?;
        session.bind_device();
        Ok(session.commit().await?.into_response())
    }
    async fn change(session: Session, what: axum::extract::Path<String>) -> Result<Response, SessionError> {
        match &**what {
            "out" => session.log_out(),
            "write" => session.insert("written", true)?,
            "log_in" => session.log_in("ada")?,
            "log_in_bob" => session.log_in("bob")?,
            "regenerate" => session.regenerate(),
            "cycle" => session.cycle_id(),
            "bind" => session.bind_device(),
            "prove" => return Ok(session.prove_device()),
            other => panic!("{other}"),
        }
        Ok(session.commit().await?.into_response())
    }
    Router::new()
        .route("/me", get(me))
        .route("/login", post(log_in))
        .route("/change/{what}", post(change))
        .merge(sessions.dbsc_routes())
        .with_state(App { sessions: sessions.clone() })
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The lines of `Set-Cookie`.
    pub(crate) fn cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }
}

pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) device: Device,
    /// The challenge of a registration that the server has asked for.
    pub(crate) asked: Option<String>,
    /// The name of the binding, and the challenge of its next refresh.
    pub(crate) binding: Option<String>,
    pub(crate) challenge: Option<String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self { cookies: BTreeMap::new(), device: Device::new(), asked: None, binding: None, challenge: None }
    }

    /// A thief's browser: it has the cookies, and a device of its own.
    pub(crate) fn stolen(&self) -> Self {
        let (asked, binding, challenge) = (self.asked.clone(), self.binding.clone(), self.challenge.clone());
        Self { cookies: self.cookies.clone(), device: Device::new(), asked, binding, challenge }
    }

    pub(crate) async fn me(&mut self, site: &Site) -> String {
        let answer = self.send(site, "GET", "/me", &[]).await;
        if answer.status == StatusCode::OK { answer.body } else { answer.status.as_str().into() }
    }

    pub(crate) async fn post(&mut self, site: &Site, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(site, "POST", path, headers).await
    }

    pub(crate) async fn send(
        &mut self,
        site: &Site,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request.headers_mut().insert(COOKIE, cookies.join("; ").parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let response = site.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        self.receive(&answer);
        answer
    }

    fn receive(&mut self, answer: &Answer) {
        for line in answer.cookies() {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => drop(self.cookies.remove(name)),
                value => drop(self.cookies.insert(name.into(), value.into())),
            }
        }
        if let Some(line) = answer.header("secure-session-registration") {
            assert!(line.starts_with("(ES256 RS256);path=\"/auth/dbsc/register\";challenge=\""), "{line}");
            self.asked = line.split("challenge=").nth(1).map(|text| text.trim_matches('"').to_owned());
        }
        if let Some(line) = answer.header("secure-session-challenge") {
            let (challenge, id) = line.split_once(";id=").unwrap();
            let binding = id.trim_matches('"');
            assert!(self.binding.as_deref().is_none_or(|own| own == binding));
            self.challenge = Some(challenge.trim_matches('"').into());
        }
    }

    /// Registers the device, as Chromium does.
    pub(crate) async fn register(&mut self, site: &Site) -> Answer {
        let proof = self.device.registration(self.asked.as_deref().expect("the server has asked"));
        self.binding = None;
        let answer = self.post(site, REGISTER, &[("secure-session-response", &proof)]).await;
        if answer.status == StatusCode::OK {
            self.binding = answer.json()["session_identifier"].as_str().map(str::to_owned);
        }
        answer
    }

    /// Refreshes with this proof.
    pub(crate) async fn refresh_with(&mut self, site: &Site, proof: Option<&str>) -> Answer {
        let binding = self.binding.clone().expect("the device is registered");
        let mut headers = vec![("sec-secure-session-id", &*binding)];
        headers.extend(proof.map(|proof| ("secure-session-response", proof)));
        self.post(site, REFRESH, &headers).await
    }

    /// Refreshes with the challenge that the server has sent last.
    pub(crate) async fn refresh(&mut self, site: &Site) -> Answer {
        let proof = self.device.refresh(self.challenge.as_deref().expect("the server has sent a challenge"));
        self.refresh_with(site, Some(&proof)).await
    }
}
