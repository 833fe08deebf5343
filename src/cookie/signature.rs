//! The signature in a cookie's value.
//!
//! The value is Express' (the npm package `cookie-signature`):
//! `encodeURIComponent("s:" + id + "." + base64(HMAC-SHA256(secret, id)))`, where the base64 has no padding.
//!
//! A signature is compared as text, in constant time. Comparing the text needs no decoding and no buffer for
//! its result. It accepts and rejects the same cookies as decoding base64 strictly and comparing the bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use constant_time_eq::constant_time_eq_n;

use crate::cookie::mac::{CODE_LEN, MacKey};
use crate::cookie::recent::Recent;
use crate::cookie::secrets::Secrets;
use crate::cookie::uri_component::{decode_uri_component, unquote};
use crate::id::{MAX_LEN, SessionId};

/// The length of a signature in bytes: an HMAC-SHA256 in base64 without padding.
pub(crate) const SIGNATURE_LEN: usize = 43;
const _: () = assert!(matches!(base64::encoded_len(CODE_LEN, false), Some(SIGNATURE_LEN)));

/// The length of the longest decoded value in bytes: `s:`, the id, a dot, the signature.
pub(crate) const MAX_DECODED: usize = "s:".len() + MAX_LEN + ".".len() + SIGNATURE_LEN;

/// Signs ids, and verifies cookies.
pub(crate) struct Signer {
    /// Newest first; never empty.
    keys: Vec<MacKey>,
    recent: Recent<Verified>,
}

/// An id's signature in base64, as it stands in a decoded cookie.
#[derive(Clone, Copy)]
pub(crate) struct Signature(pub(super) [u8; SIGNATURE_LEN]);

/// What a cookie says that one of the secrets has signed.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) id: SessionId,
    /// The id's signature with the newest secret. `None` when an older secret has signed the cookie, which
    /// is then to be sent again.
    pub(crate) current: Option<Signature>,
}

impl Signer {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let keys: Vec<_> = secrets.list.iter().map(|secret| MacKey::new(secret)).collect();
        // Invariant: there is a secret, because a configuration without one is not built.
        debug_assert!(!keys.is_empty(), "there is no secret to sign with");
        Self { keys, recent: Recent::new() }
    }

    /// The signature of an id with the newest secret.
    pub(crate) fn sign(&self, id: &SessionId) -> Signature {
        // Invariant: there is a key (see `new`).
        self.keys.first().map_or(Signature([0; SIGNATURE_LEN]), |key| signature(key, id.as_str()))
    }

    /// The id in a value, as it stands in the `Cookie` header, if one of the secrets has signed it.
    pub(crate) fn verify(&self, value: &[u8]) -> Option<Verified> {
        if let Some(known) = self.recent.get(value) {
            return Some(known);
        }
        let mut buffer = [0; MAX_DECODED];
        let decoded = decode_uri_component(unquote(value), &mut buffer)?;
        let (signed, given) = decoded.strip_prefix(b"s:")?.split_last_chunk()?;
        let (id, given) = (std::str::from_utf8(signed.strip_suffix(b".")?).ok()?, Signature(*given));
        // bunWay writes the URL-safe alphabet of base64, Express the standard one.
        let url_safe = memchr::memchr2(b'-', b'_', &given.0).is_some();
        let (known, signature) = self.keys.iter().enumerate().find_map(|(at, key)| {
            let expected = signature(key, id);
            let expected_text = if url_safe { to_url_safe(expected) } else { expected };
            let same = constant_time_eq_n(&expected_text.0, &given.0);
            same.then_some((at, expected))
        })?;
        // An id that breaks the rules was not created here, even if the secret has signed it.
        let id = SessionId::parse(id).ok()?;
        let verified = Verified { id, current: (known == 0).then_some(signature) };
        self.recent.note(value, &verified);
        Some(verified)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({} keys REDACTED)", self.keys.len())
    }
}

/// The same signature in the URL-safe alphabet of base64.
fn to_url_safe(signature: Signature) -> Signature {
    Signature(signature.0.map(|letter| match letter {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }))
}

fn signature(key: &MacKey, id: &str) -> Signature {
    let mut text = [0; SIGNATURE_LEN];
    // Invariant: the base64 fills `text` exactly, as the assertion at `SIGNATURE_LEN` shows.
    let written = STANDARD_NO_PAD.encode_slice(key.code(id.as_bytes()), &mut text);
    debug_assert_eq!(written.ok(), Some(SIGNATURE_LEN), "a signature has another length");
    Signature(text)
}

#[cfg(test)]
mod tests {
    use hmac::{EagerHash, Hmac};
    use sha2::Sha256;
    use zeroize::ZeroizeOnDrop;

    use super::*;

    /// What holds a secret, or is made from one, is overwritten when it is dropped. The features `zeroize` of
    /// `hmac` and `sha2` see to it for the keys that are derived from a secret, whose HMAC consists of two states of
    /// the hash and a buffer.
    #[test]
    fn secrets_are_zeroized_on_drop() {
        fn is_zeroized<T: ZeroizeOnDrop>() {}
        fn secret_of(secrets: Secrets) -> impl ZeroizeOnDrop {
            secrets.list.into_iter().next()
        }
        drop(secret_of(Secrets::from("a secret")));
        is_zeroized::<MacKey>();
        is_zeroized::<<Sha256 as EagerHash>::Core>();
        assert!(std::mem::needs_drop::<Hmac<Sha256>>());
    }

    /// What is known of a value must not answer for another one: with each byte changed, cut short, and longer.
    #[test]
    fn a_value_that_was_verified_lately_vouches_for_no_other() {
        let signer = Signer::new(&Secrets::from("a secret"));
        let id = SessionId::new("an-id").unwrap();
        let signature = String::from_utf8(signer.sign(&id).0.to_vec()).unwrap();
        let value = format!("s%3Aan-id.{}", signature.replace('+', "%2B").replace('/', "%2F")).into_bytes();
        for _ in 0..3 {
            assert_eq!(signer.verify(&value).unwrap().id, id);
        }
        // All in its place of the table: whatever the hash is, the place is asked for this value.
        for at in 0..value.len() {
            let mut forged = value.clone();
            forged[at] ^= 1;
            assert!(signer.recent.get_placed(&value, &forged).is_none(), "byte {at}");
            assert!(signer.verify(&forged).is_none(), "byte {at}");
        }
        for forged in [&value[..value.len() - 1], &[&value[..], b"A"].concat()[..], b""] {
            assert!(signer.recent.get_placed(&value, forged).is_none() && signer.verify(forged).is_none());
        }
        assert!(signer.recent.get_placed(&value, &value).is_some());
    }
}
