//! Keep [axum-login](https://docs.rs/axum-login) and what else is written for
//! [tower-sessions](https://docs.rs/tower-sessions), and move its live sessions over to
//! [sessile](https://docs.rs/sessile).
//!
//! | what you have | what you take | what you get |
//! |---|---|---|
//! | axum-login, axum-messages, extractors of `tower_sessions::Session` | `TowerSessionLayer` | they run unchanged on the request's `sessile` session: one record, one cookie, its promises |
//! | users who are logged in | `TowerSessions`, for `SessionConfigBuilder::adopt` | their cookies and records move over at their next request, and nobody logs in again |
//! | a store of tower-sessions | `TowerStore` | `sessile` on that store, within one process |
//!
//! The module [`v014`] is for tower-sessions 0.14, which axum-login 0.18 and axum-messages 0.8 use, and `v015` is
//! for 0.15. Each stands behind a feature of its name, `v014` by default, and both can be there at once.
//!
//! # axum-login
//! Their layer, `AuthManagerLayerBuilder`, brings a session layer of its own. Put their `AuthManager` around the router
//! and [`TowerSessionLayer`](v014::TowerSessionLayer) around that. The rest of the program stays as it is:
//!
//! ```
//! # #[derive(Clone, Debug)] struct User;
//! # impl axum_login::AuthUser for User {
//! #     type Id = u64;
//! #     fn id(&self) -> u64 { 7 }
//! #     fn session_auth_hash(&self) -> &[u8] { b"hash" }
//! # }
//! # #[derive(Clone)] struct Backend;
//! # impl axum_login::AuthnBackend for Backend {
//! #     type User = User;
//! #     type Credentials = ();
//! #     type Error = std::convert::Infallible;
//! #     async fn authenticate(&self, (): ()) -> Result<Option<User>, Self::Error> { Ok(None) }
//! #     async fn get_user(&self, _: &u64) -> Result<Option<User>, Self::Error> { Ok(None) }
//! # }
//! use axum::Router;
//! use axum::routing::get;
//! use axum_login::{AuthManager, AuthSession};
//! use sessile::SessionConfig;
//! use sessile_tower_sessions::v014::TowerSessionLayer;
//! use tower::layer::layer_fn;
//!
//! async fn name(auth: AuthSession<Backend>, session: sessile::Session) -> String {
//!     format!("{:?} has {} values", auth.user, session.len())
//! }
//!
//! # fn main() -> Result<(), sessile::ConfigError> {
//! let sessions = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
//!     .save_uninitialized(false)
//!     .build()?;
//! let app: Router = Router::new()
//!     .route("/", get(name))
//!     .layer(layer_fn(|inner| AuthManager::new(inner, Backend, "axum-login.data")))
//!     .layer(TowerSessionLayer::new(sessions.clone()))
//!     .with_state(sessions);
//! # Ok(())
//! # }
//! ```
//!
//! # Moving over
//! ```
//! use sessile::SessionConfig;
//! use sessile_tower_sessions::v014::TowerSessions;
//! use tower_sessions_014::MemoryStore;
//! use tower_sessions_014::cookie::Key;
//!
//! # fn main() -> Result<(), sessile::ConfigError> {
//! # let (old_store, key) = (MemoryStore::default(), Key::generate());
//! let sessions = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
//!     .adopt(TowerSessions::new(old_store).signed(key))
//!     .build()?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "v014", feature = "v015"))]
mod old_cookie;

#[cfg(feature = "v014")]
#[cfg_attr(docsrs, doc(cfg(feature = "v014")))]
pub mod v014;
#[cfg(feature = "v015")]
#[cfg_attr(docsrs, doc(cfg(feature = "v015")))]
pub mod v015;
