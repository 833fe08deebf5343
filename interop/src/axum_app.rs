//! The axum side: the routes of `node/app.js`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRef, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sessile::{Session, SessionConfig, SessionError, SessionKey};
use tokio::sync::Notify;

/// What passport keeps: the user's id, as `serializeUser` gave it.
const PASSPORT: SessionKey<Passport> = SessionKey::new("passport");

#[derive(Serialize, Deserialize)]
struct Passport {
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<u64>,
}

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    gates: Gates,
}

/// Requests that wait to be let on, by name.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<HashMap<String, Arc<Gate>>>>);

#[derive(Default)]
struct Gate {
    arrived: Notify,
    open: Notify,
}

impl Gates {
    fn of(&self, name: String) -> Arc<Gate> {
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(gates.entry(name).or_default())
    }
}

type Answer = Result<Response, SessionError>;

/// The routes over these sessions.
pub fn router(sessions: SessionConfig) -> Router {
    Router::new()
        .route("/session", get(show))
        .route("/login", post(login))
        .route("/logout", post(regenerate))
        .route("/destroy", post(destroy))
        .route("/regenerate", post(regenerate))
        .route("/cycle", post(cycle))
        .route("/data/{key}", put(write).delete(remove))
        .route("/count/{key}", post(count))
        .route("/slow/{key}/{gate}", put(write_slowly))
        .route("/flash/{kind}", post(push_flash).get(take_flash))
        .route("/max-age", put(max_age))
        .route("/touch", post(touch))
        .route("/gate/{name}/arrived", get(gate_arrived))
        .route("/gate/{name}/open", post(gate_open))
        .with_state(App { sessions, gates: Gates::default() })
}

async fn answer(session: &Session, body: Value) -> Answer {
    Ok((session.commit().await?, Json(body)).into_response())
}

fn id(session: &Session) -> Value {
    json!({ "id": session.id().as_str() })
}

async fn show(session: Session) -> Answer {
    let mut data = Map::new();
    for key in session.keys().into_iter().filter(|key| key != PASSPORT.name()) {
        data.insert(key.clone(), session.get(&key)?.unwrap_or_default());
    }
    let user = PASSPORT.get(&session)?.and_then(|passport| passport.user);
    let user = user.map(|user| if user == 42 { "alice" } else { "somebody" });
    answer(&session, json!({ "id": session.id().as_str(), "user": user, "data": data })).await
}

#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
}

async fn login(session: Session, Json(login): Json<Login>) -> Answer {
    if (&*login.username, &*login.password) != ("alice", "correct horse") {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    session.cycle_id();
    PASSPORT.insert(&session, Passport { user: Some(42) })?;
    answer(&session, id(&session)).await
}

async fn destroy(session: Session) -> Answer {
    session.destroy();
    answer(&session, json!({})).await
}

async fn regenerate(session: Session) -> Answer {
    session.regenerate();
    answer(&session, id(&session)).await
}

async fn cycle(session: Session) -> Answer {
    session.cycle_id();
    answer(&session, id(&session)).await
}

async fn write(Path(key): Path<String>, session: Session, Json(value): Json<Value>) -> Answer {
    session.insert(&key, value)?;
    answer(&session, json!({})).await
}

async fn remove(Path(key): Path<String>, session: Session) -> Answer {
    session.remove::<Value>(&key)?;
    answer(&session, json!({})).await
}

async fn count(Path(key): Path<String>, session: Session) -> Answer {
    let now = session.update(&key, |count: Option<u64>| Some(count.unwrap_or(0) + 1))?;
    answer(&session, json!(now)).await
}

async fn write_slowly(
    Path((key, gate)): Path<(String, String)>,
    State(gates): State<Gates>,
    session: Session,
    Json(value): Json<Value>,
) -> Answer {
    let gate = gates.of(gate);
    gate.arrived.notify_one();
    gate.open.notified().await;
    session.insert(&key, value)?;
    answer(&session, json!({})).await
}

async fn push_flash(Path(kind): Path<String>, session: Session, Json(message): Json<Value>) -> Answer {
    session.flash(&kind, message)?;
    answer(&session, json!({})).await
}

async fn take_flash(Path(kind): Path<String>, session: Session) -> Answer {
    let messages = session.take_flash::<Value>(&kind)?;
    answer(&session, json!(messages)).await
}

async fn max_age(session: Session, Json(millis): Json<Option<u64>>) -> Answer {
    session.set_max_age(millis.map(Duration::from_millis));
    session.insert("remembered", millis)?;
    answer(&session, json!({})).await
}

async fn touch(session: Session) -> Answer {
    session.touch();
    answer(&session, json!({})).await
}

async fn gate_arrived(Path(name): Path<String>, State(gates): State<Gates>) -> Json<Value> {
    gates.of(name).arrived.notified().await;
    Json(json!({}))
}

async fn gate_open(Path(name): Path<String>, State(gates): State<Gates>) -> Json<Value> {
    gates.of(name).open.notify_one();
    Json(json!({}))
}
