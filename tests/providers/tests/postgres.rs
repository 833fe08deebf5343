//! `PostgresStore` over TLS, where rustls has two providers and the program has installed none.

use std::time::Duration;

use sessile::{PostgresStore, Record, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Certificates};

#[tokio::test]
async fn rustls_alone_panics_and_the_store_connects() {
    // What the drivers call. It installs nothing when it panics.
    std::panic::catch_unwind(rustls::ClientConfig::builder).expect_err("rustls has one provider only");
    let files = Certificates::new("postgres", "localhost");
    let [certificate, key] = [("ssl_cert_file", "server"), ("ssl_key_file", "key")]
        .map(|(option, file)| format!("{option}={}", files.path(file).display()));
    let arguments = ["-c", "ssl=on", "-c", &certificate, "-c", &key];
    let Some(server) = servers::postgres("UTC", &arguments) else { return };
    // The mode that asks rustls for the provider of the process comes first.
    for mode in ["verify-ca", "verify-full", "require"] {
        let ca = files.path("ca").display().to_string();
        let url =
            format!("postgres://postgres@localhost:{}/postgres?sslmode={mode}&sslrootcert={ca}", server.port);
        let store = PostgresStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let id = SessionId::random();
        store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
        assert!(store.get(&id).await.unwrap().is_some());
    }
}
