//! [`Sealed`]: a store whose records are encrypted.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aes_gcm_siv::aead::AeadInOut as _;
use aes_gcm_siv::{Aes256GcmSiv, KeyInit as _};
use base64_simd::URL_SAFE_NO_PAD;
use smallvec::SmallVec;
use uuid::Uuid;

use crate::cookie::derived::sealing_keys;
use crate::cookie::secrets::{GOOD_SECRET, Secrets};
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// The member of a stored record that holds the sealed one.
const SEALED: &str = "__sealed";
/// The first byte of what is sealed: how it was.
const FORMAT: u8 = 1;
/// How often a conditional write is asked for at most, where others write the same text again meanwhile.
const ATTEMPTS: u32 = 64;
const NONCE: usize = 12;
const TAG: usize = 16;
/// What stands in front of the ciphertext: the format and the nonce.
const HEAD: usize = 1 + NONCE;

/// Any store, with its records encrypted: who reads the store reads no data, and who writes to it can neither
/// change a record nor put one in the place of another.
///
/// Each record is encrypted with AES-256-GCM-SIV (RFC 8452), with its session's id as associated data, under
/// a key that is derived from the first of `keys`. What is stored is `{"cookie":{…},"__sealed":"…"}`; of the
/// two only the sealed one is believed, the outer `cookie` is there because every record has one. A record
/// that was not sealed, was changed, or belongs to another id is [corrupt](StoreError::corrupt): the request
/// gets a new session, and the bytes stay.
///
/// The promises of the store inside are kept: writing is still one atomic step where it is one inside.
/// Opening 1 KiB takes 2.7 µs and sealing 1.5 µs. A request that reads takes 3.5 µs longer, and one that writes, which
/// opens and seals, 6 µs (two cores of a shared machine; `docs/benchmarks.md`).
///
/// # Keys
/// The first key seals, and every key opens. To change a key, put the new one before the old one; a session is
/// sealed anew with its next write. A touch is no write: a session that is only read stays under the old key,
/// however long its visitor keeps it alive, and cannot be read any more when that key is dropped. So drop an
/// old key when it may cost those sessions, or after [`absolute_timeout`](crate::SessionConfigBuilder::absolute_timeout).
/// A key is 32 random bytes or more, as `openssl rand -base64 32` makes them; a shorter one is warned about in the log. Take
/// other keys than for the cookie's signature, or whoever gets hold of one has both.
///
/// # What is not sealed
/// - **Ids**, under which the store keeps the records, and their expiry.
/// - **The list of a user's sessions** (`sessions_of`): a keyed hash of the user, ids, and times. A device's
///   label is a part of the record, and sealed.
/// - **The length** of a record, which grows by a third, by 65 bytes, and by its `cookie` object.
///
/// An Express app cannot read sealed records, so do not seal a store that you share with one.
///
/// # Errors
/// Without a key, each call that reads or writes a record is [`StoreError::unavailable`].
///
/// ```
/// use sessile::{MemoryStore, Sealed, SessionConfig};
///
/// let key = std::env::var("SESSION_STORE_KEY").unwrap_or("another secret of at least 32 bytes".into());
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .store(Sealed::new(MemoryStore::new(), key))
///     .build()?;
/// # Ok::<(), sessile::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Sealed<S> {
    store: S,
    keys: Arc<[Aes256GcmSiv]>,
}

impl<S: SessionStore> Sealed<S> {
    /// Seals what this store keeps. `keys` are one key or a list, newest first; the types are those of
    /// [`Secrets`].
    pub fn new(store: S, keys: impl Into<Secrets>) -> Self {
        let secrets = match Into::<Secrets>::into(keys).read() {
            Ok((secrets, _)) => secrets,
            Err(error) => {
                tracing::error!(error = cause(&error), "the keys of sealed sessions could not be read");
                return Self { store, keys: Arc::new([]) };
            }
        };
        let bytes = secrets.shortest();
        if !secrets.is_empty() && bytes < GOOD_SECRET {
            tracing::warn!(bytes, "a key of sealed sessions is shorter than {GOOD_SECRET} bytes");
        }
        let keys = sealing_keys(&secrets).map(|key| Aes256GcmSiv::new(&(*key).into())).collect();
        Self { store, keys }
    }

    fn seal(&self, id: &SessionId, record: &Record) -> Result<Record, StoreError> {
        let key = self.keys.first().ok_or_else(|| StoreError::unavailable("`Sealed` was given no key"))?;
        let plain = record.as_bytes();
        let mut sealed = Vec::with_capacity(HEAD + plain.len() + TAG);
        let nonce = random_nonce();
        sealed.push(FORMAT);
        sealed.extend(nonce);
        sealed.extend_from_slice(plain);
        let tag = key
            .encrypt_inout_detached(&nonce.into(), &associated(id), (&mut sealed[HEAD..]).into())
            .map_err(|_| StoreError::unavailable("the record is too long to be sealed"))?;
        sealed.extend(tag);
        let length = URL_SAFE_NO_PAD.encoded_length(sealed.len());
        record.enclosing(SEALED, length, |json| URL_SAFE_NO_PAD.encode_append(&sealed, json))
    }

