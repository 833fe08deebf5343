//! Requests with sessions of several configurations: each has its own, whatever its cookie is called.

use crate::common::logs::Logs;
use crate::common::stores::RecordingStore;
use crate::common::{App, TestClient, TestResponse, builder};
use axum::Router;
use axum::extract::{FromRef, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use sessile::{Session, SessionConfig, SessionConfigBuilder, SessionError, SessionLayer, SessionRejection};

/// Two configurations: the state names the shop's, handlers ask for the administration's explicitly.
#[derive(Clone)]
struct Two {
    shop: SessionConfig,
    admin: SessionConfig,
}

impl FromRef<Two> for SessionConfig {
    fn from_ref(two: &Two) -> Self {
        two.shop.clone()
    }
}

/// The administration's session.
struct Admin(Session);

impl FromRequestParts<Two> for Admin {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, two: &Two) -> Result<Self, Self::Rejection> {
        two.admin.extract(parts).await.map(Self)
    }
}

/// Each with a store and a secret of its own.
fn two(admin: SessionConfigBuilder, stores: [&RecordingStore; 2]) -> Two {
    let [shop, admins] = stores;
    Two {
        shop: SessionConfig::builder("the shop's secret of 32 bytes or more")
            .store(shop.clone())
            .build()
            .unwrap(),
        admin: admin.store(admins.clone()).build().unwrap(),
    }
}

/// Writes to both sessions.
async fn write_both(session: Session, Admin(admin): Admin) -> Result<(), SessionError> {
    session.insert("shop", 1)?;
    admin.insert("admin", 1)
}

/// express-session's own advice for two parts of a site: two instances with one cookie name and two paths.
#[tokio::test]
async fn one_cookie_name_is_two_sessions() {
    async fn middleware(session: Session, request: Request, next: Next) -> Response {
        session.insert("admin", true).unwrap();
        next.run(request).await
    }
    let (shop, admins) = (RecordingStore::default(), RecordingStore::default());
    let two = two(builder().path("/admin"), [&shop, &admins]);
    let admin_app = Router::new()
        .route(
            "/",
            any(async |session: Session, optional: Option<Session>| {
                assert!(optional.is_none(), "the shop's session is nobody's at the administration");
                let admin = session.get::<bool>("admin")?;
                session.insert("visits", 1)?;
                Ok::<_, SessionError>((session.commit().await?, format!("{admin:?}")))
            }),
        )
        .with_state(App { sessions: two.admin.clone() });
    for layered in [false, true] {
        let app = Router::new().nest("/admin", admin_app.clone());
        let app = app.layer(from_fn_with_state(two.clone(), middleware));
        let app = if layered { app.layer(SessionLayer::new(two.shop.clone())) } else { app };
        let app = app.with_state(two.clone());
        let answer = TestClient::new().get(&app, "/admin").await;
        assert_eq!(answer.body, "None", "the administration has the shop's session");
        let cookies = answer.cookies();
        let cookie = |path| cookies.iter().find(|cookie| cookie.attribute("Path") == Some(path));
        let visits = two.admin.verify(&cookie("/admin").expect("the administration's cookie").value).unwrap();
        assert!(admins.text(&visits).await.unwrap().contains("visits"));
        // Without the layer nobody commits what the middleware wrote.
        assert_eq!(cookie("/").is_some(), layered);
        assert_eq!((shop.len(), cookies.len()), (usize::from(layered), 1 + usize::from(layered)));
    }
}

