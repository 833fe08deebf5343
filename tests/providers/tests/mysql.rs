//! `MySqlStore` over TLS, where rustls has two providers and the program has installed none.

use std::time::Duration;

use sessile::{MySqlStore, Record, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Certificates};

#[tokio::test]
async fn rustls_alone_panics_and_the_store_connects() {
    // What the drivers call. It installs nothing when it panics.
    std::panic::catch_unwind(rustls::ClientConfig::builder).expect_err("rustls has one provider only");
    let files = Certificates::new("mysql", "localhost");
    let options = [("--ssl-cert", "server"), ("--ssl-key", "key")]
        .map(|(option, file)| format!("{option}={}", files.path(file).display()));
    let Some(server) = servers::mariadb(&[&options[0], &options[1]]) else { return };
    // The mode that asks rustls for the provider of the process comes first.
    for mode in ["VERIFY_CA", "VERIFY_IDENTITY", "REQUIRED"] {
        let ca = files.path("ca").display().to_string();
        let url =
            format!("mysql://sessile:sessile@localhost:{}/test?ssl-mode={mode}&ssl-ca={ca}", server.port);
        let store = MySqlStore::connect(&url).await.unwrap();
        store.migrate().await.unwrap();
        let id = SessionId::random();
        store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
        assert!(store.get(&id).await.unwrap().is_some());
    }
}
