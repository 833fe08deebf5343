//! The conformance kit over the memory stores of tower-sessions.

mod memory_014 {
    use sessile_tower_sessions::v014::TowerStore;

    sessile::session_store_tests!(async || TowerStore::new(tower_sessions_014::MemoryStore::default()));
}

#[cfg(feature = "v015")]
mod memory_015 {
    use sessile_tower_sessions::v015::TowerStore;

    sessile::session_store_tests!(async || TowerStore::new(tower_sessions_015::MemoryStore::default()));
}

/// A store of tower-sessions as the old one of [`sessile::Moving`]: every session begins there, as if a process
/// had made it that knows of no other, and moves when it is written to.
mod moving_014 {
    use std::time::Duration;

    use sessile::{MemoryStore, Moving, Record, SessionId, SessionStore, StoreError};
    use sessile_tower_sessions::v014::TowerStore;
    use tokio::sync::Mutex;

    type Old = TowerStore<tower_sessions_014::MemoryStore>;

    struct Underway {
        old: Old,
        moving: Moving,
        /// The old store creates in two steps.
        creating: Mutex<()>,
    }

    impl SessionStore for Underway {
        sessile::forward_store!(self => self.moving, except set, create);

        async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
            if self.create(id, record, ttl).await? {
                return Ok(());
            }
            self.moving.set(id, record, ttl).await
        }

        async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
            let _alone = self.creating.lock().await;
            Ok(self.moving.get(id).await?.is_none() && self.old.create(id, record, ttl).await?)
        }
    }

    async fn underway() -> Underway {
        let old = TowerStore::new(tower_sessions_014::MemoryStore::default());
        let moving = Moving::new(old.clone(), MemoryStore::new());
        let drained = moving.drain().next().await;
        assert!(drained.is_err_and(|error| error.is_unsupported()), "the store lists no ids");
        Underway { old, moving, creating: Mutex::default() }
    }

    sessile::session_store_tests!(underway);

    #[tokio::test]
    async fn a_session_moves_with_its_next_write() {
        let store = underway().await;
        let id = SessionId::random();
        store.create(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
        assert!(store.old.get(&id).await.unwrap().is_some());
        assert!(store.touch(&id, Duration::from_secs(60)).await.unwrap());
        assert!(store.old.get(&id).await.unwrap().is_none());
        assert!(store.moving.get(&id).await.unwrap().is_some());
    }
}