#[tokio::test]
async fn every_way_to_a_configuration_s_session_is_one_session() {
    let two = two(builder(), [&RecordingStore::default(), &RecordingStore::default()]);
    let app = Router::new().route(
        "/",
        any(async |State(two): State<Two>, request: Request| {
            let (mut parts, _) = request.into_parts();
            let named = two.shop.extract(&mut parts).await.unwrap();
            let extracted = Session::from_request_parts(&mut parts, &two).await.unwrap();
            let Admin(admin) = Admin::from_request_parts(&mut parts, &two).await.unwrap();
            // A clone is the same configuration.
            let again = two.admin.clone().extract(&mut parts).await.unwrap();
            let third = two.shop.extract(&mut parts).await.unwrap();
            assert_eq!((named.id(), named.id()), (extracted.id(), third.id()));
            assert_eq!(admin.id(), again.id());
            assert_ne!(admin.id(), named.id());
        }),
    );
    let answer = TestClient::new().get(&app.with_state(two), "/").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_layer_commits_the_sessions_of_every_configuration() {
    let logs = Logs::capture();
    let (shop, admins) = (RecordingStore::default(), RecordingStore::default());
    let two = two(builder().name("admin.sid"), [&shop, &admins]);
    assert_eq!((two.shop.name(), two.admin.name()), ("connect.sid", "admin.sid"));
    let strange = RecordingStore::default();
    let layers = [
        SessionLayer::new(two.shop.clone()),
        SessionLayer::new(two.admin.clone()),
        // The layer's own configuration is not that of any session here, so it stores nothing.
        SessionLayer::new(builder().name("strange").rolling(true).store(strange.clone()).build().unwrap()),
    ];
    for layer in layers {
        let app = Router::new().route("/", any(write_both)).layer(layer).with_state(two.clone());
        let mut client = TestClient::new();
        let answer = client.get(&app, "/").await;
        let names: Vec<_> = answer.cookies().into_iter().map(|cookie| cookie.name).collect();
        assert_eq!(names, ["connect.sid", "admin.sid"]);
        assert_eq!(client.open(&two.shop).await.keys(), ["shop"]);
        assert_eq!(client.open(&two.admin).await.keys(), ["admin"]);
        assert_eq!(strange.calls(), [""; 0]);
    }
    assert_eq!(logs.warnings(), [""; 0]);
}

/// A browser keeps one cookie of a name, path and domain, so the response sends one.
#[tokio::test]
async fn of_two_configurations_with_one_cookie_the_later_one_s_is_sent_with_a_warning() {
    let logs = Logs::capture();
    let two = two(builder(), [&RecordingStore::default(), &RecordingStore::default()]);
    let layered = |handler| {
        Router::new().route("/", handler).layer(SessionLayer::new(two.shop.clone())).with_state(two.clone())
    };
    let answer = TestClient::new().get(&layered(any(write_both)), "/").await;
    assert!(two.admin.verify(&answer.cookie().unwrap().value).is_some());
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());

    // Guards that a handler returns replace each other in the same way.
    let by_hand = async |session: Session, Admin(admin): Admin| {
        write_both(session.clone(), Admin(admin.clone())).await?;
        Ok::<_, SessionError>((session.commit().await?, admin.commit().await?, "both"))
    };
    let answer =
        TestClient::new().get(&Router::new().route("/", any(by_hand)).with_state(two.clone()), "/").await;
    assert!(two.admin.verify(&answer.cookie().unwrap().value).is_some());

    // A session that sets no cookie is in nobody's way, and one session's two guards are one cookie.
    let quiet = async |_: Session, Admin(admin): Admin| {
        admin.insert("n", 1)?;
        Ok::<_, SessionError>((admin.commit().await?, "quiet"))
    };
    let mut holding = TestClient::new();
    let session = holding.open(&two.shop).await;
    session.insert("n", 1).unwrap();
    holding.commit(&session).await;
    let answer = holding.get(&layered(any(quiet)), "/").await;
    assert!(two.admin.verify(&answer.cookie().unwrap().value).is_some());
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());
}

/// A failed commit of one session neither undoes nor hides what became of the other.
#[tokio::test]
async fn each_session_is_committed_by_its_own() {
    for (failing, stored) in [(0, "admin.sid"), (1, "connect.sid")] {
        let stores = [RecordingStore::default(), RecordingStore::default()];
        let two = two(builder().name("admin.sid"), [&stores[0], &stores[1]]);
        let app = Router::new().route("/", any(write_both)).layer(SessionLayer::new(two.shop.clone()));
        stores[failing].fail(&["create"]);
        let answer = TestClient::new().get(&app.with_state(two), "/").await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"));
        assert_eq!(answer.cookie().expect("the cookie of the stored session").name, stored);
        assert_eq!((stores[failing].len(), stores[1 - failing].len()), (0, 1));
    }
}

/// Guards of two configurations whose cookies differ are both in the response.
#[tokio::test]
async fn guards_of_two_paths_set_two_cookies() {
    let two = two(builder().path("/admin"), [&RecordingStore::default(), &RecordingStore::default()]);
    let client = TestClient::new();
    let (shop, admin) = (client.open(&two.shop).await, client.open(&two.admin).await);
    shop.insert("n", 1).unwrap();
    admin.insert("n", 1).unwrap();
    let (shop, admin) = (shop.commit().await.unwrap(), admin.commit().await.unwrap());
    let answer = TestResponse::of((shop.clone(), admin, shop, ()).into_response()).await;
    let cookies = answer.cookies();
    let paths: Vec<_> = cookies.iter().filter_map(|cookie| cookie.attribute("Path")).collect();
    assert_eq!(paths, ["/admin", "/"]);
}

/// Nested applications with a layer each: every session is committed, and none twice.
#[tokio::test]
async fn nested_layers_set_one_cookie_each() {
    let (shop, admins) = (RecordingStore::default(), RecordingStore::default());
    let two = two(builder().name("admin.sid"), [&shop, &admins]);
    let app = Router::new()
        .route("/both", any(write_both))
        .route("/admin", any(async |Admin(admin): Admin| admin.insert("n", 1)))
        .with_state(two.clone())
        .layer(SessionLayer::new(two.admin.clone()))
        .layer(SessionLayer::new(two.shop.clone()));
    let answer = TestClient::new().get(&app, "/both").await;
    assert_eq!(answer.cookies().len(), 2);
    assert_eq!((shop.calls(), admins.calls()), (vec!["create"], vec!["create"]));
    // The shop's options count for requests that extract no session at all.
    let answer = TestClient::new().get(&app, "/admin").await;
    assert_eq!(answer.cookie().unwrap().name, "admin.sid");
    assert_eq!((shop.calls(), admins.calls()), (vec![], vec!["create"]));
}
