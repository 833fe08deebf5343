//! Sessions for axum that stay put: an extractor, a guard, typed flash messages, and a choice of stores.
//!
//! A handler extracts a [`Session`] like any other argument and reads and writes it without `.await`.
//! [`Session::commit`] writes what the request did to the store and returns a [`SessionGuard`], which sets
//! the cookie as a part of the response. The guard is the proof that the store holds the session: no cookie
//! is sent without it.
//!
//! The store is one line of the [`SessionConfig`], which is the application's state or a part of it. No
//! handler names the store, so the same handlers run over memory in tests and over Redis in production. The
//! example `swap_store` chooses the store when the program starts.
//!
//! ```no_run
#![doc = include_str!("../examples/quickstart.rs")]
//! ```
//!
//! # When your state has more in it
//! The extractor finds the configuration in the state through [`FromRef`](axum::extract::FromRef). axum's derive,
//! behind its feature `macros`, makes the implementation, for a state that is cloned and for one behind an `Arc`:
//! ```
//! use std::sync::Arc;
//!
//! use axum::Router;
//! use axum::extract::{FromRef, State};
//! use axum::routing::get;
//! use sessile::{Session, SessionConfig, SessionError, SessionGuard};
//!
//! #[derive(FromRef)]
//! struct App {
//!     sessions: SessionConfig,
//!     motto: String,
//! }
//!
//! async fn motto(session: Session, State(app): State<Arc<App>>) -> Result<(SessionGuard, String),
//! SessionError> {     session.insert("has_seen", &app.motto)?;
//!     Ok((session.commit().await?, app.motto.clone()))
//! }
//!
//! # fn main() -> Result<(), sessile::ConfigError> {
//! let sessions = SessionConfig::new("a secret of at least 32 bytes, from the environment")?;
//! let app = App { sessions, motto: "Stay put.".to_owned() };
//! let router: Router = Router::new().route("/", get(motto)).with_state(Arc::new(app));
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//! - [`SessionConfig`]: the options, all those of Express with the same meaning.
//! - [`Session`]: data, flash messages, new ids, logout, "remember me". [`SessionKey`] and [`FlashKey`] name
//!   a key and the type of its value in one place.
//! - [`SessionLayer`]: commits in one place instead of in every handler.
//! - [`SessionConfig::sessions_of`]: all sessions of a user, to list and to end them. [Users](guide::users) is the page.
//! - The stores: [`MemoryStore`], and the others behind their features. [`SessionStore`] is the contract for a store
//!   of your own. [`SessionConfig::check`] says whether the store can serve, and [`health`] tells load balancers.
//! - [`Clock`]: where the time comes from; tests pass a clock that they move.
//! - [`guide`]: longer texts. Begin with the [cheat sheet](guide::cheat_sheet); then [testing your
//!   handlers](guide::testing), [recipes](guide::recipes), [deploying](guide::deploying), [operating](guide::operating), and
//!   [troubleshooting](guide::troubleshooting) when something does not work. Coming from [Express](guide::coming_from_express)
//!   or [tower-sessions](guide::coming_from_tower_sessions)? [How long a session lives](guide::expiration) and
//!   [security](guide::security) are the fine print.
//!
//! # Features
#![doc = include_str!("../docs/features.md")]
//!
//! # What it promises
//! Every promise has tests that run against every store. With the feature `testing`, the module `testing`
//! runs the same tests against a store of your own.
//! 1. **No lost update.** If two parallel requests change different keys, both changes survive.
//!    [`Session::update`] on one key loses no step. A flash message that is pushed while another request
//!    takes the messages is kept.
//! 2. **Logout wins.** A record that is gone is never written back, neither under its id nor under another:
//!    the late request gets [`SessionError::Gone`], and [`cycle_id`](Session::cycle_id) copies nothing from
//!    the record.
//! 3. **A late response never overwrites a newer cookie.** A request whose cookie names no session clears no
//!    cookie, and replaces none unless it writes something to its session; `rolling` sends a cookie only if
//!    the store still has the session. A cookie that somebody has planted hides no good one.
//! 4. **Only ids that this server made, or that the store knew, are ever written.** An unknown id, signed or
//!    not, is replaced by a fresh one.
//! 5. **Regenerating is safe.** The new record is written before the old one is removed, an error leaves the
//!    old session working, and nothing happens before the commit.
//! 6. **Nothing is written after a failed load.** If the store cannot be reached, the answer is a 503. If a
//!    record cannot be decoded, it stays as it is, and the request gets a new session under a new id.
//! 7. **Cancelling is safe.** A request that is dropped at any await leaves each record either as it was or
//!    as it was to be.
//! 8. **End all means all.** Once [`UserSessions::end_all`] has answered, no session of the user that
//!    existed, was being refreshed or moved, or whose login began before it is alive or comes alive.
//! 9. **A listed session is live, and a live one is listed**, once its login was answered.
//! 10. **Never more than the limit** of [`per_user`](SessionConfigBuilder::per_user) once the logins are
//!     answered.
//!
//! The last three hold among programs that use this crate: Express writes back what it has loaded.
//!
//! A commit that failed can be repeated, because the session keeps what the request did. There are two
//! limits: if two requests take the same flash messages at the same time, both get them; and if the store had
//! carried the failed commit out without being able to say so, and another request has written the record
//! since, an `update` counts twice. If another request has written the very same record in the same
//! millisecond, the repeated commit takes it for its own, and the `update` counts once for both.
//!
//! # When something is written
#![doc = include_str!("../docs/commit-table.md")]
//!
//! # Cross-site request forgery
//! `SameSite=Lax`, the default, keeps the cookie out of requests that forms on other sites post. It does not
//! help against sibling subdomains, which count as the same *site*, nor in old browsers, which ignore it. Add
//! the layer `csrf` of tower-http, which reads where a request comes from in the headers that browsers send,
//! and needs no token in the session:
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
//! A cookie can be set on the response to the handshake and never after it, so commit before the upgrade. The
//! open socket notices the end of its session with [`ended`](Session::ended), whose future resolves after a
//! logout in another tab, when all sessions of the user are ended, and when the session expires:
//!
//! ```
//! use std::pin::pin;
//!
//! use axum::extract::ws::{WebSocket, WebSocketUpgrade};
//! use axum::response::{IntoResponse, Response};
//! use sessile::{Ended, Session, SessionError};
//!
//! async fn chat(session: Session, upgrade: WebSocketUpgrade) -> Result<Response, SessionError> {
//!     let guard = session.commit().await?;
//!     let ended = session.ended();
//!     Ok((guard, upgrade.on_upgrade(|socket| talk(socket, ended))).into_response())
//! }
//!
//! async fn talk(mut socket: WebSocket, ended: impl Future<Output = Ended>) {
//!     let mut ended = pin!(ended);
//!     loop {
//!         tokio::select! {
//!             _ = &mut ended => break, // Logged out, or expired: the socket closes.
//!             received = socket.recv() => {
//!                 let Some(Ok(message)) = received else { break };
//!                 if socket.send(message).await.is_err() {
//!                     break;
//!                 }
//!             }
//!         }
//!     }
//! }
//! # let _: axum::Router = axum::Router::new().route("/chat", axum::routing::get(chat))
//! #     .with_state(sessile::SessionConfig::new("a secret of at least 32 bytes, from the environment").unwrap());
//! ```
//!
//! The example `chat` is a whole page. To read or write the session on an open socket, load it again with
//! [`session_from_headers`](SessionConfig::session_from_headers). Do not give a session a new id there: the
//! browser would never learn the id.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod commit;
mod config;
mod cookie;
#[cfg(feature = "cookie-session")]
mod cookie_session;
#[cfg(feature = "dbsc")]
pub mod dbsc;
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
mod users;

