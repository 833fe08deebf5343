//! [`DerivedKeys`]: what is made of the secrets beside signatures: hashes of users, handles of sessions, and the keys of
//! stamps.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use smol_str::SmolStr;
#[cfg(feature = "sealed")]
use zeroize::Zeroizing;

use crate::cookie::secrets::{Secrets, derived};
use crate::id::SessionId;

/// The first bytes of a user's hash name the key, so that the hash of a secret that was dropped is known as
/// such.
const KEY_NAME: usize = 3;
/// The length of a hash in bytes: 128 bits.
const HASH: usize = 16;
/// The same in base64.
const HASH_TEXT: usize = (HASH * 8).div_ceil(6);

/// Keys that are derived from the secrets, newest first.
pub(crate) struct DerivedKeys(Vec<Derived>);

struct Derived {
    /// The name of the key in hashes of users, in base64.
    name: SmolStr,
    users: Hmac<Sha256>,
    handles: Hmac<Sha256>,
    adopted: Hmac<Sha256>,
    #[cfg(feature = "dbsc")]
    devices: Hmac<Sha256>,
}

impl DerivedKeys {
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let mut keys: Vec<Derived> = Vec::new();
        for key in secrets.bytes().filter_map(Derived::new) {
            // A secret that stands in the list twice would give each user two lists that are one.
            if !keys.iter().any(|known| known.is(&key)) {
                keys.push(key);
            }
        }
        Self(keys)
    }

    /// The hashes of a user, one for each secret, newest first.
    pub(crate) fn users(&self, user: &str) -> Vec<SmolStr> {
        let hash = |key: &Derived| format!("{}{}", key.name, encode::<HASH>(&key.users, user));
        self.0.iter().map(|key| hash(key).into()).collect()
    }

    /// Whether a hash is one of this user's, by any of the secrets.
    pub(crate) fn is_user(&self, user: &str, hash: &str) -> bool {
        let mut text = [0; HASH_TEXT];
        self.0.iter().any(|key| {
            hash.strip_prefix(key.name.as_str()).is_some_and(|hash| {
                URL_SAFE_NO_PAD.encode_slice(mac::<HASH>(&key.users, user), &mut text).is_ok()
                    && hash.as_bytes() == text
            })
        })
    }

    /// Whether a hash was made with one of the secrets.
    pub(crate) fn knows(&self, user: &str) -> bool {
        self.0.iter().any(|key| user.starts_with(key.name.as_str()))
    }

    /// Whether a hash was made with the newest secret.
    pub(crate) fn is_newest(&self, user: &str) -> bool {
        self.0.first().is_some_and(|key| user.starts_with(key.name.as_str()))
    }

    /// The keys of what a bound device is sent, newest first.
    #[cfg(feature = "dbsc")]
    pub(super) fn devices(&self) -> impl Iterator<Item = &Hmac<Sha256>> {
        self.0.iter().map(|key| &key.devices)
    }

    /// The id of a session that was adopted from another library, where it had the `old` id.
    pub(crate) fn adopted(&self, old: &str) -> SessionId {
        let newest = self.0.first().map(|key| mac::<HASH>(&key.adopted, old));
        // Invariant: a configuration has a secret.
        debug_assert!(newest.is_some(), "there is no secret to make an id with");
        newest.map_or_else(SessionId::random, SessionId::of_random)
    }

    /// The handles of a session, one for each secret, newest first.
    pub(crate) fn handles(&self, id: &SessionId) -> impl Iterator<Item = [u8; HASH]> {
        self.0.iter().map(|key| mac(&key.handles, id.key().as_str()))
    }
}

/// The keys that seal records, newest first.
#[cfg(feature = "sealed")]
pub(crate) fn sealing_keys(secrets: &Secrets) -> impl Iterator<Item = Zeroizing<[u8; 32]>> {
    secrets.bytes().filter_map(|secret| derived(secret, "\0sessile seal"))
}

impl Derived {
    fn new(secret: &[u8]) -> Option<Self> {
        let derive = |purpose| Hmac::new_from_slice(&*derived(secret, purpose)?).ok();
        let (names, users) = (derive("\0sessile key name")?, derive("\0sessile user")?);
        let name = encode::<KEY_NAME>(&names, "").into();
        Some(Self {
            name,
            users,
            handles: derive("\0sessile handle")?,
            adopted: derive("\0sessile adopted")?,
            #[cfg(feature = "dbsc")]
            devices: derive("\0sessile device")?,
        })
    }

    fn is(&self, other: &Self) -> bool {
        mac::<HASH>(&self.users, "") == mac::<HASH>(&other.users, "")
    }
}

fn mac<const N: usize>(key: &Hmac<Sha256>, text: &str) -> [u8; N] {
    let full = key.clone().chain_update(text).finalize().into_bytes();
    let mut short = [0; N];
    short.copy_from_slice(&full[..N]);
    short
}

fn encode<const N: usize>(key: &Hmac<Sha256>, text: &str) -> String {
    URL_SAFE_NO_PAD.encode(mac::<N>(key, text))
}

impl fmt::Debug for DerivedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DerivedKeys({} keys REDACTED)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever learns one of the keys learns none of the others, and not the secret: no two of them make the
    /// same hash.
    #[test]
    fn every_purpose_has_a_key_of_its_own() {
        let secret = b"a secret of 32 bytes or more, for every purpose";
        let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).unwrap();
        let derived = Derived::new(secret).unwrap();
        // The signature of an id is made with the secret itself.
        let mut keys = vec![keyed(secret), derived.users, derived.handles];
        keys.push(derived.adopted);
        #[cfg(feature = "dbsc")]
        keys.push(derived.devices);
        #[cfg(feature = "sealed")]
        keys.extend(sealing_keys(&Secrets::from(secret)).map(|key| keyed(&*key)));
        let mut hashes: Vec<_> = keys.iter().map(|key| mac::<HASH>(key, "text")).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), keys.len(), "two purposes share a key");
    }
}