    fn open(&self, id: &SessionId, stored: &Record) -> Result<Record, StoreError> {
        let refuse =
            || StoreError::corrupt("the stored session was not sealed for this id with one of the keys");
        if self.keys.is_empty() {
            return Err(StoreError::unavailable("`Sealed` was given no key"));
        }
        let text = stored.raw(SEALED).and_then(|raw| raw.strip_prefix(b"\"")?.strip_suffix(b"\""));
        let mut sealed = text.and_then(|text| URL_SAFE_NO_PAD.decode_to_vec(text).ok()).ok_or_else(refuse)?;
        let ([FORMAT, nonce @ ..], Some((body, tag))) = sealed
            .split_first_chunk_mut::<HEAD>()
            .map(|(head, rest)| (&*head, rest.split_last_chunk_mut::<TAG>()))
            .ok_or_else(refuse)?
        else {
            return Err(refuse());
        };
        let (nonce, tag) = ((*nonce).into(), (*tag).into());
        let associated = associated(id);
        // A key that does not fit leaves anything in the place of the text.
        let copy = (self.keys.len() > 1).then(|| body.to_vec());
        for key in &*self.keys {
            if let Some(copy) = &copy {
                body.copy_from_slice(copy);
            }
            if key.decrypt_inout_detached(&nonce, &associated, (&mut *body).into(), &tag).is_ok() {
                return Record::from_text(str::from_utf8(body).map_err(StoreError::corrupt)?);
            }
        }
        Err(refuse())
    }

    fn open_stored(&self, id: &SessionId, stored: Stored) -> Result<Stored, StoreError> {
        Ok(Stored { record: self.open(id, &stored.record)?, ..stored })
    }

    /// Writes if the store inside still holds `expected`, which may be the text of the record before it was
    /// sealed: the store compares what is sealed. Where it answers with another version of the same text, it
    /// is asked with that version again.
    async fn write_if(
        &self,
        id: &SessionId,
        expected: &Version,
        write: Write<'_>,
    ) -> Result<Replaced, StoreError> {
        let mut version = expected.clone();
        for attempt in 1.. {
            let answer = match write {
                Write::Replace(sealed, ttl) => self.store.replace(id, &version, sealed, ttl).await?,
                Write::Destroy => self.store.destroy_if(id, &version).await?,
            };
            let Replaced::Conflict(stored) = answer else { return Ok(answer) };
            let current = stored.current_version();
            let stored = self.open_stored(id, stored)?;
            if attempt == ATTEMPTS || !expected.is_of(&stored.record) {
                return Ok(Replaced::Conflict(stored));
            }
            version = current;
        }
        // Invariant: the last attempt has returned.
        Err(StoreError::unavailable("a sealed record was not compared"))
    }
}

/// A conditional write.
#[derive(Clone, Copy)]
enum Write<'r> {
    Replace(&'r Record, Duration),
    Destroy,
}

impl<S: SessionStore> SessionStore for Sealed<S> {
    forward_store!(self => self.store, except get, set, create, replace, destroy_if, get_many);

    async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        self.store.get(id).await?.map(|stored| self.open_stored(id, stored)).transpose()
    }

    async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
        self.store.set(id, &self.seal(id, record)?, ttl).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        self.store.create(id, &self.seal(id, record)?, ttl).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        let sealed = self.seal(id, record)?;
        self.write_if(id, expected, Write::Replace(&sealed, ttl)).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        self.write_if(id, expected, Write::Destroy).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        let found = self.store.get_many(ids).await?;
        let open = |(id, stored): (&SessionId, Option<Stored>)| match self.open_stored(id, stored?) {
            // What cannot be opened is no session, here as for a request that brings this id.
            Err(error) if error.is_corrupt() => None,
            answer => Some(answer),
        };
        ids.iter().zip(found).map(|pair| open(pair).transpose()).collect()
    }
}

/// What is authenticated beside the record: a record that is copied to another id cannot be opened there.
fn associated(id: &SessionId) -> SmallVec<[u8; 64]> {
    let mut bytes = SmallVec::from_slice(&[FORMAT]);
    bytes.extend_from_slice(id.as_str().as_bytes());
    bytes
}

/// 96 random bits: those of a random UUID, without the bytes that have fixed bits.
fn random_nonce() -> [u8; NONCE] {
    let uuid = Uuid::new_v4().into_bytes();
    let mut nonce = [0; NONCE];
    nonce[..6].copy_from_slice(&uuid[..6]);
    nonce[6..].copy_from_slice(&uuid[9..15]);
    nonce
}

impl<S: fmt::Debug> fmt::Debug for Sealed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("store", &self.store).finish_non_exhaustive()
    }
}
