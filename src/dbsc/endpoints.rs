//! The two endpoints: a browser registers the key of its device at one, and proves at the other that it has
//! it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, post};
use serde_json::json;

use crate::config::dbsc::Devices;
use crate::config::event::SessionEventKind;
use crate::config::{ConfigInner, SessionConfig};
use crate::cookie::stamp::Purpose;
use crate::dbsc::proof::{Key, SignedProof, unquoted};
use crate::error::SessionError;
use crate::load::load;
use crate::record::metadata::{Device, to_millis};
use crate::request::RequestLine;
use crate::session::Session;
use crate::session::origin::Origin;
use crate::session::proof::is_within;

/// For how long a browser may take to register after it was asked. It does so at once.
const REGISTER_WITHIN: Duration = Duration::from_secs(5 * 60);
/// For how long the challenge of a refresh is good. The browser keeps it from one refresh to the next.
const REFRESH_WITHIN: Duration = Duration::from_secs(15 * 60);
/// The longest name of a binding that is repeated in an answer, in bytes. Those of this crate have 32.
const MAX_IDENTIFIER: usize = 128;

const RESPONSE: HeaderName = HeaderName::from_static("secure-session-response");
const IDENTIFIER: HeaderName = HeaderName::from_static("sec-secure-session-id");
const CHALLENGE: HeaderName = HeaderName::from_static("secure-session-challenge");

impl SessionConfig {
    /// The two endpoints of device-bound sessions, POST `…/register` and POST `…/refresh` below the path of
    /// [`Dbsc::new`](crate::dbsc::Dbsc::new). Without the option [`dbsc`](crate::SessionConfigBuilder::dbsc)
    /// there are no routes.
    ///
    /// That path is the one that the browser sees, so merge the routes into the outermost router, and not
    /// into one that is nested. Where a proxy takes a part of the path away, mount
    /// [`dbsc_register`](Self::dbsc_register) and [`dbsc_refresh`](Self::dbsc_refresh) under what is
    /// left.
    ///
    /// Neither endpoint may redirect, and middleware that asks for a login must let both of them pass.
    pub fn dbsc_routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let Some(options) = &self.inner().dbsc else { return Router::new() };
        Router::new()
            .route(&options.register, self.dbsc_register())
            .route(&options.refresh, self.dbsc_refresh())
    }

    /// The endpoint at which browsers register, to be mounted by hand: see
    /// [`dbsc_routes`](Self::dbsc_routes). Without the option [`dbsc`](crate::SessionConfigBuilder::dbsc)
    /// it answers 404.
    pub fn dbsc_register<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        let config = self.clone();
        post(async move |parts: Parts| match &config.inner().dbsc {
            Some(options) => register(&config, options, parts).await,
            None => StatusCode::NOT_FOUND.into_response(),
        })
    }

    /// The endpoint at which browsers prove themselves, to be mounted by hand: see
    /// [`dbsc_routes`](Self::dbsc_routes). Without the option [`dbsc`](crate::SessionConfigBuilder::dbsc)
    /// it answers 404.
    pub fn dbsc_refresh<S: Clone + Send + Sync + 'static>(&self) -> MethodRouter<S> {
        let config = self.clone();
        post(async move |parts: Parts| match &config.inner().dbsc {
            Some(options) => refresh(&config, options, parts).await,
            None => StatusCode::NOT_FOUND.into_response(),
        })
    }
}

