//! The signature on a cookie's value.
//!
//! The value is Express': `encodeURIComponent("s:" + id + "." + base64(HMAC-SHA256(secret, id)))` without padding.
//! A signature is compared as text, in constant time. Comparing text needs no decoding and no buffer for its result, and
//! gives the same verdicts as decoding base64 strictly and comparing the bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use constant_time_eq::constant_time_eq_n;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::cookie::secrets::Secrets;
use crate::cookie::uri_component::{decode_uri_component, unquote};
use crate::id::{MAX_LEN, SessionId};

/// Length of a base64 HMAC-SHA256 without padding.
pub(crate) const SIGNATURE_LEN: usize = 43;

/// `s:`, the id, a dot, the signature.
pub(crate) const MAX_DECODED: usize = 2 + MAX_LEN + 1 + SIGNATURE_LEN;

/// Signs and verifies; each key's HMAC state is prepared once.
pub(crate) struct Signer {
    keys: Vec<Hmac<Sha256>>,
}

/// An id's signature, as the cookie has it once decoded.
#[derive(Clone, Copy)]
pub(crate) struct Signature(pub(super) [u8; SIGNATURE_LEN]);

/// A verified cookie.
pub(crate) struct Verified {
    pub(crate) id: SessionId,
    /// The id's signature by the current secret. `None`: it was signed with an older one, so it wants to be sent anew.
    pub(crate) current: Option<Signature>,
}

impl Signer {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        // HMAC takes keys of every length; the error type is the trait's, not the algorithm's.
        let keys = secrets.0.iter().filter_map(|key| Hmac::new_from_slice(key).ok()).collect();
        Self { keys }
    }

    /// The signature of an id by the current secret.
    pub(crate) fn sign(&self, id: &SessionId) -> Signature {
        // A configuration without a secret is not built.
        self.keys.first().map_or(Signature([0; SIGNATURE_LEN]), |key| signature(key, id.as_str()))
    }

    /// The inverse of [`Signer::sign`], from the value as it stands in the `Cookie` header.
    pub(crate) fn verify(&self, value: &[u8]) -> Option<Verified> {
        let mut buffer = [0; MAX_DECODED];
        let decoded = decode_uri_component(unquote(value), &mut buffer)?;
        let (signed, given) = decoded.strip_prefix(b"s:")?.split_last_chunk()?;
        let (id, given) = (std::str::from_utf8(signed.strip_suffix(b".")?).ok()?, Signature(*given));
        // bunWay writes the URL-safe alphabet.
        let url_safe = memchr::memchr2(b'-', b'_', &given.0).is_some();
        let (known, signature) = self.keys.iter().enumerate().find_map(|(at, key)| {
            let expected = signature(key, id);
            let expected_text = if url_safe { to_url_safe(expected) } else { expected };
            let same = constant_time_eq_n(&expected_text.0, &given.0);
            same.then_some((at, expected))
        })?;
        // A signed id that breaks the id rules was never minted here.
        let id = SessionId::parse(id).ok()?;
        Some(Verified { id, current: (known == 0).then_some(signature) })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys REDACTED)", self.keys.len())
    }
}

fn to_url_safe(signature: Signature) -> Signature {
    Signature(signature.0.map(|letter| match letter {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }))
}

fn signature(key: &Hmac<Sha256>, id: &str) -> Signature {
    let mut mac = key.clone();
    mac.update(id.as_bytes());
    let mut text = [0; SIGNATURE_LEN];
    // 32 bytes are 43 characters without padding, so this cannot fail.
    let written = STANDARD_NO_PAD.encode_slice(mac.finalize().into_bytes(), &mut text);
    debug_assert_eq!(written.ok(), Some(SIGNATURE_LEN));
    Signature(text)
}
