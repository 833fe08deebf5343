//! Certificates that are made here, signed by authorities that no system trusts.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::files;

/// An authority that no system trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, with a key of its own.
    #[allow(clippy::new_without_default, reason = "each one is another")]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("it has no names");
        // By default all certificates have one name, and one whose issuer has its own name counts as
        // self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this name, and its key.
    pub fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("the name of a host");
        (params.signed_by(&key, &self.0).expect("a certificate").pem(), key.serialize_pem())
    }
}

/// The files of a server: a certificate for a name and its key, the certificate of the authority that signed
/// it, and that of another one which has signed nothing.
pub struct Certificates {
    pub authority: Authority,
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Files that a server may read that runs as this user, with a certificate for this name.
    pub fn new(user: &str, name: &str) -> Self {
        let authority = Authority::new();
        let (server, key) = authority.sign(name);
        let (ca, other) = (authority.pem(), Authority::new().pem());
        let texts = [("ca", &*ca), ("other", &*other), ("server", &*server), ("key", &*key)];
        Self { folder: files(user, &texts), authority }
    }

    /// The path of `ca`, `other`, `server` (its certificate) or `key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
