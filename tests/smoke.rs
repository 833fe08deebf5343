//! A whole request through a router.

use axum::extract::FromRef;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use sessile::{Session, SessionConfig, SessionError};
use tower::ServiceExt as _;

#[derive(Clone, FromRef)]
struct App {
    sessions: SessionConfig,
}

async fn count(session: Session) -> Result<impl IntoResponse, SessionError> {
    let views = session.get::<u64>("views")?.unwrap_or(0) + 1;
    session.insert("views", views)?;
    Ok((session.commit().await?, Json(views)))
}

#[tokio::test]
async fn a_count_rises() {
    let sessions = SessionConfig::new("a secret of at least 32 bytes, for tests").unwrap();
    let app = Router::new().route("/", get(count)).with_state(App { sessions });
    let mut cookie = None::<String>;
    for expected in ["1", "2", "3"] {
        let mut request = axum::http::Request::get("/");
        if let Some(cookie) = &cookie {
            request = request.header("cookie", cookie);
        }
        let response = app.clone().oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let set = response.headers()["set-cookie"].to_str().unwrap();
        println!("{set}");
        cookie = Some(set.split(';').next().unwrap().to_owned());
        let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(body, expected);
    }
}
