//! Someone with a browser in front of both servers: one cookie jar, real requests.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cookie::Cookie;
use reqwest::Method;
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::{COOKIE, DATE, SET_COOKIE};
use serde_json::{Value, json};

use crate::pair::{Pair, Side};

/// No answer takes this long; one that does is none.
const PATIENCE: Duration = Duration::from_secs(30);
/// The name of the session's cookie.
pub const NAME: &str = "connect.sid";

/// A visitor of a [`Pair`]. The cookies of a host are those of all its ports, so both servers see the same.
#[derive(Clone)]
pub struct Visitor {
    pair: Arc<Pair>,
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

impl Visitor {
    /// Someone without a cookie.
    pub fn new(pair: &Arc<Pair>) -> Self {
        let jar = Arc::<Jar>::default();
        let client = reqwest::Client::builder().cookie_provider(Arc::clone(&jar)).timeout(PATIENCE).build();
        Self { pair: Arc::clone(pair), jar, client: client.expect("a client") }
    }

    /// Someone with this cookie.
    pub fn with_cookie(pair: &Arc<Pair>, value: &str) -> Self {
        let visitor = Self::new(pair);
        let url = format!("http://{}/", pair.address(Side::Axum)).parse().expect("an address");
        visitor.jar.add_cookie_str(&format!("{NAME}={value}; Path=/"), &url);
        visitor
    }

    /// The client that has this visitor's cookies.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The same cookies in front of other servers.
    pub fn moved_to(&self, pair: &Arc<Pair>) -> Self {
        Self { pair: Arc::clone(pair), ..self.clone() }
    }

    /// The value of the session's cookie, as the browser would send it.
    pub fn cookie(&self) -> Option<String> {
        let url = format!("http://{}/", self.pair.address(Side::Axum)).parse().expect("an address");
        let line = self.jar.cookies(&url)?;
        let mut cookies = line.to_str().expect("text").split("; ");
        cookies.find_map(|pair| Some(pair.strip_prefix(NAME)?.strip_prefix('=')?.to_owned()))
    }

    /// A request, whatever the answer.
    pub async fn send(&self, at: Side, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://{}{path}", self.pair.address(at));
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
        assert_eq!(answer.status, 200, "{at:?} {method} {path}: {answer:?}\n{}", self.pair.log());
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

    /// The record behind this visitor's session.
    pub async fn record(&self, id: &str) -> Value {
        let raw = self.pair.place.raw(id).await.expect("a record");
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
