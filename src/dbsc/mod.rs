//! Device-bound sessions: a stolen cookie is worth nothing (feature `dbsc`).
//!
//! A browser that knows [Device Bound Session Credentials](https://w3c.github.io/webappsec-dbsc/) holds a private key that
//! cannot be copied from its device. After a login it registers the public key, which is kept in the
//! session's record. From then on its requests carry a second, short-lived cookie, and only the holder of the
//! key gets the next one: whoever has copied the cookies is out after ten minutes. Other browsers see no
//! difference.
//!
//! ```
//! use axum::Router;
//! use axum::extract::FromRef;
//! use axum::response::{IntoResponse, Redirect};
//! use axum::routing::{get, post};
//! use sessile::dbsc::{Binding, Dbsc, Missing};
//! use sessile::{Session, SessionConfig, SessionError};
//!
//! #[derive(Clone)]
//! struct App {
//!     sessions: SessionConfig,
//! }
//!
//! impl FromRef<App> for SessionConfig {
//!     fn from_ref(app: &App) -> Self {
//!         app.sessions.clone()
//!     }
//! }
//!
//! async fn log_in(session: Session) -> Result<impl IntoResponse, SessionError> {
//!     session.log_in("ada")?; // After the password was checked.
//!     session.bind_device();
//!     Ok((session.commit().await?, Redirect::to("/")))
//! }
//!
//! async fn home(session: Session) -> String {
//!     match session.binding() {
//!         Binding::Bound { .. } => "It is your device.".into(),
//!         Binding::Missing { .. } => "Somebody has your cookie, or your browser could not refresh it.".into(),
//!         _ => "A session like any other.".into(),
//!     }
//! }
//!
//! # fn main() -> Result<(), sessile::ConfigError> {
//! let sessions = SessionConfig::hardened("a secret of at least 32 bytes, from the environment")
//!     .dbsc(Dbsc::new("/auth/dbsc").exclude("/assets").when_missing(Missing::Report))
//!     .build()?;
//! let app: Router = Router::new()
//!     .route("/", get(home))
//!     .route("/login", post(log_in))
//!     .merge(sessions.dbsc_routes())
//!     .with_state(App { sessions });
//! # Ok(())
//! # }
//! ```
//!
//! The feature needs a C compiler, because it verifies signatures with [ring](https://docs.rs/ring).

mod endpoints;
mod proof;

pub use crate::config::dbsc::{Dbsc, Missing};
pub use crate::session::device::Binding;
