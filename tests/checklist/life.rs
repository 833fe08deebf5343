//! How sessions begin, what they hold, and how they end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use sessile::SessionLayer;

#[tokio::test]
async fn strangers_and_their_logouts_store_nothing() {
    // Neither of these options stores an empty session.
    let (config, store) = counted(|builder| builder.rolling(true).resave(true));
    let app = router(&config, async |request: Request<Body>| {
        let session = config_of(&request).session_from_headers(request.headers()).await.unwrap();
        if request.uri().path() == "/logout" {
            session.destroy();
        }
        session.commit().await.unwrap()
    });
    let app = app.layer(axum::Extension(config.clone()));
    let calls = store.total();
    for number in 0..5_000 {
        let cookie = match number % 4 {
            0 => String::new(),
            1 => format!("connect.sid=s%3A{number}.{}", "A".repeat(43)),
            2 => format!("other={number}"),
            _ => format!("connect.sid={number}"),
        };
        let path = if number % 3 == 0 { "/logout" } else { "/" };
        let response =
            ask(&app, Request::get(path).header(COOKIE, cookie).body(Body::empty()).unwrap()).await;
        for line in response.headers().get_all(SET_COOKIE) {
            assert!(line.to_str().unwrap().starts_with("connect.sid=;"), "a cookie is set: {line:?}");
        }
    }
    assert_eq!((store.total(), store.inner().len()), (calls, 0));
    // Signed ids that the store does not know cost a look, and nothing else.
    for number in 0..500 {
        let visitor = Visitor::with_id(&config, &SessionId::new(format!("unknown-{number}")).unwrap());
        let session = visitor.open().await.unwrap();
        assert_eq!(cookies(&session.commit().await.unwrap().into_response()), 0);
    }
    assert_eq!((store.total(), store.inner().len()), (calls + 500, 0));
}

fn config_of(request: &Request<Body>) -> SessionConfig {
    request.extensions().get::<SessionConfig>().unwrap().clone()
}

#[tokio::test]
async fn a_clear_alone_is_stored() {
    let (config, _) = counted(|builder| builder);
    let mut visitor = ada(&config).await;
    let session = visitor.open().await.unwrap();
    session.clear();
    visitor.commit(&session).await.unwrap();
    assert_eq!(user(&visitor).await, None);
    assert!(visitor.open().await.unwrap().is_empty());
}

/// After a logout in the same request as well.
#[tokio::test]
async fn another_users_login_finds_nothing_of_the_one_before() {
    let (config, store) = counted(|builder| builder);
    let mut visitor = ada(&config).await;
    let old = visitor.clone();
    let session = visitor.open().await.unwrap();
    session.insert("cart", ["book"]).unwrap();
    session.flash("info", "Welcome, Ada").unwrap();
    session.regenerate();
    session.insert("user", "bob").unwrap();
    visitor.commit(&session).await.unwrap();
    let session = visitor.open().await.unwrap();
    assert_eq!(session.keys(), ["user"]);
    assert!(session.take_all_flash().is_empty());
    assert_ne!(visitor.id(), old.id());
    assert_eq!((user(&old).await, store.inner().len()), (None, 1));
}

#[tokio::test]
async fn a_handler_that_panics_saves_nothing() {
    let (config, store) = counted(|builder| builder);
    let visitor = ada(&config).await;
    let session = visitor.open().await.unwrap();
    session.flash("info", "x").unwrap();
    session.commit().await.map(drop).unwrap();
    let handler = async |session: Session| {
        session.insert("user", "eve").unwrap();
        session.take_flash::<String>("info").unwrap();
        session.destroy();
        if session.contains_key("user") {
            return;
        }
        panic!("on purpose");
    };
    for app in [router(&config, handler), router(&config, handler).layer(SessionLayer::new(config.clone()))] {
        let mut request = Request::get("/").body(Body::empty()).unwrap();
        *request.headers_mut() = visitor.headers();
        assert!(tokio::spawn(app.oneshot(request)).await.unwrap_err().is_panic());
        let session = visitor.open().await.unwrap();
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
        assert_eq!(session.peek_flash::<String>("info").unwrap(), ["x"]);
    }
    assert_eq!(store.inner().len(), 1);
}

