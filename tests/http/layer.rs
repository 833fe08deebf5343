//! The layer: installed once, it commits for every handler.

use crate::common::logs::Logs;
use crate::common::stores::RecordingStore;
use crate::common::{App, TestClient, builder};
use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use sessile::{Session, SessionConfig, SessionConfigBuilder, SessionError, SessionLayer, SessionRejection};

/// Counts under `/count` and `/fail`; touches no session elsewhere.
fn app(config: &SessionConfig, layer: SessionLayer) -> Router {
    async fn count(uri: Uri, session: Session) -> Result<Response, SessionError> {
        let n = session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1))?.unwrap();
        Ok(match uri.path() {
            "/fail" => StatusCode::BAD_GATEWAY.into_response(),
            "/refuse" => (StatusCode::BAD_REQUEST, n.to_string()).into_response(),
            "/commit" => (session.commit().await?, n.to_string()).into_response(),
            "/commit-and-fail" => (StatusCode::BAD_GATEWAY, session.commit().await?).into_response(),
            "/commit-twice" => {
                let first = session.commit().await?;
                session.insert("more", n)?;
                (first, n.to_string()).into_response()
            }
            _ => n.to_string().into_response(),
        })
    }
    let mut router = Router::new().route("/plain", any(async || "plain"));
    for path in ["/count", "/fail", "/refuse", "/commit", "/commit-and-fail", "/commit-twice"] {
        router = router.route(path, any(count));
    }
    router
        .route("/read", any(async |session: Session| session.get::<u64>("n").map(|n| format!("{n:?}"))))
        .route("/leave", any(async |session: Session| session.destroy()))
        .layer(layer)
        .with_state(App { sessions: config.clone() })
}

fn setup(builder: SessionConfigBuilder) -> (RecordingStore, Router, TestClient) {
    let store = RecordingStore::default();
    let config = builder.store(store.clone()).build().unwrap();
    (store, app(&config, SessionLayer::new(config.clone())), TestClient::new())
}

#[tokio::test]
async fn handlers_need_no_commit() {
    let (store, app, mut client) = setup(builder());
    for expected in ["1", "2", "3"] {
        let answer = client.get(&app, "/count").await;
        assert_eq!(answer.body, expected);
        assert!(answer.cookie().is_some());
        assert_eq!(answer.lines("vary"), ["Cookie"]);
        assert_eq!(answer.lines("cache-control"), ["private, no-cache"]);
    }
    assert_eq!(store.len(), 1);
    let answer = client.get(&app, "/leave").await;
    assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert_eq!(store.len(), 0);
}

#[tokio::test]
async fn a_handler_that_only_reads_gets_vary() {
    let (store, app, mut client) = setup(builder().browser_session());
    client.get(&app, "/count").await;
    store.calls();
    let answer = client.get(&app, "/read").await;
    assert_eq!((&*answer.body, answer.cookie().is_some()), ("Some(1)", false));
    assert_eq!(answer.lines("vary"), ["Cookie"]);
    assert_eq!(store.calls(), ["get"]);
}

