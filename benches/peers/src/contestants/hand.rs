//! The floor: sessions that a program would write by hand for these routes alone, with the duties that all share.
//!
//! A cookie signed as Express signs it, sessions in a `DashMap`, a record as one text of JSON and the places of its
//! members, and a write that loses nobody else's. There is no store to swap, no handle that two extractors share, no
//! flash message, no log, one secret, and no more than 55 bytes that are signed.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, COOKIE, SET_COOKIE, VARY};
use axum::http::request::Parts;
use axum::response::{IntoResponseParts, ResponseParts};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use dashmap::DashMap;
use foldhash::quality::RandomState;
use serde::de::DeserializeOwned;
use sha2::block_api::compress256;
use subtle::ConstantTimeEq as _;

use super::secret::SECRET;
use crate::payload::{User, payload, shown};

const LIFE: Duration = Duration::from_secs(24 * 60 * 60);
const PREFIX: &str = "connect.sid=s%3A";

/// A UUID as text.
type Id = [u8; 36];
/// An HMAC-SHA256 in base64.
type Signature = [u8; 43];

#[derive(Clone)]
struct App(Arc<Sessions>);

struct Sessions {
    key: Key,
    stored: DashMap<Id, Stored, RandomState>,
    rolling: bool,
}

struct Stored {
    record: Record,
    expires: Instant,
}

/// SHA-256 behind the inner and the outer block of an HMAC, neither of which depends on what is signed.
struct Key {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Key {
    fn new(secret: &str) -> Self {
        // A key longer than a block is hashed first.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&<sha2::Sha256 as sha2::Digest>::digest(secret));
        let start = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        let behind = |pad: u8| {
            let mut state = start;
            compress256(&mut state, &[block.map(|byte| byte ^ pad)]);
            state
        };
        Self { inner: behind(0x36), outer: behind(0x5c) }
    }

    fn sign(&self, id: &Id) -> Signature {
        let mut text = [0; 43];
        let mac = finish(self.outer, &finish(self.inner, id));
        STANDARD_NO_PAD.encode_slice(mac, &mut text).expect("43 characters for 32 bytes");
        text
    }
}

/// The hash of one block that came before and this text, which ends in the next block.
fn finish(mut state: [u32; 8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..text.len()].copy_from_slice(text);
    block[text.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * (64 + text.len() as u64)).to_be_bytes());
    compress256(&mut state, &[block]);
    let mut hash = [0; 32];
    for (bytes, word) in hash.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    hash
}

/// The id in a `Cookie` header and its signature, if it is ours.
fn verify(key: &Key, header: &[u8]) -> Option<(Id, Signature)> {
    let mut pairs = header.split(|&byte| byte == b';').map(<[u8]>::trim_ascii_start);
    let value = pairs.find_map(|pair| pair.strip_prefix(PREFIX.as_bytes()))?;
    let (id, value) = value.split_first_chunk()?;
    let mut given: Signature = [0; 43];
    let (mut rest, mut filled) = (value.strip_prefix(b".")?, 0);
    while let [first, others @ ..] = rest {
        let (byte, others) = match (first, others) {
            (b'%', [b'2', b'B', others @ ..]) => (b'+', others),
            (b'%', [b'2', b'F', others @ ..]) => (b'/', others),
            (&byte, others) => (byte, others),
        };
        *given.get_mut(filled)? = byte;
        (rest, filled) = (others, filled + 1);
    }
    let signature = key.sign(id);
    bool::from(signature.ct_eq(&given)).then_some((*id, signature))
}

#[derive(Clone)]
struct Record {
    text: Arc<[u8]>,
    members: Arc<[Member]>,
}

struct Member {
    key: Range<u32>,
    value: Range<u32>,
}

impl Record {
    fn new<'m>(entries: impl IntoIterator<Item = (&'m str, String)>) -> Self {
        let (mut text, mut members) = (String::from("{"), Vec::new());
        for (key, value) in entries {
            if !members.is_empty() {
                text.push(',');
            }
            let key_at = text.len() as u32 + 1;
            let _ = write!(text, "\"{key}\":");
            let value_at = text.len() as u32;
            text.push_str(&value);
            members
                .push(Member { key: key_at..key_at + key.len() as u32, value: value_at..text.len() as u32 });
        }
        text.push('}');
        Self { text: text.into_bytes().into(), members: members.into() }
    }

    fn part(&self, range: &Range<u32>) -> &[u8] {
        &self.text[range.start as usize..range.end as usize]
    }

    fn member(&self, key: &str) -> Option<&Member> {
        self.members.iter().find(|member| self.part(&member.key) == key.as_bytes())
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        serde_json::from_slice(self.part(&self.member(key)?.value)).ok()
    }

    /// The record with another value.
    fn with(&self, key: &str, value: &str) -> Self {
        let place = self.member(key).map(|member| member.value.start as usize..member.value.end as usize);
        if let Some(place) = place.clone().filter(|place| place.len() == value.len()) {
            let mut text = Arc::<[u8]>::from(&*self.text);
            Arc::get_mut(&mut text).expect("nobody else has it yet")[place].copy_from_slice(value.as_bytes());
            return Self { text, members: Arc::clone(&self.members) };
        }
        let owned = |range| String::from_utf8_lossy(self.part(range)).into_owned();
        let mut entries: Vec<_> =
            self.members.iter().map(|member| (owned(&member.key), owned(&member.value))).collect();
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, old)) => value.clone_into(old),
            None => entries.push((key.to_owned(), value.to_owned())),
        }
        Self::new(entries.iter().map(|(key, value)| (key.as_str(), value.clone())))
    }
}

struct Session {
    app: App,
    known: Option<(Id, Signature, Record)>,
}