/// There are no listeners, but closures of the program run within a session.
#[tokio::test]
async fn a_panic_in_a_closure_does_not_keep_a_session_alive() {
    static BROKEN: AtomicBool = AtomicBool::new(false);
    let (config, store) = counted(|builder| {
        builder.genid(|| {
            assert!(!BROKEN.load(Ordering::Relaxed), "on purpose");
            SessionId::new(format!("id-{}", std::process::id())).unwrap()
        })
    });
    let mut visitor = ada(&config).await;
    BROKEN.store(true, Ordering::Relaxed);
    let session = visitor.open().await.unwrap();
    let change = |_: Option<String>| -> Option<String> { panic!("on purpose") };
    assert!(catch_unwind(AssertUnwindSafe(|| session.update("user", change))).is_err());
    assert!(
        catch_unwind(AssertUnwindSafe(|| {
            session.cycle_id();
            session.id()
        }))
        .is_err()
    );
    session.destroy();
    visitor.commit(&session).await.unwrap();
    assert_eq!((visitor.id(), store.inner().len()), (None, 0));
}

#[tokio::test]
async fn an_update_may_use_the_session() {
    let (config, _) = counted(|builder| builder);
    let mut visitor = ada(&config).await;
    let session = visitor.open().await.unwrap();
    let same = session.clone();
    session
        .update("greeting", move |_: Option<String>| {
            same.touch();
            Some(format!("Hello, {}", same.get::<String>("user").unwrap().unwrap()))
        })
        .unwrap();
    visitor.commit(&session).await.unwrap();
    let greeting = visitor.open().await.unwrap().get::<String>("greeting").unwrap();
    assert_eq!(greeting.as_deref(), Some("Hello, ada"));
}

#[tokio::test]
async fn markup_in_a_flash_message_is_text() {
    let (config, _) = counted(|builder| builder);
    let mut visitor = ada(&config).await;
    let markup = "<script>alert(1)</script>\u{0}\"';--&amp;";
    let session = visitor.open().await.unwrap();
    session.flash("info", markup).unwrap();
    visitor.commit(&session).await.unwrap();
    let taken = visitor.open().await.unwrap().take_all_flash();
    // A JSON string and nothing beside it: no mark says that it is safe.
    assert_eq!(taken.get("info"), [serde_json::Value::from(markup)]);
}

/// What is written before a sweep has removed it lives; what is written after it lives as well.
#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_spares_what_is_renewed_at_the_same_time() {
    use std::time::Duration;

    use sessile::testing::TestClock;
    use sessile::{Record, SessionStore as _};

    const SESSIONS: usize = 40;
    let (clock, folder) = (TestClock::new(), tempfile::tempdir().unwrap());
    let store =
        sessile::FileStore::builder(folder.path().join("sessions")).clock(clock.clone()).build().unwrap();
    let record = Record::from_json(r#"{"cookie":{"originalMaxAge":1000,"expires":null},"n":1}"#).unwrap();
    let life = Duration::from_secs(1);
    let ids: Vec<_> = (0..SESSIONS).map(|n| SessionId::new(format!("session-{n}")).unwrap()).collect();
    for _ in 0..10 {
        for id in &ids {
            store.set(id, &record, life).await.unwrap();
        }
        // All of them have expired when the sweep and the renewals begin.
        clock.advance(life);
        let start = std::sync::Arc::new(tokio::sync::Barrier::new(2));
        let sweep = {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store.sweep().await.unwrap()
            })
        };
        start.wait().await;
        for id in &ids {
            store.set(id, &record, life).await.unwrap();
        }
        sweep.await.unwrap();
        for id in &ids {
            assert!(store.get(id).await.unwrap().is_some(), "a renewed session was swept");
        }
    }
}
