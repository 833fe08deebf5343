//! A reverse proxy in front of two servers, which sends some paths to one and the rest to the other.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;

use crate::http::Served;

/// A running proxy.
pub struct Proxy {
    served: Served,
    routes: Routes,
}

#[derive(Clone)]
struct Routes {
    table: Arc<Mutex<Table>>,
    client: reqwest::Client,
}

struct Table {
    default: String,
    /// Paths that go elsewhere.
    moved: Vec<(String, String)>,
}

impl Proxy {
    /// Sends every path to `default`, an address like `http://127.0.0.1:80`.
    pub fn start(default: &str) -> Self {
        let table = Table { default: default.to_owned(), moved: Vec::new() };
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
        let routes = Routes { table: Arc::new(Mutex::new(table)), client: client.expect("a client") };
        let state = routes.clone();
        let served = Served::start(async move || Router::new().fallback(forward).with_state(state));
        Self { served, routes }
    }

    /// Where visitors find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.served.address())
    }

    /// Sends exactly these paths elsewhere, and every other one to where it went first.
    pub fn route(&self, paths: &[&str], to: &str) {
        let moved = paths.iter().map(|path| (String::from(*path), to.to_owned())).collect();
        self.routes.table.lock().unwrap_or_else(PoisonError::into_inner).moved = moved;
    }

    /// Sends every path elsewhere.
    pub fn route_all(&self, to: &str) {
        let mut table = self.routes.table.lock().unwrap_or_else(PoisonError::into_inner);
        *table = Table { default: to.to_owned(), moved: Vec::new() };
    }
}

async fn forward(State(routes): State<Routes>, request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let server = {
        let table = routes.table.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = table.moved.iter().find(|(moved, _)| *moved == path);
        moved.map_or(&table.default, |(_, to)| to).clone()
    };
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.expect("a body");
    let forwarded = routes.client.request(parts.method, server + &path).headers(parts.headers).body(body);
    let answer = forwarded.send().await.expect("the server behind the proxy answers");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::from(answer.bytes().await.expect("a body")));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().remove(reqwest::header::TRANSFER_ENCODING);
    response
}