/// Longer texts, each a module without items.
#[cfg(any(doc, doctest))]
pub mod guide {
    #[doc = include_str!("../docs/guide/cheat-sheet.md")]
    pub mod cheat_sheet {}
    // Its programs need the feature.
    #[cfg(feature = "file")]
    #[doc = include_str!("../docs/coming-from-express.md")]
    pub mod coming_from_express {}
    #[doc = include_str!("../docs/guide/coming-from-tower-sessions.md")]
    pub mod coming_from_tower_sessions {}
    // It links to items of the feature.
    #[cfg(feature = "dbsc")]
    #[doc = include_str!("../docs/guide/device-bound.md")]
    pub mod device_bound {}
    #[doc = include_str!("../docs/guide/deploying.md")]
    #[doc = include_str!("../docs/guide/events.md")]
    pub mod deploying {}
    #[doc = include_str!("../docs/expiration.md")]
    pub mod expiration {}
    #[doc = include_str!("../docs/guide/moving.md")]
    pub mod moving {}
    #[doc = include_str!("../docs/guide/operating.md")]
    pub mod operating {}
    #[doc = include_str!("../docs/guide/recipes.md")]
    pub mod recipes {}
    #[doc = include_str!("../docs/security.md")]
    pub mod security {}
    // Its programs need the feature.
    #[cfg(feature = "testing")]
    #[doc = include_str!("../docs/guide/testing.md")]
    pub mod testing {}
    #[doc = include_str!("../docs/guide/troubleshooting.md")]
    pub mod troubleshooting {}
    #[doc = include_str!("../docs/guide/users.md")]
    pub mod users {}
}

