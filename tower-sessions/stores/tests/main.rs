//! The published stores of tower-sessions: under the conformance kit, and with live programs that move over.

#[path = "../../tests/common/mod.rs"]
mod common;

use std::sync::LazyLock;

use common::moving;
use sessile_test_servers::Server;
use sessile_tower_sessions::v014::TowerStore;
use tempfile::TempDir;
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};
use tower_sessions_sqlx_store::sqlx::{PgPool, SqlitePool};
use tower_sessions_sqlx_store::{PostgresStore, SqliteStore};

static REDIS: LazyLock<Option<Server>> = LazyLock::new(|| sessile_test_servers::redis(&[]));
static POSTGRES: LazyLock<Option<Server>> = LazyLock::new(|| sessile_test_servers::postgres("UTC", &[]));
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

/// A database of its own for each test.
async fn sqlite() -> SqliteStore {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let url = format!("sqlite://{}/{n}.db?mode=rwc", FOLDER.path().display());
    let store = SqliteStore::new(SqlitePool::connect(&url).await.unwrap());
    store.migrate().await.unwrap();
    store
}

async fn redis() -> Option<RedisStore<Pool>> {
    let server = REDIS.as_ref()?;
    let config = Config::from_url(&format!("redis://{}", server.address())).unwrap();
    let pool = Pool::new(config, None, None, None, 2).unwrap();
    pool.connect();
    pool.wait_for_connect().await.unwrap();
    Some(RedisStore::new(pool))
}

async fn postgres() -> Option<PostgresStore> {
    let server = POSTGRES.as_ref()?;
    let url = format!("postgres://postgres@{}/postgres", server.address());
    let store = PostgresStore::new(PgPool::connect(&url).await.unwrap());
    // Two tests that begin at once make one table.
    while store.migrate().await.is_err() {
        tokio::task::yield_now().await;
    }
    Some(store)
}

mod sqlite_kit {
    use super::{TowerStore, sqlite};

    sessile::session_store_tests!(async || TowerStore::new(sqlite().await));
}

mod redis_kit {
    use super::{TowerStore, redis};

    sessile::session_store_tests!(async || redis().await.map(TowerStore::new));
}

#[tokio::test]
async fn users_of_a_program_on_sqlite_move() {
    moving::log_in_there_and_go_on_here(sqlite().await).await;
    moving::a_page_meets_in_one_session(sqlite().await).await;
}

#[tokio::test]
async fn users_of_a_program_on_postgres_move() {
    let Some(store) = postgres().await else { return };
    moving::log_in_there_and_go_on_here(store.clone()).await;
    moving::a_page_meets_in_one_session(store).await;
}

#[tokio::test]
async fn users_of_a_program_on_redis_move() {
    let Some(store) = redis().await else { return };
    moving::log_in_there_and_go_on_here(store.clone()).await;
    moving::a_page_meets_in_one_session(store).await;
}
