//! The health check that load balancers ask.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use axum::routing::get;
use sessile::testing::{Op, Probe};
use sessile::{MemoryStore, SessionConfig};
use tokio::time::{Instant, timeout};
use tower::ServiceExt as _;

use crate::common::logs::Logs;
use crate::common::{App, TestResponse, builder};

/// A store whose calls are counted, behind a route with the check.
fn app() -> (Router, Probe<MemoryStore>, SessionConfig) {
    let store = Probe::new(MemoryStore::new());
    let sessions = builder().store(store.clone()).build().unwrap();
    let app = Router::new().route("/ready", get(sessile::health));
    (app.with_state(App { sessions: sessions.clone() }), store, sessions)
}

async fn ask(app: &Router, method: Method) -> TestResponse {
    let request = Request::builder().method(method).uri("/ready").body(Body::empty()).unwrap();
    TestResponse::of(app.clone().oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn a_store_that_serves_is_healthy_and_no_session_is_made() {
    let (app, store, _) = app();
    for (method, body) in [(Method::GET, "OK"), (Method::HEAD, "")] {
        let answer = ask(&app, method).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, body));
        assert_eq!(answer.lines("cache-control"), ["no-store"]);
        assert!(answer.cookies().is_empty());
    }
    assert_eq!((store.calls(Op::Check), store.total()), (2, 2), "nothing but the check was asked");
    assert_eq!(store.inner().len(), 0);
}

#[tokio::test]
async fn a_store_that_fails_is_a_503_whose_reason_is_in_the_log_alone() {
    let (app, store, _) = app();
    store.fail(Op::Check, 0);
    let logs = Logs::capture();
    let answer = ask(&app, Method::GET).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (503, "Service Unavailable"));
    assert_eq!(answer.lines("cache-control"), ["no-store"]);
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
    assert!(logs.text().contains("the probe failed this call"), "{}", logs.text());
    assert_eq!(ask(&app, Method::GET).await.status, 200, "it is asked anew each time");
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_is_a_503_after_a_second() {
    let (app, store, _) = app();
    let silence = store.hold(Op::Check);
    let (logs, began) = (Logs::capture(), Instant::now());
    let answer = timeout(Duration::from_secs(60), ask(&app, Method::GET)).await.expect("it answers");
    assert_eq!(answer.status, 503);
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_eq!(logs.text().matches("ERROR").count(), 1, "{}", logs.text());
    assert!(logs.text().contains("did not answer a check within 1 s"), "{}", logs.text());
    drop(silence);
    // One that answers just in time is healthy.
    let pause = store.hold(Op::Check);
    let late = async {
        tokio::time::sleep(Duration::from_millis(990)).await;
        drop(pause);
    };
    let (answer, ()) = tokio::join!(ask(&app, Method::GET), late);
    assert_eq!(answer.status, 200);
}

/// As one check among others of the program.
#[tokio::test]
async fn it_can_be_called_for_a_configuration_that_the_state_does_not_name() {
    let (_, store, sessions) = app();
    store.fail(Op::Check, 0);
    assert_eq!(sessile::health(axum::extract::State(sessions.clone())).await.status(), 503);
    assert_eq!(sessile::health(axum::extract::State(sessions)).await.status(), 200);
}
