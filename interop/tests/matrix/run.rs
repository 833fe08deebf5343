//! Runs one cell through `SessionLayer`.
//!
//! Express extends a session's life at the end of a request that writes nothing. Here that is done when the
//! session is loaded, at most once in `touch_after`. So each cell is run twice, once with
//! `touch_after(Duration::ZERO)`, where the touch is due on every request, and once with an hour, where it
//! never is. Apart from that touch both must come to the same; the touch counts as the request's own where
//! nothing else was written.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::FromRef;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use serde_json::Value;
use sessile::{
    MemoryStore, Record, Replaced, Session, SessionConfig, SessionError, SessionId, SessionLayer,
    SessionStore, StoreError, Stored, Version,
};
use tower::ServiceExt as _;

use crate::cell::{Action, Cell, Cookie, Outcome};

const SECRETS: [&str; 2] = ["the new secret, of 32 bytes or more", "the old secret, of 32 bytes or more"];
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(cell: Cell) -> Outcome {
    let due = once(cell, Duration::ZERO).await;
    let fresh = once(cell, Duration::from_secs(3600)).await;
    // Where `rolling` has the commit extend the life, loading does not.
    let at_load = if cell.visitor.stored() && !cell.options.rolling { "T" } else { "" };
    assert_eq!(due.at_load, at_load, "{cell:?}: calls at load, a touch being due");
    assert_eq!(fresh.at_load, "", "{cell:?}: calls at load, no touch being due");
    assert_eq!(due.outcome, fresh.outcome, "{cell:?}: what the touch at load changes");
    let mut outcome = fresh.outcome;
    if outcome.calls.is_empty() {
        outcome.calls = due.at_load;
    }
    outcome
}

struct Observed {
    at_load: String,
    outcome: Outcome,
}

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    store: Recorder,
}

