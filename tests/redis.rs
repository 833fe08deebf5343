//! `RedisStore` against a real server, the one `REDIS_URL` names.

#[cfg(not(feature = "redis"))]
#[test]
fn skipped_without_the_feature_redis() {
    eprintln!("skipped: RedisStore needs the feature `redis` and a server, named by REDIS_URL");
}

#[cfg(feature = "redis")]
mod single {
    use sessile::RedisStore;

    sessile::session_store_tests!(async || {
        let url = std::env::var("REDIS_URL").ok()?;
        Some(RedisStore::connect(url).await.unwrap())
    });
}
