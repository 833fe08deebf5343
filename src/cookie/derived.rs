//! [`DerivedKeys`]: what is made of the secrets beside signatures: hashes of users, and handles of sessions.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use smol_str::SmolStr;

use crate::cookie::secrets::Secrets;
use crate::id::SessionId;

/// The first bytes of a user's hash name the key, so that the hash of a secret that was dropped is known as such.
const KEY_NAME: usize = 3;
/// The length of a hash in bytes: 128 bits.
const HASH: usize = 16;

/// Keys that are derived from the secrets, newest first.
pub(crate) struct DerivedKeys(Vec<Derived>);

struct Derived {
    /// The name of the key in hashes of users, in base64.
    name: SmolStr,
    users: Hmac<Sha256>,
    handles: Hmac<Sha256>,
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

    /// Whether a hash was made with one of the secrets.
    pub(crate) fn knows(&self, user: &str) -> bool {
        self.0.iter().any(|key| user.starts_with(key.name.as_str()))
    }

    /// Whether a hash was made with the newest secret.
    pub(crate) fn is_newest(&self, user: &str) -> bool {
        self.0.first().is_some_and(|key| user.starts_with(key.name.as_str()))
    }

    /// The handles of a session, one for each secret, newest first.
    pub(crate) fn handles(&self, id: &SessionId) -> impl Iterator<Item = [u8; HASH]> {
        self.0.iter().map(|key| mac(&key.handles, id.as_str()))
    }
}

impl Derived {
    fn new(secret: &[u8]) -> Option<Self> {
        // Invariant: a session id contains no control characters, so no signature of an id is one of these keys.
        let derive = |purpose: &str| {
            let key = Hmac::<Sha256>::new_from_slice(secret).ok()?;
            Hmac::new_from_slice(&key.chain_update(purpose).finalize().into_bytes()).ok()
        };
        let (names, users) = (derive("\0sessile key name")?, derive("\0sessile user")?);
        let name = encode::<KEY_NAME>(&names, "").into();
        Some(Self { name, users, handles: derive("\0sessile handle")? })
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