async fn once(cell: Cell, touch_after: Duration) -> Observed {
    let store = Recorder::default();
    let config = config(cell, touch_after, &store);
    if cell.visitor.stored() {
        let life = if cell.options.max_age { MINUTE } else { DAY };
        store.sessions.set(&known(), &record(cell, r#","n":1,"m":1"#), life).await.unwrap();
    }
    let action = cell.action;
    let handler = async move |session: Session, store: axum::extract::State<Recorder>| {
        store.loaded();
        act(action, session, &store).await
    };
    let mut app = Router::new().route("/", get(handler));
    // The nearest thing to `req.session = null`: a route whose session nobody commits.
    if action != Action::NullKeep {
        app = app.layer(SessionLayer::new(config.clone()));
    }
    let app = app.with_state(App { sessions: config.clone(), store: store.clone() });

    let mut request = Request::get("/");
    if let Some(value) = cookie(cell) {
        request = request.header(COOKIE, format!("connect.sid={value}"));
    }
    if action.over_http() {
        request = request.header("x-forwarded-proto", "http");
    }
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    to_bytes(body, usize::MAX).await.unwrap();

    let lines: Vec<_> = head.headers.get_all(SET_COOKIE).iter().collect();
    assert!(lines.len() < 2, "{cell:?}: {lines:?}");
    let cookie = lines.first().map_or(Cookie::None, |line| {
        let value = line.to_str().unwrap().strip_prefix("connect.sid=").unwrap().split(';').next().unwrap();
        match config.verify(value) {
            None => Cookie::Expired,
            Some(id) if id == known() => Cookie::Same,
            Some(_) => Cookie::New,
        }
    });
    let mut records = Vec::new();
    for id in store.sessions.all_ids() {
        let text = store.sessions.get(&id).await.unwrap().unwrap().record;
        let mut data: Value = serde_json::from_str(text.as_json()).unwrap();
        data.as_object_mut().unwrap().remove("cookie").unwrap();
        records.push(data);
    }
    let calls = std::mem::take(&mut *store.calls.lock().unwrap());
    // Every handler extracts the session, so the mark is there.
    let (at_load, calls) = calls.split_once('|').unwrap();
    let outcome = Outcome { status: head.status.as_u16(), calls: calls.into(), cookie, records };
    Observed { at_load: at_load.into(), outcome }
}

fn config(cell: Cell, touch_after: Duration, store: &Recorder) -> SessionConfig {
    let options = cell.options;
    let builder = SessionConfig::builder(SECRETS)
        .resave(options.resave)
        .rolling(options.rolling)
        .save_uninitialized(options.save_uninitialized)
        .secure(cell.action.over_http())
        .trust_proxy(cell.action.over_http())
        .touch_after(touch_after)
        .store(store.clone());
    let builder = if options.max_age { builder.max_age(MINUTE) } else { builder.browser_session() };
    builder.build().unwrap()
}

fn known() -> SessionId {
    SessionId::new("known").unwrap()
}

fn cookie(cell: Cell) -> Option<String> {
    use crate::cell::Visitor;
    let (id, secret) = match cell.visitor {
        Visitor::New => return None,
        Visitor::Unknown => ("unknown", SECRETS[0]),
        Visitor::Existing => ("known", SECRETS[0]),
        Visitor::OldSecret => ("known", SECRETS[1]),
    };
    Some(SessionConfig::new(secret).unwrap().sign(&SessionId::new(id).unwrap()))
}

/// A record of these options, with more members.
fn record(cell: Cell, members: &str) -> Record {
    let (age, expires) = match cell.options.max_age {
        true => ("60000", r#""2099-01-01T00:00:00.000Z""#),
        false => ("null", "null"),
    };
    let secure = if cell.action.over_http() { r#","secure":true"# } else { "" };
    let cookie =
        format!(r#"{{"originalMaxAge":{age},"expires":{expires}{secure},"httpOnly":true,"path":"/"}}"#);
    Record::from_json(format!(r#"{{"cookie":{cookie}{members}}}"#)).unwrap()
}

async fn act(action: Action, session: Session, store: &Recorder) -> Result<Response, SessionError> {
    let elsewhere = store.sessions.clone();
    match action {
        Action::Read | Action::NullKeep | Action::HttpRead => drop(session.get::<u8>("n")?),
        Action::SameValue => session.insert("n", 1)?,
        Action::Touch => session.touch(),
        Action::MaxAge => session.set_max_age(Some(Duration::from_secs(30))),
        Action::Modify | Action::HttpModify => session.insert("n", 2)?,
        Action::ModifyBack => {
            session.insert("n", 2)?;
            session.insert("n", 1)?;
        }
        Action::Remove => drop(session.remove::<u8>("n")?),
        Action::Reorder => {
            session.remove::<u8>("n")?;
            session.insert("n", 1)?;
        }
        Action::Save => session.save().await?,
        Action::ModifySave => {
            session.insert("n", 2)?;
            session.save().await?;
        }
        Action::ModifySaveModify => {
            session.insert("n", 2)?;
            session.save().await?;
            session.insert("n", 3)?;
        }
        Action::Reload => drop(session.reload().await),
        Action::ModifyReload => {
            session.insert("n", 2)?;
            drop(session.reload().await);
        }
        Action::BodyModify => {
            let chunk = async move { session.insert("n", 2).map(|()| "the end") };
            return Ok(Body::from_stream(stream::once(chunk)).into_response());
        }
        Action::Regenerate => session.regenerate(),
        Action::RegenerateModify => {
            session.regenerate();
            session.insert("n", 2)?;
        }
        Action::RegenerateModifySave => {
            session.regenerate();
            session.insert("n", 2)?;
            session.save().await?;
        }
        Action::Destroy | Action::NullDestroy | Action::DestroyUnset => session.destroy(),
        Action::ModifyDestroy => {
            session.insert("n", 2)?;
            session.destroy();
        }
        Action::ModifyFail => {
            session.insert("n", 2)?;
            return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
        }
        Action::GoneRead => elsewhere.destroy(&known()).await?,
        Action::GoneModify => {
            elsewhere.destroy(&known()).await?;
            session.insert("n", 2)?;
        }
        Action::ChangedRead => change(&elsewhere).await?,
        Action::ChangedModify => {
            change(&elsewhere).await?;
            session.insert("n", 2)?;
        }
    }
    Ok("the end".into_response())
}

/// Sets `m` to 2, as another request would.
async fn change(sessions: &MemoryStore) -> Result<(), StoreError> {
    if let Some(Stored { record, .. }) = sessions.get(&known()).await? {
        let text = record.as_json().replace(r#""m":1"#, r#""m":2"#);
        sessions.set(&known(), &Record::from_json(text)?, DAY).await?;
    }
    Ok(())
}

/// A memory store that notes what it was made to do: a call that found nothing to do it on, or another
/// version than it expected, did nothing.
#[derive(Clone, Default)]
struct Recorder {
    sessions: MemoryStore,
    calls: Arc<Mutex<String>>,
}

impl Recorder {
    fn note(&self, call: char, done: bool) {
        if done {
            self.calls.lock().unwrap().push(call);
        }
    }

    /// The session is loaded and the handler begins.
    fn loaded(&self) {
        self.note('|', true);
    }
}

impl SessionStore for Recorder {
    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.sessions.get(id).await
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.note('S', true);
        self.sessions.set(id, record, ttl).await
    }

    async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
        self.note('D', true);
        self.sessions.destroy(id).await
    }

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        let found = self.sessions.touch(id, ttl).await?;
        self.note('T', found);
        Ok(found)
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        let created = self.sessions.create(id, record, ttl).await?;
        self.note('S', created);
        Ok(created)
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let replaced = self.sessions.replace(id, expected, record, ttl).await?;
        self.note('S', matches!(replaced, Replaced::Done(_)));
        Ok(replaced)
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        let replaced = self.sessions.destroy_if(id, expected).await?;
        self.note('D', matches!(replaced, Replaced::Done(_)));
        Ok(replaced)
    }
}