pub use ::cookie::SameSite;

pub use clock::{Clock, SystemClock};
pub use commit::guard::SessionGuard;
pub use config::SessionConfig;
pub use config::adopt::{Adopt, Adopted};
pub use config::builder::SessionConfigBuilder;
pub use config::event::{EndReason, RefusalReason, SessionEvent, SessionEventKind};
pub use config::options::{CookieOptions, SessionOptions};
pub use config::policy::AtLimit;
pub use cookie::attributes::{Priority, Secure};
pub use cookie::secrets::{Secret, Secrets};
#[cfg(feature = "cookie-session")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookie-session")))]
pub use cookie_session::CookieSession;
#[cfg(feature = "cookie-session")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookie-session")))]
pub use cookie_session::config::{CookieConfig, CookieConfigBuilder};
pub use error::config::ConfigError;
pub use error::{SessionError, SessionRejection, StoreError};
pub use http::health::health;
pub use http::layer::{SessionFuture, SessionLayer, SessionService};
pub use id::{HashIds, InvalidSessionId, SessionId};
pub use record::Record;
pub use session::Session;
pub use session::flash::Flashes;
pub use session::handle::{InvalidSessionHandle, SessionHandle};
pub use session::key::{FlashKey, SessionData, SessionKey};
pub use session::lifetime::CookieState;
pub use session::login::Login;
pub use session::origin::Origin;
#[cfg(feature = "file")]
pub use store::file::folder::Durability;
#[cfg(feature = "file")]
pub use store::file::{FileStore, FileStoreBuilder};
pub use store::memory::{MemoryStore, MemoryStoreBuilder};
pub use store::moving::Moving;
pub use store::moving::drain::{Drain, Drained};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use store::redis::RedisStore;
#[cfg(feature = "redis")]
pub use store::redis::builder::RedisStoreBuilder;
#[cfg(feature = "sealed")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealed")))]
pub use store::sealed::Sealed;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use store::sql::identifier::InvalidIdentifier;
#[cfg(feature = "mysql")]
#[cfg_attr(docsrs, doc(cfg(feature = "mysql")))]
pub use store::sql::mysql::MySqlStore;
#[cfg(feature = "postgres")]
#[cfg_attr(docsrs, doc(cfg(feature = "postgres")))]
pub use store::sql::postgres::PostgresStore;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
pub use store::sql::sqlite::SqliteStore;
#[cfg(any(feature = "file", feature = "postgres", feature = "mysql", feature = "sqlite"))]
pub use store::sweeper::SweepHandle;
pub use store::users::UserIndex;
pub use store::version::Version;
pub use store::watched::Ended;
pub use store::{Replaced, SessionStore, Stored};
pub use users::created::CreatedSession;
pub use users::{UserSession, UserSessions};

/// What the macros of this crate write into others.
#[doc(hidden)]
pub mod __private {
    pub use futures_util::stream::BoxStream;
}

/// The version of the `redis` crate that [`RedisStore::new`] takes connections of. Its major version is
/// part of this crate's public API.
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc(no_inline)]
pub use redis;

/// The `sqlx` of the SQL stores, for a pool of your own: a pool of another version is another type.
/// Where `sqlx` makes a release that breaks programs, the release of this crate that takes it breaks
/// them as well, and says so in its version.
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
#[doc(no_inline)]
pub use sqlx;
