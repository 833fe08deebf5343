//! Express and axum over the same sessions.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};
use sessile::{SessionConfig, SessionOptions};
use sessile_test_servers::Server;

use crate::http::Served;
use crate::shared_store::{Kind, SharedStore};
use crate::{axum_app, express_is_installed, node};

/// One of the two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    Express,
    Axum,
}

/// The secret of every test that does not say otherwise.
pub const SECRET: &str = "one secret of at least 32 bytes for both";

/// Both servers, running over one [`SharedStore`].
pub struct Servers {
    express: Server,
    axum: Served,
    pub store: Arc<SharedStore>,
}

/// The options of both sides, as Express names them: `secret` as given, an hour, nothing for the
/// uninitialised.
pub fn options(secret: Value) -> Value {
    json!({
        "secret": secret,
        "resave": false,
        "saveUninitialized": false,
        "cookie": { "maxAge": 3_600_000, "sameSite": "lax" },
    })
}

impl Servers {
    /// Starts both sides over a store; `None` where Node.js is not installed.
    pub fn start(store: &Arc<SharedStore>, express: &Value, axum: &Value) -> Option<Arc<Self>> {
        let (express_store, options) = (store.for_express().to_string(), express.to_string());
        let express = node("app.js", &[("STORE", &express_store), ("OPTIONS", &options)])?;
        let options: SessionOptions =
            serde_json::from_value(axum.clone()).expect("Express' options are ours");
        let access = store.for_axum();
        let make = async move || axum_app::router(access.config(options.into_builder()).await);
        let axum = Served::start(make);
        Some(Arc::new(Self { express, axum, store: Arc::clone(store) }))
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

/// The servers that all tests of one kind of store use together; they end with the last of the tests that
/// hold them.
pub struct SharedServers {
    kind: Kind,
    servers: Mutex<Weak<Servers>>,
}

impl SharedServers {
    pub const fn new(kind: Kind) -> Self {
        Self { kind, servers: Mutex::new(Weak::new()) }
    }

    /// The servers, which are started where no other test holds them; `None` where its programs are not
    /// installed.
    pub fn get(&self) -> Option<Arc<Servers>> {
        let mut held = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = held.upgrade() {
            return Some(servers);
        }
        if !express_is_installed() {
            return None;
        }
        let store = Arc::new(SharedStore::start(self.kind)?);
        let options = options(json!(SECRET));
        let servers = Servers::start(&store, &options, &options)?;
        *held = Arc::downgrade(&servers);
        Some(servers)
    }
}

/// The id in a cookie's value, where this secret signed it.
pub fn id_in(cookie: &str, secret: &str) -> Option<String> {
    let config = SessionConfig::new(secret).expect("a secret");
    config.verify(cookie).map(|id| id.as_str().to_owned())
}
