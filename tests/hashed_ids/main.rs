//! `hash_ids`: the kit over stores that see hashes, what a stolen store is worth, and a store with live
//! sessions that is moved over.

mod moving;
mod price;
mod stolen;

use std::time::Duration;

use sessile::testing::{HashedIds, TestClock, Visitor};
use sessile::{HashIds, MemoryStore, Origin, SessionConfig, SessionConfigBuilder};

const SECRET: &str = "a secret of at least 32 bytes for tests";
const HOUR: Duration = Duration::from_secs(3600);

mod memory {
    use super::*;
    sessile::session_store_tests!(async || HashedIds::new(MemoryStore::new()));
}

/// A store and a clock that all configurations of a test share.
struct Shared {
    clock: TestClock,
    store: MemoryStore,
}

impl Shared {
    fn new() -> Self {
        let clock = TestClock::new();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        Self { clock, store }
    }

    fn builder(&self) -> SessionConfigBuilder {
        let builder = SessionConfig::builder(SECRET).store(self.store.clone()).clock(self.clock.clone());
        builder.save_uninitialized(false).max_age(12 * HOUR)
    }

    fn plain(&self) -> SessionConfig {
        self.builder().build().unwrap()
    }

    fn hashed(&self) -> SessionConfig {
        self.builder().hash_ids(HashIds::On).build().unwrap()
    }

    fn moving(&self, left: Duration) -> SessionConfig {
        let until = sessile::Clock::now(&self.clock) + left;
        self.builder().hash_ids(HashIds::MovingUntil(until)).build().unwrap()
    }
}

async fn log_in(config: &SessionConfig, user: &str) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.log_in(user).unwrap();
    visitor.commit(&session).await.unwrap();
    visitor
}

/// The same browser before another configuration.
fn at(config: &SessionConfig, visitor: &Visitor) -> Visitor {
    Visitor::with_id(config, &visitor.id().unwrap())
}

async fn origin(visitor: &Visitor) -> Origin {
    visitor.open().await.unwrap().origin()
}
