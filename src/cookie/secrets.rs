//! [`Secrets`]: the keys for a cookie's signature.

use std::sync::Arc;
use std::{fmt, io};

#[cfg(feature = "cookie-session")]
use axum_extra::extract::cookie::Key;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The secrets for the cookie's signature: the first one signs, and all of them verify.
///
/// Made from one secret (`&str`, `String`, `&[u8]`, `Vec<u8>` or `[u8; N]`), or from a list of secrets,
/// newest first. To change a secret, put the new one before the old one; drop the old one after the longest
/// max-age, when every cookie has expired or was signed again. [`Secrets::watched`] does so without a restart.
///
/// With the feature `cookie-session`, also made from the `Key` of axum-extra's cookie jars, or a list of them:
/// one key serves the jars and the sessions of an app. The secret is derived from the key, so neither can
/// forge what the other has signed.
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
pub struct Secrets {
    pub(super) list: Vec<Zeroizing<Vec<u8>>>,
    /// Where the list is read from, at start and again later.
    source: Option<Source>,
}

/// Reads the secrets.
pub(crate) type Source = Arc<dyn Fn() -> io::Result<Secrets> + Send + Sync>;

/// The shortest secret, in bytes, that is accepted without a warning. 32 bytes are as long as the output of
/// SHA-256; RFC 2104, section 3, advises against shorter keys for HMAC.
pub(crate) const GOOD_SECRET: usize = 32;

impl Secrets {
    /// A secret of 32 random bytes, for tests and for the first run of a program. Nobody else has it, so the
    /// sessions end with the process, and a second process cannot read the cookies of the first. A warning in
    /// the log says so.
    ///
    /// In production, read the secret from where you keep secrets. `openssl rand -base64 32` makes one.
    #[must_use]
    pub fn random() -> Self {
        tracing::warn!("a random session secret was made: the sessions end with this process");
        // Each has 122 random bits.
        let uuids = [Uuid::new_v4(), Uuid::new_v4()];
        Self::of(vec![Zeroizing::new(uuids.map(Uuid::into_bytes).concat())])
    }

    /// Secrets that can change while the program runs, such as those of a file that is renewed.
    ///
    /// The closure is called by [`build`](crate::SessionConfigBuilder::build), and then at most once a minute,
    /// beside the requests and on a thread that may block. What it returns holds for all later requests: a
    /// new secret at the front signs from then on, and cookies that one of the others has signed are accepted
    /// and signed anew. If it fails, or returns what `build` would refuse, the last secrets stay, and an error
    /// in the log says so.
    ///
    /// Give every process the new secret before one of them signs with it: first at the end of the list, and
    /// at the front once all processes have it. `Sealed` (feature `sealed`) reads its keys once.
    ///
    /// ```
    /// use sessile::{Secrets, SessionConfig};
    ///
    /// // One secret a line, the newest first.
    /// let secrets = Secrets::watched(|| {
    ///     let file = std::fs::read_to_string("session-secrets.txt")?;
    ///     Ok(file.lines().collect::<Vec<_>>().into())
    /// });
    /// let config = SessionConfig::new(secrets);
    /// assert!(config.is_err(), "the file is not there");
    /// ```
    #[must_use]
    pub fn watched(read: impl Fn() -> io::Result<Secrets> + Send + Sync + 'static) -> Self {
        Self { list: Vec::new(), source: Some(Arc::new(read)) }
    }

    fn of(list: Vec<Zeroizing<Vec<u8>>>) -> Self {
        Self { list, source: None }
    }

    /// Takes out the secrets as they are now, and where they are read from, if they can change.
    ///
    /// # Errors
    /// Those of the closure that reads them.
    pub(crate) fn read(&mut self) -> io::Result<(Self, Option<Source>)> {
        match self.source.take() {
            None => Ok((Self::of(std::mem::take(&mut self.list)), None)),
            // Only the list counts of what the closure returns.
            Some(read) => Ok((Self::of(read()?.list), Some(read))),
        }
    }

    /// The secrets, newest first.
    pub(super) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|secret| secret.as_slice())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The length of the shortest secret, in bytes.
    pub(crate) fn shortest(&self) -> usize {
        self.list.iter().map(|secret| secret.len()).min().unwrap_or(0)
    }

    /// How many distinct bytes the secret with the fewest of them has.
    pub(crate) fn fewest_distinct_bytes(&self) -> usize {
        let distinct = |secret: &[u8]| {
            let mut seen = [false; 256];
            secret.iter().for_each(|&byte| seen[usize::from(byte)] = true);
            seen.into_iter().filter(|&seen| seen).count()
        };
        self.list.iter().map(|secret| distinct(secret)).min().unwrap_or(0)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some(_) => f.write_str("Secrets(watched REDACTED)"),
            None => write!(f, "Secrets({} REDACTED)", self.list.len()),
        }
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
            fn from(secret: $type) -> Self { Self::of(vec![into_bytes(secret)]) }
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

#[cfg(feature = "cookie-session")]
secret! {
    [] Key => |key: Key| of_cookie_key(&key),
    [] &Key => of_cookie_key,
}

/// The secret for sessions beside the cookies that a key signs and encrypts.
#[cfg(feature = "cookie-session")]
fn of_cookie_key(key: &Key) -> Vec<u8> {
    // Invariant: HMAC accepts keys of every length, so there is a key.
    derived(key.master(), "\0sessile cookie key").map_or_else(Vec::new, |key| key.to_vec())
}

/// A key for one purpose.
///
/// Invariant: a session id contains no control characters, and each purpose begins with one. So no signature
/// of an id is such a key.
pub(super) fn derived(secret: &[u8], purpose: &str) -> Option<Zeroizing<[u8; 32]>> {
    let key = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    Some(Zeroizing::new(key.chain_update(purpose).finalize().into_bytes().into()))
}

fn into_bytes(secret: impl Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(secret.__sessile_into_secret_bytes())
}

impl<T: Secret> From<Vec<T>> for Secrets {
    fn from(secrets: Vec<T>) -> Self {
        Self::of(secrets.into_iter().map(into_bytes).collect())
    }
}

impl<T: Secret> From<&[T]> for Secrets {
    fn from(secrets: &[T]) -> Self {
        Self::of(secrets.iter().cloned().map(into_bytes).collect())
    }
}

impl<T: Secret, const N: usize> From<[T; N]> for Secrets {
    fn from(secrets: [T; N]) -> Self {
        Self::of(secrets.into_iter().map(into_bytes).collect())
    }
}

impl<T: Secret, const N: usize> From<&[T; N]> for Secrets {
    fn from(secrets: &[T; N]) -> Self {
        Self::from(secrets.as_slice())
    }
}