/// What a request that extracts no session asks of the store, and whether it gets a cookie: as a first visit,
/// then with a session.
async fn unasked(builder: SessionConfigBuilder) -> [(Vec<&'static str>, bool); 2] {
    let (store, app, mut client) = setup(builder);
    let cookie = client.get(&app, "/plain").await.cookie();
    let first = (store.calls(), cookie.is_some());
    client.get(&app, "/count").await;
    store.calls();
    let answer = client.get(&app, "/plain").await;
    assert_eq!(answer.body, "plain");
    [first, (store.calls(), answer.cookie().is_some())]
}

#[tokio::test]
async fn nothing_is_loaded_that_nobody_asked_for() {
    let off = builder().save_uninitialized(false);
    assert_eq!(unasked(off).await, [(vec![], false), (vec![], false)]);
    // A visitor with a session is left alone; one without gets one.
    assert_eq!(unasked(builder()).await, [(vec!["create"], true), (vec![], false)]);
}

#[tokio::test]
async fn options_hold_for_requests_that_extract_nothing() {
    let off = || builder().save_uninitialized(false);
    assert_eq!(unasked(off().rolling(true)).await, [(vec![], false), (vec!["get", "touch"], true)]);
    assert_eq!(unasked(off().resave(true)).await, [(vec![], false), (vec!["get", "replace"], false)]);
    let all = builder().rolling(true).resave(true);
    assert_eq!(unasked(all).await, [(vec!["create"], true), (vec!["get", "replace"], true)]);
}

#[tokio::test]
async fn a_forged_cookie_costs_no_store_call() {
    let (store, app, _) = setup(builder().save_uninitialized(false).rolling(true));
    let other = SessionConfig::new("another secret").unwrap();
    let mut client = TestClient::holding(&other, &crate::common::id("apple"));
    client.get(&app, "/plain").await;
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn a_server_error_saves_nothing() {
    let logs = Logs::capture();
    let (store, app, mut client) = setup(builder());
    let answer = client.get(&app, "/fail").await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    assert!(answer.cookie().is_none());
    assert_eq!(store.len(), 0);
    client.get(&app, "/count").await;
    client.get(&app, "/fail").await;
    assert_eq!(client.get(&app, "/count").await.body, "2");
    // Giving the changes up is the layer's decision, not the handler's mistake.
    assert_eq!(logs.warnings(), [""; 0]);
}

#[tokio::test]
async fn a_client_error_is_saved() {
    let (_, app, mut client) = setup(builder());
    assert!(client.get(&app, "/refuse").await.cookie().is_some());
    assert_eq!(client.get(&app, "/count").await.body, "2");
}

#[tokio::test]
async fn a_server_error_saves_when_asked_to() {
    let config = builder().build().unwrap();
    for (save, next) in [(true, "2"), (false, "1")] {
        let app = app(&config, SessionLayer::new(config.clone()).save_on_server_error(save));
        let mut client = TestClient::new();
        let answer = client.get(&app, "/fail").await;
        assert_eq!((answer.status, answer.cookie().is_some()), (StatusCode::BAD_GATEWAY, save));
        assert_eq!(client.get(&app, "/count").await.body, next);
    }
}

#[tokio::test]
async fn what_a_handler_committed_keeps_its_cookie_on_a_server_error() {
    let (store, app, mut client) = setup(builder());
    assert!(client.get(&app, "/commit-and-fail").await.cookie().is_some());
    assert_eq!(store.len(), 1);
    assert_eq!(client.get(&app, "/count").await.body, "2");
}

#[tokio::test]
async fn a_failed_commit_takes_the_place_of_the_answer() {
    let (store, app, mut client) = setup(builder());
    for (method, path) in
        [("create", "/plain"), ("create", "/count"), ("replace", "/count"), ("destroy", "/leave")]
    {
        if method == "replace" {
            client.get(&app, "/count").await;
        }
        store.fail(&[method]);
        let answer = client.get(&app, path).await;
        assert_eq!(
            (answer.status, &*answer.body),
            (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
            "{path}"
        );
        assert!(answer.cookie().is_none(), "{path}");
        store.fail(&[]);
    }
    store.fail(&["get"]);
    assert_eq!(client.get(&app, "/count").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get(&app, "/plain").await.status, StatusCode::OK, "nothing is loaded for it");
}

#[tokio::test]
async fn a_commit_by_the_handler_and_one_by_the_layer_set_one_cookie() {
    let (store, app, mut client) = setup(builder());
    for (path, calls) in [
        ("/commit", vec!["create"]),
        ("/commit", vec!["get", "replace"]),
        ("/commit-twice", vec!["get", "replace", "replace"]),
    ] {
        assert!(client.get(&app, path).await.cookie().is_some(), "{path}");
        assert_eq!(store.calls(), calls, "{path}");
    }
    assert_eq!(client.get(&app, "/count").await.body, "4");
}

#[tokio::test]
async fn two_layers_are_one() {
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).build().unwrap();
    let twice = app(&config, SessionLayer::new(config.clone())).layer(SessionLayer::new(config.clone()));
    let mut client = TestClient::new();
    assert!(client.get(&twice, "/count").await.cookie().is_some());
    assert_eq!(store.calls(), ["create"]);
}

/// What an application writes to name its user.
struct User(Session);

impl FromRequestParts<App> for User {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        let session = <Session as FromRequestParts<App>>::from_request_parts(parts, app).await?;
        session.insert("seen by", "extractor").unwrap();
        Ok(Self(session))
    }
}

/// Middleware, own extractor and handler work on one session; with a layer outside of them and without.
#[tokio::test]
async fn everyone_in_a_request_has_the_same_session() {
    async fn middleware(State(_): State<App>, session: Session, request: Request, next: Next) -> Response {
        session.insert("middleware", 1).unwrap();
        let response = next.run(request).await;
        assert_eq!(session.get::<u8>("handler").unwrap(), Some(3), "the handler's change is seen");
        response
    }
    async fn handler(user: User, again: Session, optional: Option<Session>) -> Result<String, SessionError> {
        assert_eq!(user.0.id(), again.id());
        assert_eq!(again.get::<u8>("middleware")?, Some(1));
        assert_eq!(user.0.get::<String>("seen by")?.as_deref(), Some("extractor"));
        again.insert("handler", 3)?;
        // It is new, so the request carried none.
        Ok(optional.is_some().to_string())
    }
    for layered in [true, false] {
        let store = RecordingStore::default();
        let config = builder().store(store.clone()).build().unwrap();
        let state = App { sessions: config.clone() };
        async fn commit(session: Session, request: Request, next: Next) -> Result<Response, SessionError> {
            let response = next.run(request).await;
            Ok((session.commit().await?, response).into_response())
        }
        let app = Router::new().route("/", any(handler)).layer(from_fn_with_state(state.clone(), middleware));
        let app = match layered {
            true => app.layer(SessionLayer::new(config.clone())),
            false => app.layer(from_fn_with_state(state.clone(), commit)),
        };
        let app = app.with_state(state);
        let mut client = TestClient::new();
        let answer = client.get(&app, "/").await;
        assert_eq!(answer.body, "false");
        assert!(answer.cookie().is_some());
        assert_eq!(store.calls(), ["create"]);
        let mut keys = client.open(&config).await.keys();
        keys.sort_unstable();
        assert_eq!(keys, ["handler", "middleware", "seen by"]);
        store.calls();
        assert_eq!(client.get(&app, "/").await.body, "true");
        assert_eq!(store.calls(), ["get"], "loaded once, and nothing changed");
    }
}

/// An optional session is that of the request, also after a middleware gave it a new id.
#[tokio::test]
async fn an_optional_session_is_the_one_a_middleware_works_on() {
    async fn middleware(session: Session, request: Request, next: Next) -> Response {
        session.regenerate();
        next.run(request).await
    }
    let config = builder().build().unwrap();
    let state = App { sessions: config.clone() };
    let app = Router::new()
        .route("/", any(async |session: Option<Session>| session.is_some().to_string()))
        .layer(from_fn_with_state(state.clone(), middleware))
        .layer(SessionLayer::new(config))
        .with_state(state);
    let mut client = TestClient::new();
    assert_eq!(client.get(&app, "/").await.body, "false");
    assert_eq!(client.get(&app, "/").await.body, "true");
}

#[tokio::test]
async fn two_names_are_two_sessions() {
    #[derive(Clone)]
    struct Two {
        one: SessionConfig,
        other: SessionConfig,
    }
    let two = Two { one: builder().build().unwrap(), other: builder().name("other").build().unwrap() };
    let app = Router::new()
        .route("/", any(async |session: Session| session.insert("n", 1)))
        .with_state(App { sessions: two.other.clone() })
        .layer(SessionLayer::new(two.other.clone()))
        .layer(SessionLayer::new(two.one.clone()));
    let mut client = TestClient::new();
    let answer = client.get(&app, "/").await;
    let names: Vec<_> = answer.cookies().into_iter().map(|cookie| cookie.name).collect();
    assert_eq!(names, ["other", "connect.sid"]);
    assert_eq!(client.open(&two.other).await.get::<u8>("n").unwrap(), Some(1));
    assert!(client.open(&two.one).await.is_empty());
}
