//! `RedisStore` over TLS, where rustls has two providers and the program has installed the one that the store
//! would not.

use sessile::RedisStore;
use sessile_test_servers::{self as servers, Certificates};

#[tokio::test]
async fn what_the_program_has_installed_stays() {
    rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
    let files = Certificates::new("root", "127.0.0.1");
    let Some(server) = servers::redis_over_tls(&files, &["--tls-auth-clients", "no"]) else { return };
    let builder = RedisStore::builder().root_certificates(files.authority.pem());
    builder.connect(format!("rediss://{}/", server.address())).await.unwrap();
    let installed = rustls::crypto::CryptoProvider::get_default().unwrap();
    assert!(format!("{installed:?}").contains("AwsLcRs"), "{installed:?}");
}
