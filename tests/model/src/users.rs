//! The users who log in, what they are called inside of the library, and the way to a session's public name.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use sessile::{
    Record, Session, SessionConfig, SessionHandle, SessionId, SessionStore, StoreError, Stored, UserIndex,
};
use smol_str::SmolStr;

/// The secret that signs.
pub(crate) const SECRET: &str = "the secret that signs, longer than 32 bytes";
/// The secret that signed before.
pub(crate) const OLD_SECRET: &str = "the secret of before, longer than 32 bytes";

/// Who may log in.
pub(crate) const USERS: [&str; 2] = ["anna", "bert"];

/// The name of the user with this keyed hash.
pub(crate) fn name_of(hash: &str) -> Option<&'static str> {
    hashes().get(hash).copied()
}

/// The keyed hashes of the users, by each secret.
pub(crate) fn hashes() -> &'static BTreeMap<String, &'static str> {
    static HASHES: OnceLock<BTreeMap<String, &'static str>> = OnceLock::new();
    HASHES.get_or_init(|| {
        let mut names = BTreeMap::new();
        for user in USERS {
            let asked = Arc::<Mutex<Vec<String>>>::default();
            let config = config(Everything(Arc::clone(&asked)));
            // Each list of the user is read.
            now(config.sessions_of(user).list()).expect("it always answers");
            let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
            names.extend(asked.iter().map(|hash| (hash.clone(), user)));
        }
        names
    })
}

/// The public name of the session with this id.
pub(crate) fn handle_of(id: &str) -> SessionHandle {
    static HANDLES: OnceLock<Mutex<HashMap<SmolStr, SessionHandle>>> = OnceLock::new();
    let handles = HANDLES.get_or_init(Mutex::default);
    let mut handles = handles.lock().unwrap_or_else(PoisonError::into_inner);
    *handles.entry(id.into()).or_insert_with(|| {
        let config = config(Everything::default());
        now(load(&config, &config, id)).expect("every id has a session").handle()
    })
}

/// Loads the session with this id, whose cookie `signer` signs. `None`: there is none, or the store fails.
pub(crate) async fn load(config: &SessionConfig, signer: &SessionConfig, id: &str) -> Option<Session> {
    let id = SessionId::new(id).ok()?;
    let cookie = HeaderValue::try_from(format!("connect.sid={}", signer.sign(&id))).ok()?;
    let headers = HeaderMap::from_iter([(COOKIE, cookie)]);
    let session = config.session_from_headers(&headers).await.ok()?;
    (session.origin() == sessile::Origin::Loaded).then_some(session)
}

fn config(store: Everything) -> SessionConfig {
    let secrets = [SECRET, OLD_SECRET];
    SessionConfig::builder(secrets.as_slice()).store(store).build().expect("legal options")
}

/// The output of a future that does not wait.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

/// A store that has a session under every id, and no lists. It notes whose lists it is asked for.
#[derive(Default)]
struct Everything(Arc<Mutex<Vec<String>>>);

impl SessionStore for Everything {
    async fn get(&self, _: &SessionId) -> Result<Option<Stored>, StoreError> {
        let record = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}}"#;
        Ok(Record::from_json(record).ok().map(Stored::from))
    }

    async fn set(&self, _: &SessionId, _: &Record, _: Duration) -> Result<(), StoreError> {
        Ok(())
    }

    async fn destroy(&self, _: &SessionId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn touch(&self, _: &SessionId, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl UserIndex for Everything {
    fn read<'a>(&'a self, user: &'a str) -> Boxed<'a, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(user.to_owned());
        Box::pin(std::future::ready(Ok(String::new())))
    }

    fn append<'a>(&'a self, _: &'a str, line: &'a str) -> Boxed<'a, String> {
        Box::pin(std::future::ready(Ok(line.to_owned())))
    }

    fn replace<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> Boxed<'a, bool> {
        Box::pin(std::future::ready(Ok(false)))
    }
}
