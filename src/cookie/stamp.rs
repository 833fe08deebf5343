//! [`Purpose`]: stamps, each a time with a MAC over it. They are what a bound device is sent: its cookie and its challenges.
//!
//! The server keeps no copy of them. A stamp is worth something for one purpose and one binding, until it is
//! too old.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use constant_time_eq::constant_time_eq_n;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::cookie::derived::DerivedKeys;

/// The length of a stamp in bytes: the time and an HMAC-SHA256.
const LEN: usize = TIME + MAC;
const TIME: usize = 8;
const MAC: usize = 32;
/// The length of its text.
const TEXT: usize = 54;
const _: () = assert!(matches!(base64::encoded_len(LEN, false), Some(TEXT)));

/// What a stamp is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The value of the bound cookie, with the time of the device's last proof.
    Cookie,
    /// The challenge of a registration.
    Register,
    /// The challenge of a refresh.
    Refresh,
}

impl Purpose {
    /// A stamp for the binding of this name. The time is in milliseconds since 1970.
    pub(crate) fn stamp(self, keys: &DerivedKeys, binding: &str, time: u64) -> String {
        let time = time.to_be_bytes();
        let mut stamp = [0; LEN];
        stamp[..TIME].copy_from_slice(&time);
        // Invariant: a configuration has a secret.
        let mac = keys.devices().next().map(|key| self.mac(key, binding, time));
        debug_assert!(mac.is_some(), "there is no secret to make a stamp with");
        stamp[TIME..].copy_from_slice(&mac.unwrap_or_default());
        URL_SAFE_NO_PAD.encode(stamp)
    }

    /// The time of a stamp, if it was made for this purpose and this binding, with one of the secrets.
    pub(crate) fn read(self, keys: &DerivedKeys, binding: &str, text: &[u8]) -> Option<u64> {
        // The decoder asks for room by the length of the text alone, a byte more than is needed.
        let mut stamp = [0; LEN + 2];
        if text.len() != TEXT || URL_SAFE_NO_PAD.decode_slice(text, &mut stamp).ok()? != LEN {
            return None;
        }
        let (time, given) = stamp[..LEN].split_first_chunk::<TIME>()?;
        let given = given.first_chunk::<MAC>()?;
        let is_ours = |key| constant_time_eq_n(&self.mac(key, binding, *time), given);
        keys.devices().any(is_ours).then_some(u64::from_be_bytes(*time))
    }

    fn mac(self, key: &Hmac<Sha256>, binding: &str, time: [u8; TIME]) -> [u8; MAC] {
        let purpose = match self {
            Self::Cookie => b'c',
            Self::Register => b'r',
            Self::Refresh => b'f',
        };
        // The parts before the name have fixed lengths, so no two stamps are made of the same bytes.
        let mac = key.clone().chain_update([purpose]).chain_update(time).chain_update(binding);
        mac.finalize().into_bytes().into()
    }
}
