//! Secrets, and the signature they put on a cookie's value.
//!
//! The value is Express': `encodeURIComponent("s:" + id + "." + base64(HMAC-SHA256(secret, id)))` without padding.
//! A signature is verified as text, in constant time: decoding it first would accept a second spelling of the same
//! bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::cookie::{MAX_DECODED, SIGNATURE_LEN, decode_uri_component, encode_uri_component, unquote};
use crate::id::SessionId;

/// The secrets a cookie is signed with: the first signs, all of them verify.
///
/// Made from `&str`, `String`, `&[u8]`, `Vec<u8>`, `[u8; N]`, or a list of any of these, newest first.
#[derive(Clone)]
pub struct Secrets(Vec<Vec<u8>>);

impl Secrets {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn shortest(&self) -> usize {
        self.0.iter().map(Vec::len).min().unwrap_or(0)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} REDACTED)", self.0.len())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// One secret: text or bytes. Sealed; see [`Secrets`] for the types it stands for.
pub trait Secret: sealed::Sealed {
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
}

macro_rules! secret {
    ($([$($generics:tt)*] $type:ty => $bytes:ident),* $(,)?) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}
        impl<$($generics)*> Secret for $type {
            fn bytes(&self) -> &[u8] { self.$bytes() }
        }
        impl<$($generics)*> From<$type> for Secrets {
            fn from(secret: $type) -> Self { Self(vec![Secret::bytes(&secret).to_vec()]) }
        }
    )*};
}

secret! {
    [] &str => as_bytes,
    [] String => as_bytes,
    [] &String => as_bytes,
    [] &[u8] => as_ref,
    [] Vec<u8> => as_slice,
    [] &Vec<u8> => as_slice,
    [const N: usize] [u8; N] => as_slice,
    [const N: usize] &[u8; N] => as_slice,
}

impl<T: Secret> From<Vec<T>> for Secrets {
    fn from(secrets: Vec<T>) -> Self {
        Self::from(secrets.as_slice())
    }
}

impl<T: Secret> From<&[T]> for Secrets {
    fn from(secrets: &[T]) -> Self {
        Self(secrets.iter().map(|secret| Secret::bytes(secret).to_vec()).collect())
    }
}

impl<T: Secret, const N: usize> From<[T; N]> for Secrets {
    fn from(secrets: [T; N]) -> Self {
        Self::from(secrets.as_slice())
    }
}

impl<T: Secret, const N: usize> From<&[T; N]> for Secrets {
    fn from(secrets: &[T; N]) -> Self {
        Self::from(secrets.as_slice())
    }
}

/// Signs and verifies; each key's HMAC state is prepared once.
pub(crate) struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

/// A verified cookie.
pub(crate) struct Verified {
    pub(crate) id: SessionId,
    /// It was signed with an older secret, so it wants to be sent anew.
    pub(crate) old_secret: bool,
}

impl Signer {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        // HMAC takes keys of every length; the error type is the trait's, not the algorithm's.
        let keys = secrets.0.iter().filter_map(|key| Hmac::new_from_slice(key).ok()).collect();
        Self { keys }
    }

    /// The cookie's value as sent.
    pub(crate) fn sign(&self, id: &SessionId) -> String {
        let mut value = String::with_capacity(id.as_str().len() + SIGNATURE_LEN + 16);
        value.push_str("s%3A");
        encode_uri_component(id.as_str(), &mut value);
        value.push('.');
        if let Some(key) = self.keys.first() {
            let signature = signature(key, id.as_str());
            encode_uri_component(std::str::from_utf8(&signature).unwrap_or_default(), &mut value);
        }
        value
    }

    /// The inverse of [`Signer::sign`], from the value as it stands in the `Cookie` header.
    pub(crate) fn verify(&self, value: &[u8]) -> Option<Verified> {
        let mut buffer = [0; MAX_DECODED];
        let decoded = decode_uri_component(unquote(value), &mut buffer)?;
        let (id, given) = decoded.strip_prefix("s:")?.rsplit_once('.')?;
        if given.len() != SIGNATURE_LEN || id.is_empty() {
            return None;
        }
        let known = self.keys.iter().position(|key| {
            let mut expected = signature(key, id);
            let standard = expected.ct_eq(given.as_bytes());
            // bunWay writes the URL-safe alphabet.
            for byte in &mut expected {
                *byte = match *byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => other,
                };
            }
            (standard | expected.ct_eq(given.as_bytes())).into()
        })?;
        // A signed id that breaks the id rules was never minted here.
        let id = SessionId::parse(id).ok()?;
        Some(Verified { id, old_secret: known > 0 })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys REDACTED)", self.keys.len())
    }
}

fn signature(key: &Hmac<Sha256>, id: &str) -> [u8; SIGNATURE_LEN] {
    let mut mac = key.clone();
    mac.update(id.as_bytes());
    let mut text = [0; SIGNATURE_LEN];
    // 32 bytes are 43 characters without padding, so this cannot fail.
    let written = STANDARD_NO_PAD.encode_slice(mac.finalize().into_bytes(), &mut text);
    debug_assert_eq!(written.ok(), Some(SIGNATURE_LEN));
    text
}
