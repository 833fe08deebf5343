//! `RedisStore` over TLS, with certificates made here.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{ClientTlsConfig, TlsCertificates};
use sessile::{Record, RedisStore, RedisStoreBuilder, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Authority, Certificates, Server};

use crate::redis_rights::every_call_works;

const MINUTE: Duration = Duration::from_secs(60);
/// The host of every server's address here.
const HERE: &str = "127.0.0.1";

/// The files of a server whose certificate is for this name. Redis runs as the user of the tests.
fn certificates(name: &str) -> Certificates {
    Certificates::new("root", name)
}

fn url(server: &Server) -> String {
    format!("rediss://{}/", server.address())
}

/// A builder that trusts this authority, and shows the servers a certificate of it.
fn trusting(authority: &Authority) -> RedisStoreBuilder {
    let (certificate, key) = authority.sign("the store");
    RedisStore::builder().root_certificates(authority.pem()).client_certificate(certificate, key)
}

/// A connection beside the store.
async fn beside(server: &Server, authority: &Authority) -> MultiplexedConnection {
    let (certificate, key) = authority.sign("a test");
    let client_tls = ClientTlsConfig { client_cert: certificate.into(), client_key: key.into() };
    let root_cert = Some(authority.pem().into());
    let certificates = TlsCertificates { client_tls: Some(client_tls), root_cert };
    let client = redis::Client::build_with_tls(url(server), certificates).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// What every error of the chain says.
fn chain(error: &sessile::StoreError) -> String {
    assert!(error.is_unavailable(), "{error:?}");
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(|error| format!(": {error}")).collect()
}

#[tokio::test]
async fn a_private_authority_and_a_client_certificate() {
    let files = certificates(HERE);
    let Some(server) = servers::redis_over_tls(&files, &[]) else { return };
    let builder = trusting(&files.authority);
    let store = builder.clone().connect(url(&server)).await.unwrap();
    every_call_works(&store).await;
    // The server asks for a certificate, which only the builder with one has.
    let without = RedisStore::builder().root_certificates(files.authority.pem());
    assert!(without.connect(url(&server)).await.unwrap_err().is_unavailable());
    // Nothing speaks in clear to this server.
    let clear = format!("redis://{}/", server.address());
    assert!(RedisStore::connect(clear.as_str()).await.unwrap_err().is_unavailable());
    // Nor does anything that has certificates to check.
    let refused = builder.clone().connect(clear.as_str()).await.unwrap_err();
    assert!(chain(&refused).contains("rediss://"), "{refused:?}");
    let refused = builder.clone().connect_cluster([url(&server), clear.clone()]).await.unwrap_err();
    assert!(chain(&refused).contains("rediss://"), "{refused:?}");
    let refused = builder.connect_sentinel([url(&server)], "redis://mymaster").await.unwrap_err();
    assert!(chain(&refused).contains("rediss://"), "{refused:?}");
    // A connection that is made again is made over TLS again.
    store.set(&SessionId::random(), &Record::default(), MINUTE).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let (files, misnamed) = (certificates(HERE), certificates("elsewhere.example"));
    let Some(good) = servers::redis_over_tls(&files, &[]) else { return };
    let Some(bad) = servers::redis_over_tls(&misnamed, &[]) else { return };
    let (certificate, key) = files.authority.sign("the store");
    let other =
        RedisStore::builder().root_certificates(Authority::new().pem()).client_certificate(certificate, key);
    for (builder, server) in [
        // Signed by nobody whom the system trusts.
        (RedisStore::builder(), &good),
        (other, &good),
        (trusting(&misnamed.authority), &bad),
    ] {
        let refused = builder.timeout(Duration::from_secs(2)).connect(url(server)).await.unwrap_err();
        assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    }
    let broken = RedisStore::builder().root_certificates("no certificate");
    assert!(broken.connect(url(&good)).await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn a_cluster_that_announces_addresses() {
    let files = certificates(HERE);
    let Some(nodes) = servers::redis_cluster_over_tls(&files, &[]) else { return };
    // One node is enough to find the others.
    let store = trusting(&files.authority).connect_cluster([url(&nodes[1])]).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..30 {
        every_call_works(&store).await;
        let id = SessionId::random();
        store.set(&id, &Record::default(), MINUTE).await.unwrap();
        ids.push(id);
    }
    assert!(store.get_many(&ids).await.unwrap().iter().all(Option::is_some));
    for node in &nodes {
        let mut beside = beside(node, &files.authority).await;
        let keys: usize = redis::cmd("DBSIZE").query_async(&mut beside).await.unwrap();
        assert!(keys > 0, "a node was never written to: this tests no cluster");
    }
    // A cluster whose certificates nobody has signed whom the store trusts.
    for builder in [RedisStore::builder(), trusting(&Authority::new())] {
        let builder = builder.timeout(Duration::from_secs(2));
        let refused = builder.connect_cluster(nodes.iter().map(url)).await.unwrap_err();
        assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    }
}

#[tokio::test]
async fn a_cluster_that_announces_names() {
    let files = certificates("localhost");
    let names = ["--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname"];
    let Some(nodes) = servers::redis_cluster_over_tls(&files, &names) else { return };
    let named = |node: &Server| format!("rediss://localhost:{}/", node.port);
    let store = trusting(&files.authority).connect_cluster([named(&nodes[0])]).await.unwrap();
    for _ in 0..10 {
        every_call_works(&store).await;
    }
    let builder = trusting(&files.authority).timeout(Duration::from_secs(2));
    let refused = builder.connect_cluster([url(&nodes[0])]).await.unwrap_err();
    assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
}

/// Waits until a Sentinel has heard of the others and of the replica. `ask` asks it about its primary.
async fn until_they_know_each_other(ask: impl AsyncFn() -> HashMap<String, String>) {
    let began = Instant::now();
    loop {
        let about = ask().await;
        if about["num-other-sentinels"] == "2" && about["num-slaves"] == "1" {
            return;
        }
        assert!(began.elapsed() < MINUTE, "the Sentinels do not know each other: {about:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_and_their_servers() {
    let files = certificates(HERE);
    let Some(mut old) = servers::redis_over_tls(&files, &[]) else { return };
    let port = old.port.to_string();
    let Some(new) = servers::redis_over_tls(&files, &["--replicaof", HERE, &port]) else { return };
    let Some(sentinels) = servers::sentinels_over_tls(&old, &files) else { return };
    for sentinel in &sentinels {
        until_they_know_each_other(async || {
            let mut beside = beside(sentinel, &files.authority).await;
            redis::cmd("SENTINEL").arg("MASTER").arg("mymaster").query_async(&mut beside).await.unwrap()
        })
        .await;
    }
    let urls: Vec<_> = sentinels.iter().map(url).collect();
    let builder = trusting(&files.authority);
    let store = builder.clone().connect_sentinel(urls.clone(), "rediss://mymaster").await.unwrap();
    every_call_works(&store).await;
    // The servers speak no clear text, and neither do the Sentinels.
    let clear = urls.iter().map(|url| url.replace("rediss", "redis"));
    assert!(builder.connect_sentinel(clear, "rediss://mymaster").await.unwrap_err().is_unavailable());
    for builder in [RedisStore::builder(), trusting(&Authority::new())] {
        let refused = builder.connect_sentinel(urls.clone(), "rediss://mymaster").await.unwrap_err();
        assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    }

    let (id, record) = (SessionId::random(), Record::from_json(r#"{"cookie":{},"n":1}"#).unwrap());
    store.set(&id, &record, MINUTE).await.unwrap();
    let (mut primary, began) = (beside(&old, &files.authority).await, Instant::now());
    while redis::cmd("WAIT").arg(1).arg(100).query_async::<u32>(&mut primary).await.unwrap() == 0 {
        assert!(began.elapsed() < MINUTE, "the replica does not follow");
    }
    let old = tokio::task::spawn_blocking(move || {
        old.kill();
        old
    });
    let old = old.await.unwrap();
    let died = Instant::now();
    while store.touch(&id, MINUTE).await.is_err() {
        assert!(died.elapsed() < MINUTE, "the store has not found the new primary");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("sentinel over TLS: back {:?} after the primary died", died.elapsed());
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), record.as_json());
    let mut primary = beside(&new, &files.authority).await;
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut primary).await.unwrap();
    assert_eq!(role[0], redis::Value::BulkString(b"master".to_vec()));
    drop((old, sentinels));
}

/// A server that a Sentinel does not speak for has no certificate that the store trusts.
#[tokio::test]
async fn sentinels_in_clear_and_servers_over_tls() {
    let files = certificates(HERE);
    let Some(server) = servers::redis_over_tls(&files, &[]) else { return };
    let Some(sentinels) = servers::sentinels_in_clear(&server, &files) else { return };
    let urls: Vec<_> = sentinels.iter().map(|sentinel| format!("redis://{}/", sentinel.address())).collect();
    let trusting = trusting(&files.authority).timeout(Duration::from_secs(2));
    let began = Instant::now();
    let store = loop {
        // A Sentinel that has just started names no primary.
        match trusting.clone().connect_sentinel(urls.clone(), "rediss://mymaster").await {
            Ok(store) => break store,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{}", chain(&error)),
        }
    };
    every_call_works(&store).await;
    let other = RedisStore::builder().root_certificates(Authority::new().pem());
    let refused = other.connect_sentinel(urls.clone(), "rediss://mymaster").await.unwrap_err();
    assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    // The certificates are there to be checked.
    let refused = trusting.connect_sentinel(urls, "redis://mymaster").await.unwrap_err();
    assert!(chain(&refused).contains("rediss://"), "{}", chain(&refused));
}
