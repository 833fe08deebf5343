//! `RedisStore` over TLS, where rustls has two providers and the program has installed none.

use sessile::{Record, RedisStore, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Certificates};
use std::time::Duration;

#[tokio::test]
async fn rustls_alone_panics_and_the_store_connects() {
    // What the drivers call. It installs nothing when it panics.
    std::panic::catch_unwind(rustls::ClientConfig::builder).expect_err("rustls has one provider only");
    let files = Certificates::new("root", "127.0.0.1");
    let Some(server) = servers::redis_over_tls(&files, &["--tls-auth-clients", "no"]) else { return };
    let builder = RedisStore::builder().root_certificates(files.authority.pem());
    let store = builder.connect(format!("rediss://{}/", server.address())).await.unwrap();
    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    assert!(store.get(&id).await.unwrap().is_some());
}
