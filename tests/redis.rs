//! `RedisStore` against a real server, the one `REDIS_URL` names. Without it, the tests are skipped.

use sessile::RedisStore;

async fn store() -> Option<RedisStore> {
    let url = std::env::var("REDIS_URL").ok()?;
    Some(RedisStore::connect(url).await.unwrap())
}

mod single {
    use super::*;
    sessile::session_store_tests!(async || store().await);
}
