//! `RedisStore` over TLS, with certificates made here.

use std::error::Error as _;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use sessile::{Record, RedisStore, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Server};
use tempfile::TempDir;

use crate::redis_rights::every_call_works;

/// An authority that no system trusts.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // By default all certificates have one name, and one whose issuer has its own name counts as
        // self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

/// A server whose certificate is for this name.
fn server(authority: &Authority, name: &str) -> Option<(Server, TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = authority.sign(name);
    let write = |name: &str, text: String| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let files = [write("cert.pem", certificate), write("key.pem", key), write("ca.pem", authority.pem())];
    let server = servers::redis_over_tls(std::array::from_fn(|at| &*files[at]))?;
    Some((server, folder))
}

#[tokio::test]
async fn a_private_authority_and_a_client_certificate() {
    let authority = Authority::new();
    let Some((server, _folder)) = server(&authority, "127.0.0.1") else { return };
    let url = format!("rediss://{}/", server.address());
    let (certificate, key) = authority.sign("the store");
    let trusting = RedisStore::builder().root_certificates(authority.pem());
    let builder = trusting.clone().client_certificate(certificate, key);
    let store = builder.clone().connect(url.as_str()).await.unwrap();
    every_call_works(&store).await;
    // The server asks for a certificate, which only the builder with one has.
    assert!(trusting.connect(url.as_str()).await.unwrap_err().is_unavailable());
    // Nothing speaks in clear to this server.
    let clear = format!("redis://{}/", server.address());
    assert!(RedisStore::connect(clear.as_str()).await.unwrap_err().is_unavailable());
    // Nor does anything that has certificates to check.
    let refused = builder.connect(clear.as_str()).await.unwrap_err();
    assert!(refused.source().unwrap().to_string().contains("rediss://"), "{refused:?}");
    // A connection that is made again is made over TLS again.
    store.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.sign("the store");
    let Some((good, _folder)) = server(&authority, "127.0.0.1") else { return };
    let Some((misnamed, _folder)) = server(&authority, "elsewhere.example") else { return };
    let trusting = |roots: &Authority| {
        RedisStore::builder()
            .root_certificates(roots.pem())
            .client_certificate(certificate.clone(), key.clone())
            .timeout(Duration::from_secs(2))
    };
    for (builder, server) in [
        // Signed by nobody whom the system trusts.
        (RedisStore::builder(), &good),
        (trusting(&other), &good),
        (trusting(&authority), &misnamed),
    ] {
        let url = format!("rediss://{}/", server.address());
        let refused = builder.connect(url).await.unwrap_err();
        let why = refused.source().unwrap().to_string();
        assert!(refused.is_unavailable() && why.contains("certificate"), "{why}");
    }
    let broken = RedisStore::builder().root_certificates("no certificate");
    assert!(broken.connect(format!("rediss://{}/", good.address())).await.unwrap_err().is_unavailable());
}
