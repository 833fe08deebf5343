//! Sessions for axum that stay put.
#![forbid(unsafe_code)]

mod changes;
mod check;
mod commit;
mod config;
mod cookie;
mod error;
mod extract;
mod flash;
mod guard;
mod id;
mod json;
mod key;
mod layer;
mod options;
mod record;
mod secret;
mod session;
mod state;
mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use ::cookie::SameSite;

pub use config::{ConfigError, Priority, Secure, SessionConfig, SessionConfigBuilder};
pub use error::{SessionError, SessionRejection, StoreError};
pub use flash::Flashes;
pub use guard::SessionGuard;
pub use id::{InvalidSessionId, SessionId};
pub use key::{FlashKey, SessionKey};
pub use layer::{SessionLayer, SessionService};
pub use options::{CookieOptions, SessionOptions};
pub use record::Record;
pub use secret::{Secret, Secrets};
pub use session::{CookieState, Origin, Session};
pub use store::{MemoryStore, Replaced, SessionStore, Stored, SweepHandle, Version};
