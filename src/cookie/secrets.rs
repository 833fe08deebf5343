//! [`Secrets`]: the keys for a cookie's signature.

use std::fmt;

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
#[derive(Clone)]
pub struct Secrets(pub(super) Vec<Vec<u8>>);

impl Secrets {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The length of the shortest secret, in bytes.
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

/// One secret: text or bytes. The trait is sealed; [`Secrets`] lists the types that implement it.
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
