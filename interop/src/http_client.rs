//! The HTTP client that talks to both servers: one cookie jar, real requests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cookie::Cookie;
use reqwest::Method;
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{COOKIE, DATE, SET_COOKIE};
use serde_json::{Value, json};

use crate::servers::{Servers, Side};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The name of the session's cookie.
pub const NAME: &str = "connect.sid";

/// A client of [`Servers`], with the cookies of one browser. A host's cookies hold for all its ports, so both
/// servers see the same ones.
#[derive(Clone)]
pub struct HttpClient {
    servers: Arc<Servers>,
    jar: Arc<Jar>,
    client: reqwest::Client,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    /// The session's cookie, where the answer sets or expires it.
    pub cookie: Option<SetCookie>,
}

/// A `Set-Cookie` line.
#[derive(Debug)]
pub struct SetCookie {
    /// As it was sent, percent signs and all; empty where the cookie is expired.
    pub value: String,
    /// From the answer's date on; `None`: until the browser closes.
    pub life: Option<Duration>,
}

impl HttpClient {
    /// A client without a cookie.
    pub fn new(servers: &Arc<Servers>) -> Self {
        let jar = Arc::<Jar>::default();
        let client = reqwest::Client::builder().cookie_provider(Arc::clone(&jar)).timeout(PATIENCE).build();
        Self { servers: Arc::clone(servers), jar, client: client.expect("a client") }
    }

    /// A client with this cookie.
    pub fn with_cookie(servers: &Arc<Servers>, value: &str) -> Self {
        let client = Self::new(servers);
        let url = format!("http://{}/", servers.address(Side::Axum)).parse().expect("an address");
        client.jar.add_cookie_str(&format!("{NAME}={value}; Path=/"), &url);
        client
    }

    /// The library's client, which sends and keeps the same cookies.
    pub fn reqwest(&self) -> &reqwest::Client {
        &self.client
    }

    /// The same cookies in front of other servers.
    pub fn moved_to(&self, servers: &Arc<Servers>) -> Self {
        Self { servers: Arc::clone(servers), ..self.clone() }
    }

    /// The value of the session's cookie, as the browser would send it.
    pub fn cookie(&self) -> Option<String> {
        let url = format!("http://{}/", self.servers.address(Side::Axum)).parse().expect("an address");
        let line = self.jar.cookies(&url)?;
        let mut cookies = line.to_str().expect("text").split("; ");
        cookies.find_map(|pair| Some(pair.strip_prefix(NAME)?.strip_prefix('=')?.to_owned()))
    }

    /// Sends a request, and accepts an answer of any status.
    pub async fn send(&self, at: Side, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}{path}", self.servers.address(at));
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{at:?} {path}: {error}"));
        let cookie = SetCookie::of(&response);
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole body");
        Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::String(text)), cookie }
    }

    async fn ask(&self, at: Side, method: Method, path: &str, body: Option<Value>) -> Answer {
        let answer = self.send(at, method.clone(), path, body).await;
        assert_eq!(answer.status, 200, "{at:?} {method} {path}: {answer:?}\n{}", self.servers.log());
        answer
    }

    pub async fn get(&self, at: Side, path: &str) -> Answer {
        self.ask(at, Method::GET, path, None).await
    }

    pub async fn post(&self, at: Side, path: &str) -> Answer {
        self.ask(at, Method::POST, path, None).await
    }

    pub async fn post_json(&self, at: Side, path: &str, body: Value) -> Answer {
        self.ask(at, Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, at: Side, path: &str, body: Value) -> Answer {
        self.ask(at, Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, at: Side, path: &str) -> Answer {
        self.ask(at, Method::DELETE, path, None).await
    }

    /// Logs in as alice; the id after it.
    pub async fn log_in(&self, at: Side) -> String {
        let answer =
            self.post_json(at, "/login", json!({ "username": "alice", "password": "correct horse" })).await;
        text(&answer.body["id"])
    }

    /// Who the server thinks this is.
    pub async fn user(&self, at: Side) -> Option<String> {
        self.get(at, "/session").await.body["user"].as_str().map(Into::into)
    }

    /// The data a server sees.
    pub async fn data(&self, at: Side) -> Value {
        self.get(at, "/session").await.body["data"].take()
    }

    /// The id a server sees.
    pub async fn id(&self, at: Side) -> String {
        text(&self.get(at, "/session").await.body["id"])
    }

    /// The record under this id, as it stands in the store.
    pub async fn record(&self, id: &str) -> Value {
        let raw = self.servers.store.raw(id).await.expect("a record");
        serde_json::from_str(&raw).expect("JSON")
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

impl SetCookie {
    fn of(response: &reqwest::Response) -> Option<Self> {
        assert!(response.headers().get(COOKIE).is_none());
        let lines = response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().expect("text"));
        let lines: Vec<_> = lines.filter(|line| line.starts_with(NAME)).collect();
        assert!(lines.len() <= 1, "one answer set several session cookies: {}", lines.len());
        let cookie = Cookie::parse(*lines.first()?).expect("a cookie");
        let date = response.headers()[DATE].to_str().expect("text");
        let date = Cookie::parse(format!("d=; Expires={date}")).expect("a date").expires_datetime();
        let date = SystemTime::from(date.expect("a date"));
        let until = cookie.expires_datetime().map(SystemTime::from);
        let life = until.map(|until| until.duration_since(date).unwrap_or_default());
        if let (Some(life), Some(age)) = (life, cookie.max_age()) {
            assert!((age.as_seconds_f64() - life.as_secs_f64()).abs() <= 1.0, "Max-Age and Expires differ");
        }
        Some(Self { value: cookie.value().to_owned(), life })
    }
}
