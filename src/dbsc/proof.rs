//! [`SignedProof`]: what a device has signed, and [`Key`]: the public key that verifies it.
//!
//! A proof is a JWS in its compact form (RFC 7515, section 3.1) with `typ` `dbsc+jwt`. The algorithms are
//! ES256, with signatures of 64 bytes, and RS256 (RFC 7518, sections 3.3 and 3.4).

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use smol_str::SmolStr;

/// The longest proof that is looked at, in bytes. One with an RSA key of 4,096 bits has under 3,000.
const MAX_PROOF: usize = 4096;
/// The longest modulus of an RSA key in bytes: 4,096 bits, more than a TPM has.
const MAX_MODULUS: usize = 512;
const MIN_MODULUS: usize = 256;
const MAX_EXPONENT: usize = 8;
/// The length of a coordinate on P-256 in bytes.
const COORDINATE: usize = 32;

/// A proof whose form is right. Nothing of it is verified.
#[derive(Debug)]
pub(super) struct SignedProof<'h> {
    header: Header,
    claims: Claims,
    /// What is signed: the header and the claims as they were sent.
    signed: &'h str,
    signature: Vec<u8>,
}

#[derive(Debug, Deserialize)]
struct Header {
    alg: Alg,
    typ: String,
    jwk: Option<Jwk>,
    /// What a verifier must understand. There is nothing that this one would.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Alg {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kty")]
enum Jwk {
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
}

#[derive(Debug, Deserialize)]
struct Claims {
    jti: String,
    #[serde(default, deserialize_with = "present")]
    aud: Option<serde_json::Value>,
}

/// A value that is there, also if it is `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(Some)
}

/// The public key of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// The point on P-256, uncompressed.
    Es256([u8; 1 + 2 * COORDINATE]),
    Rs256 {
        n: Vec<u8>,
        e: Vec<u8>,
    },
}

impl<'h> SignedProof<'h> {
    /// Reads a proof from the value of a header: the JWS in quotes, as the standard has it, or without, as
    /// Chromium sends it.
    pub(super) fn read(value: &'h HeaderValue) -> Option<Self> {
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_PROOF)?;
        let text = unquoted(text.trim())?;
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = serde_json::from_slice::<Header>(&decode(header)?).ok()?;
        let claims = serde_json::from_slice::<Claims>(&decode(claims)?).ok()?;
        let signature = decode(signature)?;
        (header.typ == "dbsc+jwt" && header.crit.is_none()).then_some(Self {
            header,
            claims,
            signed,
            signature,
        })
    }

    /// The key that a registration brings, if the registration is signed with it.
    pub(super) fn registered(&self) -> Option<Key> {
        Key::of(self.header.jwk.as_ref()?).filter(|key| self.is_signed_with(key))
    }

    /// Whether the device with this key has signed the refresh. A refresh brings no key of its own.
    pub(super) fn is_refresh_of(&self, key: &Key) -> bool {
        self.header.jwk.is_none() && self.is_signed_with(key)
    }

    fn is_signed_with(&self, key: &Key) -> bool {
        let (signed, signature) = (self.signed.as_bytes(), &*self.signature);
        match (key, self.header.alg) {
            (Key::Es256(point), Alg::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature).is_ok()
            }
            (Key::Rs256 { n, e }, Alg::Rs256) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature).is_ok()
            }
            (Key::Es256(_), Alg::Rs256) | (Key::Rs256 { .. }, Alg::Es256) => false,
        }
    }

    /// The challenge that the proof answers.
    pub(super) fn challenge(&self) -> &[u8] {
        self.claims.jti.as_bytes()
    }

    /// Whether the proof was made for the endpoint at this path, if it says for which. `origin` is where the
    /// browser says that it is, or its end, the host with the port.
    pub(super) fn is_for(&self, origin: Option<&str>, path: &str) -> bool {
        match &self.claims.aud {
            None => true,
            Some(serde_json::Value::String(audience)) => {
                let place = audience.strip_suffix(path);
                let is_origin = |place: &str| {
                    let host = place.strip_prefix("https://").or_else(|| place.strip_prefix("http://"));
                    host.is_some_and(|host| {
                        !host.is_empty()
                            && !host.contains('/')
                            && origin.is_none_or(|origin| same_host(origin, host) || same_host(origin, place))
                    })
                };
                place.is_some_and(is_origin)
            }
            Some(_) => false,
        }
    }
}

fn same_host(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

impl Key {
    fn of(jwk: &Jwk) -> Option<Self> {
        match jwk {
            Jwk::Ec { crv, x, y } if crv == "P-256" => {
                let (x, y) = (decode(x)?, decode(y)?);
                let (x, y): ([u8; COORDINATE], [u8; COORDINATE]) = (x.try_into().ok()?, y.try_into().ok()?);
                Some(Self::point(x, y))
            }
            Jwk::Ec { .. } => None,
            Jwk::Rsa { n, e } => {
                let (n, e) = (decode(n)?, decode(e)?);
                let is_sensible = (MIN_MODULUS..=MAX_MODULUS).contains(&n.len()) && e.len() <= MAX_EXPONENT;
                is_sensible.then_some(Self::Rs256 { n, e })
            }
        }
    }

    fn point(x: [u8; COORDINATE], y: [u8; COORDINATE]) -> Self {
        // 4: the coordinates follow uncompressed (SEC 1, section 2.3.3).
        let mut point = [4; 1 + 2 * COORDINATE];
        point[1..=COORDINATE].copy_from_slice(&x);
        point[1 + COORDINATE..].copy_from_slice(&y);
        Self::Es256(point)
    }

    /// The key as it stands in the record: the algorithm, a dot, and what makes the key.
    pub(super) fn to_text(&self) -> SmolStr {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(point) => format!("ES256.{}", encode(&point[1..])).into(),
            Self::Rs256 { n, e } => format!("RS256.{}.{}", encode(n), encode(e)).into(),
        }
    }

    /// The key in a record.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let (alg, key) = text.split_once('.')?;
        match alg {
            "ES256" => {
                let point: [u8; 2 * COORDINATE] = decode(key)?.try_into().ok()?;
                let (x, y) = point.split_at(COORDINATE);
                Some(Self::point(x.try_into().ok()?, y.try_into().ok()?))
            }
            "RS256" => {
                let (n, e) = key.split_once('.')?;
                Some(Self::Rs256 { n: decode(n)?, e: decode(e)? })
            }
            _ => None,
        }
    }
}

/// The text without the quotes of a structured header's string. A JWS and a binding's name have nothing to
/// escape in them.
pub(super) fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(text) => text.strip_suffix('"'),
        None => Some(text),
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
