//! [`Secrets`]: the keys for a cookie's signature.

use std::fmt;

use uuid::Uuid;
use zeroize::Zeroizing;

/// The secrets for the cookie's signature: the first one signs, and all of them verify.
///
/// Made from one secret (`&str`, `String`, `&[u8]`, `Vec<u8>` or `[u8; N]`), or from a list of secrets,
/// newest first. To change a secret, put the new one before the old one; drop the old one after the longest
/// max-age, when every cookie has expired or was signed again.
///
/// ```
/// use sessile::{Secrets, SessionConfig};
///
/// let secrets = Secrets::from(["the new secret of 32 bytes or more", "the old secret of 32 bytes or more"]);
/// let config = SessionConfig::new(secrets)?;
/// # Ok::<(), sessile::ConfigError>(())
/// ```
///
/// The secrets' memory is overwritten when it is freed, and so is the state of the HMAC that is made from
/// them. A secret that is passed by value (`String`, `Vec<u8>`) is taken over without a copy; of one that is
/// passed by reference, the original stays with the caller.
#[derive(Clone)]
pub struct Secrets(pub(super) Vec<Zeroizing<Vec<u8>>>);

impl Secrets {
    /// A secret of 32 random bytes, for tests and for the first run of a program. Nobody else has it, so the
    /// sessions end with the process, and a second process cannot read the cookies of the first. A warning in the
    /// log says so.
    ///
    /// In production, read the secret from where you keep secrets. `openssl rand -base64 32` makes one.
    #[must_use]
    pub fn random() -> Self {
        tracing::warn!("a random session secret was made: the sessions end with this process");
        // Each has 122 random bits.
        let uuids = [Uuid::new_v4(), Uuid::new_v4()];
        Self(vec![Zeroizing::new(uuids.map(Uuid::into_bytes).concat())])
    }

    /// The secrets, newest first.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|secret| secret.as_slice())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of the shortest secret, in bytes.
    pub(crate) fn shortest(&self) -> usize {
        self.0.iter().map(|secret| secret.len()).min().unwrap_or(0)
    }

    /// How many distinct bytes the secret with the fewest of them has.
    pub(crate) fn fewest_distinct_bytes(&self) -> usize {
        let distinct = |secret: &[u8]| {
            let mut seen = [false; 256];
            secret.iter().for_each(|&byte| seen[usize::from(byte)] = true);
            seen.into_iter().filter(|&seen| seen).count()
        };
        self.0.iter().map(|secret| distinct(secret)).min().unwrap_or(0)
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

/// One secret: text or bytes. The trait is sealed; [`Secrets`] lists the types that implement it.
pub trait Secret: sealed::Sealed + Clone {
    // The name must be one that no other type has: a method of a trait in scope goes before those that a type
    // has through `Deref`, so a method called `bytes` would hide that of `str` from a `String`.
    #[doc(hidden)]
    fn __sessile_into_secret_bytes(self) -> Vec<u8>;
}

macro_rules! secret {
    ($([$($generics:tt)*] $type:ty => $into_bytes:expr),* $(,)?) => {$(
        impl<$($generics)*> sealed::Sealed for $type {}
        impl<$($generics)*> Secret for $type {
            fn __sessile_into_secret_bytes(self) -> Vec<u8> { $into_bytes(self) }
        }
        impl<$($generics)*> From<$type> for Secrets {
            fn from(secret: $type) -> Self { Self(vec![into_bytes(secret)]) }
        }
    )*};
}

secret! {
    [] &str => Vec::from,
    [] String => String::into_bytes,
    [] &String => |text: &String| text.as_bytes().to_vec(),
    [] &[u8] => Vec::from,
    [] Vec<u8> => std::convert::identity,
    [] &Vec<u8> => Vec::clone,
    [const N: usize] [u8; N] => |bytes: [u8; N]| bytes.to_vec(),
    [const N: usize] &[u8; N] => |bytes: &[u8; N]| bytes.to_vec(),
}

fn into_bytes(secret: impl Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(secret.__sessile_into_secret_bytes())
}

impl<T: Secret> From<Vec<T>> for Secrets {
    fn from(secrets: Vec<T>) -> Self {
        Self(secrets.into_iter().map(into_bytes).collect())
    }
}

impl<T: Secret> From<&[T]> for Secrets {
    fn from(secrets: &[T]) -> Self {
        Self(secrets.iter().cloned().map(into_bytes).collect())
    }
}

impl<T: Secret, const N: usize> From<[T; N]> for Secrets {
    fn from(secrets: [T; N]) -> Self {
        Self(secrets.into_iter().map(into_bytes).collect())
    }
}

impl<T: Secret, const N: usize> From<&[T; N]> for Secrets {
    fn from(secrets: &[T; N]) -> Self {
        Self::from(secrets.as_slice())
    }
}
