//! tower-sessions, in the newest release and in the one that its stores on servers work with.

/// The same application over either release: their types are distinct, their calls are the same.
macro_rules! tower_sessions {
    ($name:ident) => {
        use axum::Router;
        use axum::extract::Path;
        use axum::routing::get;
        use $name::cookie::{Key, SameSite};
        use $name::session::Error;
        use $name::{Expiry, Session, SessionManagerLayer, SessionStore};

        use crate::contestants::secret::SECRET;
        use crate::payload::{User, payload, shown};

        struct Failed;

        impl From<Error> for Failed {
            fn from(_: Error) -> Self {
                Self
            }
        }

        impl axum::response::IntoResponse for Failed {
            fn into_response(self) -> axum::response::Response {
                axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }

        async fn fill(Path(bytes): Path<usize>, session: Session) -> Result<&'static str, Failed> {
            for (key, value) in payload(bytes) {
                session.insert(key, value).await?;
            }
            Ok("filled")
        }

        async fn read(session: Session) -> Result<String, Failed> {
            let views = session.get::<u64>("views").await?;
            Ok(shown(views, session.get::<User>("user").await?))
        }

        async fn write(session: Session) -> Result<String, Failed> {
            let views = session.get::<u64>("views").await?.unwrap_or(0) + 1;
            session.insert("views", views).await?;
            Ok(views.to_string())
        }

        async fn new(session: Session) -> Result<String, Failed> {
            let n = session.get::<u64>("n").await?.unwrap_or(0) + 1;
            session.insert("n", n).await?;
            Ok(n.to_string())
        }

        async fn renew(session: Session) -> Result<&'static str, Failed> {
            session.cycle_id().await?;
            Ok("renewed")
        }

        async fn plain() -> &'static str {
            "plain"
        }

        pub fn axum(store: impl SessionStore + Clone, rolling: bool, signed: bool) -> Router {
            let router = Router::new()
                .route("/fill/{bytes}", get(fill))
                .route("/read", get(read))
                .route("/write", get(write))
                .route("/new", get(new))
                .route("/renew", get(renew))
                .route("/plain", get(plain));
            let layer = SessionManagerLayer::new(store)
                .with_secure(false)
                .with_same_site(SameSite::Lax)
                .with_expiry(Expiry::OnInactivity(time::Duration::days(1)))
                .with_always_save(rolling);
            if signed {
                router.layer(layer.with_signed(Key::from(SECRET.as_bytes())))
            } else {
                router.layer(layer)
            }
        }
    };
}

pub mod newest {
    tower_sessions!(tower_sessions);
}

pub mod with_stores {
    tower_sessions!(tower_sessions_014);
}