async fn register(config: &SessionConfig, options: &Devices, parts: Parts) -> Response {
    let session = match session_of(config, &parts).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let device = match registered(config.inner(), options, &session, &parts) {
        Ok(device) => device,
        Err((status, reason)) => return refused_registration(status, reason),
    };
    session.register(device.clone());
    let guard = match session.commit().await {
        Ok(guard) => guard,
        Err(SessionError::Gone) => {
            return refused_registration(StatusCode::UNAUTHORIZED, "the session is over");
        }
        // A 4xx would make the browser forget the binding.
        Err(error) if error.status().is_client_error() => {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        Err(error) => return error.into_response(),
    };
    // Another registration may have been faster, or a login may have come between.
    if session.device().is_none_or(|stored| *stored != device) {
        return refused_registration(StatusCode::UNAUTHORIZED, "another registration was faster");
    }
    let mut response = match bound_response(config.inner(), options, &session, &device) {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    tracing::info!("a session was bound to a device");
    if let Some((id, metadata)) = session.stored_metadata() {
        config.inner().tell(SessionEventKind::DeviceBound, Some(&id), metadata.user.as_deref());
    }
    let attributes = options.set_cookie.attributes(session.inner().transport);
    let excluded = options.excluded.iter();
    let excluded: Vec<_> =
        excluded.map(|path| json!({ "type": "exclude", "domain": "*", "path": path })).collect();
    let instructions = json!({
        "session_identifier": device.id,
        "refresh_url": options.refresh,
        "scope": { "include_site": false, "scope_specification": excluded },
        "credentials": [{ "type": "cookie", "name": options.name, "attributes": attributes }],
    });
    guard.apply(response.headers_mut());
    with_json(response, &instructions)
}

/// The device that a request registers, or why it does not.
fn registered(
    config: &ConfigInner,
    options: &Devices,
    session: &Session,
    parts: &Parts,
) -> Result<Device, (StatusCode, &'static str)> {
    let unauthorized = |reason| (StatusCode::UNAUTHORIZED, reason);
    let malformed = (StatusCode::BAD_REQUEST, "the proof is no JWS of the right type");
    let proof =
        single(&parts.headers, &RESPONSE).ok_or(malformed)?.and_then(SignedProof::read).ok_or(malformed)?;
    let asked = session.device().ok_or_else(|| unauthorized("nobody has asked for a registration"))?;
    if asked.key.is_some() {
        return Err(unauthorized("the session is bound already"));
    }
    let key =
        proof.registered().ok_or_else(|| unauthorized("the signature is not that of the key it brings"))?;
    if !proof.is_for(origin(parts), &options.register) {
        return Err(unauthorized("the proof is for another place"));
    }
    let now = config.clock.now();
    let challenge = Purpose::Register.read(&config.keys().derived, &asked.id, proof.challenge());
    if !challenge.is_some_and(|time| is_within(time, REGISTER_WITHIN, now)) {
        return Err(unauthorized("the challenge is not the session's, or too old"));
    }
    Ok(Device { id: asked.id, key: Some(key.to_text()), at: to_millis(now) })
}

async fn refresh(config: &SessionConfig, options: &Devices, parts: Parts) -> Response {
    let identifier =
        single(&parts.headers, &IDENTIFIER).flatten().and_then(|id| unquoted(id.to_str().ok()?.trim()));
    let is_plain = |id: &&str| (1..=MAX_IDENTIFIER).contains(&id.len()) && id.bytes().all(is_plain);
    let Some(identifier) = identifier.filter(is_plain) else {
        return refused_proof(StatusCode::BAD_REQUEST, "the request names no binding");
    };
    let session = match session_of(config, &parts).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    if session.origin() == Origin::Undecodable {
        // A later version may read the record again. The browser must not forget the binding until then.
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let device = session.device().filter(|device| device.id == identifier);
    let key = device.as_ref().and_then(|device| Key::from_text(device.key.as_ref()?));
    let (Some(device), Some(key)) = (device, key) else { return ended(identifier) };
    let config = config.inner();
    let Some(proof) = single(&parts.headers, &RESPONSE) else {
        return refused_proof(StatusCode::BAD_REQUEST, "there are several proofs");
    };
    let Some(proof) = proof else { return challenged(config, &device) };
    let Some(proof) = SignedProof::read(proof) else {
        return refused_proof(StatusCode::BAD_REQUEST, "the proof is no JWS of the right type");
    };
    if !proof.is_refresh_of(&key) {
        return refused_proof(StatusCode::UNAUTHORIZED, "the signature is not the device's");
    }
    if !proof.is_for(origin(&parts), &options.refresh) {
        return refused_proof(StatusCode::UNAUTHORIZED, "the proof is for another place");
    }
    let challenge = Purpose::Refresh.read(&config.keys().derived, &device.id, proof.challenge());
    if !challenge.is_some_and(|time| is_within(time, REFRESH_WITHIN, config.clock.now())) {
        return challenged(config, &device);
    }
    tracing::debug!("a device has proved itself");
    bound_response(config, options, &session, &device).unwrap_or_else(SessionError::into_response)
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// The session that the request's cookie names. No proof is asked of the request, because it brings one.
async fn session_of(config: &SessionConfig, parts: &Parts) -> Result<Session, Response> {
    let line = config.inner().request_line(&parts.method, &parts.uri, &parts.extensions);
    let line = RequestLine { brings_proof: true, ..line };
    let session = load(config.clone(), &parts.headers, parts.uri.scheme(), line).await;
    session.map_err(axum::response::IntoResponse::into_response)
}

/// The value of a header that stands in the request once, or not at all. `None`: it stands there several
/// times.
fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Option<&'h HeaderValue>> {
    let mut lines = headers.get_all(name).into_iter();
    let first = lines.next();
    lines.next().is_none().then_some(first)
}

/// Where the browser says that it is: its origin, or at least the host.
fn origin(parts: &Parts) -> Option<&str> {
    let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let authority = || parts.uri.authority().map(|authority| authority.as_str());
    header(ORIGIN).filter(|origin| *origin != "null").or_else(|| header(HOST)).or_else(authority)
}

/// The response to a proof: the bound cookie, and the challenge of the next refresh.
fn bound_response(
    config: &ConfigInner,
    options: &Devices,
    session: &Session,
    device: &Device,
) -> Result<Response, SessionError> {
    let now = config.clock.now();
    let value = Purpose::Cookie.stamp(&config.keys().derived, &device.id, to_millis(now));
    let life = Some(options.bound_for);
    let cookie = options.set_cookie.set_value(value.as_bytes(), session.inner().transport, life, now)?;
    let mut response = no_store(StatusCode::OK);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response.headers_mut().insert(CHALLENGE, challenge(config, device)?);
    Ok(response)
}

/// The response that lets the browser sign a new challenge.
fn challenged(config: &ConfigInner, device: &Device) -> Response {
    match challenge(config, device) {
        Err(error) => error.into_response(),
        Ok(challenge) => {
            let mut response = no_store(StatusCode::FORBIDDEN);
            response.headers_mut().insert(CHALLENGE, challenge);
            response
        }
    }
}

fn challenge(config: &ConfigInner, device: &Device) -> Result<HeaderValue, SessionError> {
    let challenge = Purpose::Refresh.stamp(&config.keys().derived, &device.id, to_millis(config.clock.now()));
    let line = format!(r#""{challenge}";id="{}""#, device.id);
    HeaderValue::try_from(line).map_err(|_| SessionError::Cookie)
}

/// The response that lets the browser forget a binding whose session is over, or has another binding since.
/// It is the end that the standard provides; a 401 would do the same and look like an attack in the logs.
fn ended(identifier: &str) -> Response {
    with_json(no_store(StatusCode::OK), &json!({ "session_identifier": identifier, "continue": false }))
}

fn refused_registration(status: StatusCode, reason: &'static str) -> Response {
    tracing::warn!(reason, "the registration of a device was refused");
    no_store(status)
}

fn refused_proof(status: StatusCode, reason: &'static str) -> Response {
    tracing::warn!(reason, "the proof of a device was refused");
    no_store(status)
}

fn no_store(status: StatusCode) -> Response {
    (status, [(CACHE_CONTROL, HeaderValue::from_static("no-store"))]).into_response()
}

fn with_json(mut response: Response, json: &serde_json::Value) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *response.body_mut() = Body::from(json.to_string());
    response
}
