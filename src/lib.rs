//! Sessions for axum that stay put: an extractor, a guard, typed flash messages, and stores that swap through app state.
//!
//! A [`Session`] is extracted like any other argument. Reads and writes are synchronous; [`Session::commit`] writes what
//! the request did to the store and returns a [`SessionGuard`], which sets the cookie as a part of the response. The guard
//! is the proof that the store holds the session: no cookie leaves without it.
//!
//! ```no_run
#![doc = include_str!("../examples/quickstart.rs")]
//! ```
//!
//! # What is where
//! - [`SessionConfig`]: the options, all of Express' under Express' meaning, and what to do when the state is an `Arc`.
//! - [`Session`]: data, flash messages, new ids, logout, "remember me". [`SessionKey`] and [`FlashKey`] name a key and the
//!   type of its value once.
//! - [`SessionLayer`]: the commit in one place instead of in each handler.
//! - [`MemoryStore`] and [`FileStore`]; `RedisStore`, `PostgresStore`, `MySqlStore` and `SqliteStore` behind the features
//!   `redis`, `postgres`, `mysql` and `sqlite`; [`SessionStore`] for a store of your own.
//! - [`guide`]: longer texts. Coming from Express; how long sessions live; security.
//!
//! # What it promises
//! Each with a test against every store; `testing` (a feature) is the kit for stores of your own.
//! 1. **No lost update.** Two parallel requests that change different keys both survive; [`Session::update`] on one key
//!    loses no step; a flash message pushed while another request drains is kept.
//! 2. **Logout wins.** A record that is gone is never written back, under its id or another: the late request gets
//!    [`SessionError::Gone`], and [`cycle_id`](Session::cycle_id) carries nothing over from it.
//! 3. **A late response never clobbers a newer cookie.** Nothing is cleared because of a miss; a rolling cookie is sent only
//!    when the store still has the session.
//! 4. **Only ids minted here, or known to the store, are ever written.** An unknown id, signed or not, gets a fresh one.
//! 5. **Regenerating is safe.** The new record comes first, the old one goes after; an error leaves the old session
//!    working; nothing happens before the commit.
//! 6. **Nothing is written after a failed load.** An unreachable store is a 503; a record that cannot be decoded stays as
//!    it is, and the request gets a new session under a new id.
//! 7. **Cancel-safe.** A request dropped at any await leaves each record as it was before or as it was to be.
//!
//! Where two requests take the same flash messages at the same time, both get them.
//!
//! # When something is written
//! | session | condition | store | cookie |
//! |---|---|---|---|
//! | destroyed | it was stored, or the request carried a cookie of the name | `destroy` if it was stored | expired |
//! | regenerated | | `create` the new, `destroy` the old | set |
//! | cycled | | `create` the new, `destroy_if` the old | set |
//! | new | modified, or `save()`, or `save_uninitialized` within the cookie's path | `create` | set |
//! | new | else | – | – |
//! | existing | modified | `replace` | set if `rolling`, or it has a max-age, or that changed, or the secret is an old one |
//! | existing | untouched, `resave` or `save()` | `replace` | set if `rolling`, or the secret is an old one |
//! | existing | untouched, `rolling`, `touch()` or an old secret | `touch` | set if `rolling`, or the secret is an old one |
//! | existing | untouched | at load, `touch` after [`touch_after`](SessionConfigBuilder::touch_after) | – |
//! | new | the cookie is Secure, and the trusted proxy says the request came over http | – | – |
//!
//! # Cross-site request forgery
//! `SameSite=Lax`, the default, keeps other sites' forms from posting with the cookie; sibling subdomains are the same
//! *site*, and old browsers know no `SameSite`. Add tower-http's `csrf` layer, which asks the browser where a request
//! comes from and needs no token in the session:
//!
//! ```
//! use axum::routing::post;
//! use axum::Router;
//! use sessile::{Session, SessionConfig, SessionError, SessionGuard};
//! use tower_http::csrf::CsrfLayer;
//! # #[derive(Clone, axum::extract::FromRef)]
//! # struct App { sessions: SessionConfig }
//!
//! async fn logout(session: Session) -> Result<SessionGuard, SessionError> {
//!     session.destroy();
//!     session.commit().await
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
//! let app: Router = Router::new()
//!     .route("/logout", post(logout))
//!     .layer(CsrfLayer::new().add_trusted_origin("https://example.com")?)
//!     .with_state(App { sessions });
//! # Ok(())
//! # }
//! ```
//!
//! # WebSockets
//! A cookie can be set on the handshake's response and never after. So commit before the upgrade; on the open socket, ask
//! the store anew with [`session_from_headers`](SessionConfig::session_from_headers) each time it matters, which is also
//! how a logout elsewhere is noticed:
//!
//! ```
//! use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
//! use axum::extract::State;
//! use axum::http::HeaderMap;
//! use axum::response::{IntoResponse, Response};
//! use sessile::{Origin, Session, SessionConfig, SessionError};
//!
//! async fn chat(
//!     session: Session,
//!     State(sessions): State<SessionConfig>,
//!     headers: HeaderMap,
//!     upgrade: WebSocketUpgrade,
//! ) -> Result<Response, SessionError> {
//!     let guard = session.commit().await?;
//!     Ok((guard, upgrade.on_upgrade(move |socket| talk(socket, sessions, headers))).into_response())
//! }
//!
//! async fn talk(mut socket: WebSocket, sessions: SessionConfig, headers: HeaderMap) {
//!     while let Some(Ok(Message::Text(text))) = socket.recv().await {
//!         let Ok(session) = sessions.session_from_headers(&headers).await else { break };
//!         if session.origin() != Origin::Loaded {
//!             break; // Logged out, or expired.
//!         }
//!         let counted = session.update("messages", |count: Option<u64>| Some(count.unwrap_or(0) + 1));
//!         if counted.is_err() || session.commit().await.is_err() || socket.send(Message::Text(text)).await.is_err() {
//!             break;
//!         }
//!     }
//! }
//! # let _: axum::Router = axum::Router::new().route("/chat", axum::routing::get(chat))
//! #     .with_state(SessionConfig::new("a secret of at least 32 bytes, from the environment").unwrap());
//! ```
//!
//! Do not give a session a new id there: the browser would never learn it.
#![forbid(unsafe_code)]