impl FromRequestParts<App> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let known = parts.headers.get_all(COOKIE).iter().find_map(|header| {
            let (id, signature) = verify(&app.0.key, header.as_bytes())?;
            let stored = app.0.stored.get(&id)?;
            (Instant::now() < stored.expires).then(|| (id, signature, stored.record.clone()))
        });
        Ok(Self { app: app.clone(), known })
    }
}

/// The headers of an answer that a session had a part in.
struct Headers {
    cookie: Option<HeaderValue>,
}

impl IntoResponseParts for Headers {
    type Error = Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Infallible> {
        let headers = parts.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Cookie"));
        if let Some(cookie) = self.cookie {
            headers.append(SET_COOKIE, cookie);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        }
        Ok(parts)
    }
}

fn cookie(id: &Id, signature: &Signature) -> Headers {
    let mut line = Vec::with_capacity(224);
    line.extend_from_slice(PREFIX.as_bytes());
    line.extend_from_slice(id);
    line.push(b'.');
    for &byte in signature {
        match byte {
            b'+' => line.extend_from_slice(b"%2B"),
            b'/' => line.extend_from_slice(b"%2F"),
            byte => line.push(byte),
        }
    }
    let expires = httpdate::HttpDate::from(SystemTime::now() + LIFE);
    let attributes =
        format_args!("; Path=/; HttpOnly; SameSite=Lax; Max-Age={}; Expires={expires}", LIFE.as_secs());
    std::io::Write::write_fmt(&mut line, attributes).expect("memory");
    Headers { cookie: HeaderValue::from_maybe_shared(Bytes::from(line)).ok() }
}

impl Session {
    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        self.known.as_ref()?.2.get(key)
    }

    fn create(&self, record: Record) -> Headers {
        let mut id = [0; 36];
        uuid::Uuid::new_v4().hyphenated().encode_lower(&mut id);
        self.app.0.stored.insert(id, Stored { record, expires: Instant::now() + LIFE });
        cookie(&id, &self.app.0.key.sign(&id))
    }

    /// Puts the value into whatever is stored by then: it replaces the record only if it is still the one it was
    /// made of.
    fn insert(&self, key: &str, value: &str) -> Headers {
        let Some((id, signature, seen)) = &self.known else {
            return self.create(Record::new([(key, value.to_owned())]));
        };
        let mut seen = seen.clone();
        loop {
            let new = seen.with(key, value);
            let Some(mut stored) = self.app.0.stored.get_mut(id) else { return Headers { cookie: None } };
            if Arc::ptr_eq(&stored.record.text, &seen.text) {
                let new = Stored { record: new, expires: Instant::now() + LIFE };
                let old = std::mem::replace(&mut *stored, new);
                // What is not needed any more is freed when the lock is.
                drop((stored, old));
                return cookie(id, signature);
            }
            seen = stored.record.clone();
        }
    }

    /// What goes with an answer that changed nothing.
    fn touch(&self) -> Headers {
        let Some((id, signature, _)) = self.known.as_ref().filter(|_| self.app.0.rolling) else {
            return Headers { cookie: None };
        };
        let Some(mut stored) = self.app.0.stored.get_mut(id) else { return Headers { cookie: None } };
        stored.expires = Instant::now() + LIFE;
        drop(stored);
        cookie(id, signature)
    }

    fn count(&self, key: &str) -> (Headers, String) {
        let count = (self.get::<u64>(key).unwrap_or(0) + 1).to_string();
        (self.insert(key, &count), count)
    }
}

async fn fill(Path(bytes): Path<usize>, session: Session) -> (Headers, &'static str) {
    let record = Record::new(payload(bytes).into_iter().map(|(key, value)| (key, value.to_string())));
    (session.create(record), "filled")
}

async fn read(session: Session) -> (Headers, String) {
    let body = shown(session.get("views"), session.get::<User>("user"));
    (session.touch(), body)
}

async fn write(session: Session) -> (Headers, String) {
    session.count("views")
}

async fn new(session: Session) -> (Headers, String) {
    session.count("n")
}

pub fn axum(rolling: bool) -> Router {
    let stored = DashMap::with_hasher(RandomState::default());
    let sessions = Sessions { key: Key::new(SECRET), stored, rolling };
    Router::new()
        .route("/fill/{bytes}", get(fill))
        .route("/read", get(read))
        .route("/write", get(write))
        .route("/new", get(new))
        .route("/plain", get(async || "plain"))
        .with_state(App(Arc::new(sessions)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_as_the_library_does() {
        let (id, key) = ([b'7'; 36], Key::new(SECRET));
        let signature = key.sign(&id);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let config =
            sessile::SessionConfig::builder(SECRET).store(sessile::MemoryStore::new()).build().unwrap();
        let theirs = config.sign(&sessile::SessionId::new(text(&id)).unwrap());
        let line = text(cookie(&id, &signature).cookie.unwrap().as_bytes());
        assert!(line.contains(&theirs), "{line}: {theirs}");
        let header = line.split(';').next().unwrap();
        assert_eq!(verify(&key, format!("a=b; {header}").as_bytes()), Some((id, signature)));
        assert_eq!(verify(&key, header.replacen('7', "8", 1).as_bytes()), None);
    }

    #[test]
    fn values_of_other_lengths_and_new_keys() {
        let record = Record::new([("a", "9".into()), ("b", "\"x\"".into())])
            .with("a", "10")
            .with("c", "3")
            .with("b", "4");
        assert_eq!(&*record.text, br#"{"a":10,"b":4,"c":3}"#);
        assert_eq!((record.get("a"), record.get("b"), record.get("c")), (Some(10), Some(4), Some(3)));
    }
}
