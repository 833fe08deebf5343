//! Express and axum over the same sessions.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use sessile::{SessionConfig, SessionOptions};
use sessile_test_servers::Server;

use crate::http::Served;
use crate::place::{Kind, Place};
use crate::{axum_app, express_is_installed, node};

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Express,
    Axum,
}

/// The secret of every test that does not say otherwise.
pub const SECRET: &str = "one secret of at least 32 bytes for both";

/// Both servers, running.
pub struct Pair {
    express: Server,
    axum: Served,
    pub place: Arc<Place>,
}

/// The options of both sides, as Express names them: `secret` as given, an hour, nothing for the uninitialised.
pub fn options(secret: Value) -> Value {
    json!({
        "secret": secret,
        "resave": false,
        "saveUninitialized": false,
        "cookie": { "maxAge": 3_600_000, "sameSite": "lax" },
    })
}

impl Pair {
    /// Starts both sides over a place; `None` where Node.js is not installed.
    pub fn start(place: &Arc<Place>, express: &Value, axum: &Value) -> Option<Arc<Self>> {
        let (store, options) = (place.for_express().to_string(), express.to_string());
        let express = node("app.js", &[("STORE", &store), ("OPTIONS", &options)])?;
        let options: SessionOptions =
            serde_json::from_value(axum.clone()).expect("Express' options are ours");
        let access = place.for_axum();
        let make = async move || axum_app::router(access.config(options.into_builder()).await);
        let axum = Served::start(make);
        Some(Arc::new(Self { express, axum, place: Arc::clone(place) }))
    }

    /// `127.0.0.1` and the port of one side.
    pub fn address(&self, side: Side) -> String {
        match side {
            Side::Express => self.express.address(),
            Side::Axum => self.axum.address().to_owned(),
        }
    }

    /// What Express printed.
    pub fn log(&self) -> String {
        self.express.log()
    }
}

/// A pair for all tests of a kind of store that run at a time; it ends with the last of them.
pub struct Shared {
    kind: Kind,
    pair: Mutex<Weak<Pair>>,
}

impl Shared {
    pub const fn new(kind: Kind) -> Self {
        Self { kind, pair: Mutex::new(Weak::new()) }
    }

    /// The pair, which is started where no other test has it; `None` where its programs are not installed.
    pub fn get(&self) -> Option<Arc<Pair>> {
        let mut held = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pair) = held.upgrade() {
            return Some(pair);
        }
        if !express_is_installed() {
            return None;
        }
        let place = Arc::new(Place::start(self.kind)?);
        let options = options(json!(SECRET));
        let pair = Pair::start(&place, &options, &options)?;
        *held = Arc::downgrade(&pair);
        Some(pair)
    }
}

/// The id in a cookie's value, where this secret signed it.
pub fn id_in(cookie: &str, secret: &str) -> Option<String> {
    let config = SessionConfig::new(secret).expect("a secret");
    config.verify(cookie).map(|id| id.as_str().to_owned())
}