mod clock;
mod commit;
mod config;
mod cookie;
mod error;
mod http;
mod id;
mod json;
mod load;
mod record;
mod request;
mod session;
mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;

/// Longer texts. They hold no items.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[doc = include_str!("../docs/coming-from-express.md")]
    pub mod coming_from_express {}
    #[doc = include_str!("../docs/expiration.md")]
    pub mod expiration {}
    #[doc = include_str!("../docs/security.md")]
    pub mod security {}
}

pub use ::cookie::SameSite;

pub use clock::{Clock, SystemClock};
pub use commit::guard::SessionGuard;
pub use config::SessionConfig;
pub use config::builder::SessionConfigBuilder;
pub use config::options::{CookieOptions, SessionOptions};
pub use cookie::attributes::{Priority, Secure};
pub use cookie::secrets::{Secret, Secrets};
pub use error::{ConfigError, SessionError, SessionRejection, StoreError};
pub use http::layer::{SessionFuture, SessionLayer, SessionService};
pub use id::{InvalidSessionId, SessionId};
pub use record::Record;
pub use session::Session;
pub use session::flash::Flashes;
pub use session::key::{FlashKey, SessionKey};
pub use session::lifetime::CookieState;
pub use session::state::Origin;
pub use store::file::{Durability, FileStore, FileStoreBuilder};
pub use store::memory::MemoryStore;
#[cfg(feature = "redis")]
pub use store::redis::RedisStore;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use store::sql::InvalidIdentifier;
#[cfg(feature = "mysql")]
pub use store::sql::MySqlStore;
#[cfg(feature = "postgres")]
pub use store::sql::PostgresStore;
#[cfg(feature = "sqlite")]
pub use store::sql::SqliteStore;
pub use store::sweeper::SweepHandle;
pub use store::version::Version;
pub use store::{Replaced, SessionStore, Stored};
