//! Two tabs of one browser: a logout in one while the other's request is under way.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use sessile::{Session, SessionConfig, SessionError};
use sessile_e2e::{Driver, Error, profile};
use tokio::sync::Notify;

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
    slow: Arc<Slow>,
}

/// Holds the slow request between its load and its commit.
#[derive(Default)]
struct Slow {
    loaded: Notify,
    go_on: Notify,
}

async fn log_in(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.cycle_id();
    session.insert("user", "alice")?;
    Ok((session.commit().await?, Html("<h1>in</h1>")))
}

async fn log_out(session: Session) -> Result<impl IntoResponse, SessionError> {
    session.destroy();
    Ok((session.commit().await?, Html("<h1>out</h1>")))
}

async fn who(session: Session) -> Result<impl IntoResponse, SessionError> {
    let user = session.get::<String>("user")?.unwrap_or("nobody".into());
    Ok((session.commit().await?, Html(format!("<h1>{user}</h1>"))))
}

async fn slow(State(slow): State<Arc<Slow>>, session: Session) -> Result<impl IntoResponse, SessionError> {
    session.insert("seen", true)?;
    slow.loaded.notify_one();
    slow.go_on.notified().await;
    Ok((session.commit().await?, Html("<h1>written</h1>")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_request_in_one_tab_does_not_undo_the_logout_in_the_other() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    // Rolling: the slow answer would send the cookie again if it could.
    let sessions = SessionConfig::builder("a secret of at least 32 bytes, for tests")
        .save_uninitialized(false)
        .rolling(true)
        .build()?;
    let app = App { sessions, slow: Arc::default() };
    let router = Router::new()
        .route("/in", get(log_in))
        .route("/out", get(log_out))
        .route("/who", get(who))
        .route("/slow", get(slow))
        .with_state(app.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });

    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    browser.open(&format!("{base}/in")).await?;
    let first = browser.client().window().await?;
    let second = browser.client().new_window(true).await?;

    // The first tab's request is held after its load.
    browser.script("window.answer = fetch('/slow').then(answer => answer.status)").await?;
    app.slow.loaded.notified().await;
    browser.client().switch_to_window(second.handle.clone()).await?;
    browser.open(&format!("{base}/out")).await?;
    assert_eq!(browser.headline().await?, "out");
    app.slow.go_on.notify_one();
    browser.client().switch_to_window(first).await?;
    assert_eq!(browser.script("return window.answer").await?, 409, "the late request was not told");

    for tab in browser.client().windows().await? {
        browser.client().switch_to_window(tab).await?;
        browser.open(&format!("{base}/who")).await?;
        assert_eq!(browser.headline().await?, "nobody", "a tab is logged in again");
    }
    assert!(browser.cookie().await?.is_none(), "the late answer sent a cookie");
    browser.quit().await
}
