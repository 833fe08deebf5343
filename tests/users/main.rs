//! Users: logins, their sessions, and their end, over the store in memory.

mod edges;
mod ended;
mod events;
mod limits;
mod lists;
mod logins;
mod operate;
mod races;
mod texts;

use std::time::Duration;

use sessile::testing::{TestClock, Visitor};
use sessile::{MemoryStore, Origin, SessionConfig, SessionConfigBuilder, SessionError};

const SECRET: &str = "a secret of at least 32 bytes for tests";
const HOUR: Duration = Duration::from_secs(3600);

/// Options over a store that follows the same clock.
fn builder(clock: &TestClock) -> SessionConfigBuilder {
    let store = MemoryStore::builder().clock(clock.clone()).build();
    SessionConfig::builder(SECRET).store(store).clock(clock.clone()).save_uninitialized(false)
}

/// A new visitor who logs in.
async fn log_in(config: &SessionConfig, user: &str) -> Result<Visitor, SessionError> {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.log_in(user)?;
    visitor.commit(&session).await?;
    Ok(visitor)
}

async fn origin(visitor: &Visitor) -> Origin {
    visitor.open().await.unwrap().origin()
}

async fn is_alive(visitor: &Visitor) -> bool {
    origin(visitor).await == Origin::Loaded
}
