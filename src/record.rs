//! [`Record`]: what a store keeps for one session, in Express' JSON.
//!
//! One shared text and an index over it. Values are never parsed on the way through, so what this process did not
//! change goes back byte for byte, whatever wrote it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::config::Secure;
use crate::error::{JsonError, StoreError};
use crate::json::{self, Member, Span};
use crate::set_cookie::{Attributes, Transit};

/// The key under which the cookie's state stands, as in Express.
pub(crate) const COOKIE: &str = "cookie";
/// The furthest time a JavaScript `Date` holds: no max-age written by Express makes sense past it, and sums with it
/// do not overflow.
const MAX_MILLIS: f64 = 8.64e15;
/// The key under which flash messages stand, as in connect-flash.
pub(crate) const FLASH: &str = "flash";

/// What a store keeps for one session: JSON as Express writes it, the session's data beside a `cookie` object.
///
/// A store saves [`as_json`](Self::as_json), or serialises the record with `serde_json`, and reads it back with
/// [`from_json`](Self::from_json) or `serde_json`. A clone is one reference count.
///
/// ```
/// use sessile::Record;
///
/// let stored = r#"{"cookie":{"originalMaxAge":60000,"expires":null,"httpOnly":true,"path":"/"},"views":1}"#;
/// let record = Record::from_json(stored)?;
/// assert_eq!(record.as_json(), stored);
/// assert_eq!(record.max_age(), Some(std::time::Duration::from_secs(60)));
/// # Ok::<(), sessile::StoreError>(())
/// ```
#[derive(Clone)]
pub struct Record(Arc<Inner>);

struct Inner {
    json: Box<str>,
    /// Every key but `cookie`, in the order of the text.
    members: Box<[Member]>,
    cookie: CookieSpans,
    max_age: Option<Duration>,
}

/// Where the cookie object stands in the text, and the two values in it that a commit rewrites.
struct CookieSpans {
    object: Span,
    /// `originalMaxAge` and `expires`, when both are there in this order.
    times: Option<(Span, Span)>,
    expires: Option<Span>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// [`StoreError::corrupt`] when the text is no JSON object with a `cookie` object in it.
    pub fn from_json(json: impl Into<String>) -> Result<Self, StoreError> {
        let json = json.into().into_boxed_str();
        let mut members =
            json::members(&json).map_err(|error| StoreError::corrupt(JsonError::new::<Record>(&error)))?;
        let at = members.iter().position(|member| member.is(&json, COOKIE));
        let object = at.map(|at| members.remove(at).value);
        let Some(object) = object.filter(|span| span.of(&json).starts_with('{')) else {
            return Err(StoreError::corrupt("the record has no `cookie` object"));
        };
        let (cookie, max_age) = CookieSpans::find(&json, object)
            .map_err(|error| StoreError::corrupt(JsonError::new::<Record>(&error)))?;
        Ok(Self(Arc::new(Inner { json, members: members.into_boxed_slice(), cookie, max_age })))
    }

    /// The record as JSON, in the bytes it was read or composed with.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0.json
    }

    /// The session's own max-age, Express' `cookie.originalMaxAge`; `None` for a session that ends with the browser.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.0.max_age
    }

    /// When the cookie was due to expire at the last write (Express' `cookie.expires`). It is not the record's expiry:
    /// a touch extends the life in the store and leaves the text alone.
    #[must_use]
    pub fn cookie_expires(&self) -> Option<SystemTime> {
        let text = self.0.cookie.expires?.of(&self.0.json);
        json::parse_time(text)
    }

    /// The same record with `cookie.expires` moved to a max-age from now.
    pub(crate) fn touched(&self, now: SystemTime) -> Self {
        let mut draft = Draft::new(self.cookie_template(), self.max_age());
        draft.entries.extend(self.entries());
        draft.compose(now)
    }

    /// The same record without a key. What is left stays byte for byte.
    pub(crate) fn without(self, key: &str) -> Self {
        if self.raw(key).is_none() {
            return self;
        }
        let mut json = String::with_capacity(self.0.json.len());
        json.push_str("{\"cookie\":");
        json.push_str(self.0.cookie.object.of(&self.0.json));
        for entry in self.entries().filter(|entry| !entry.key.is(key)) {
            entry.push_to(&mut json);
        }
        json.push('}');
        // Made of the parts of a record, so it is one.
        Self::from_json(json).unwrap_or(self)
    }

    /// The record's text with one more key at its end.
    pub(crate) fn with(&self, key: &str, value: &str) -> String {
        let mut json = String::with_capacity(self.0.json.len() + key.len() + value.len() + 4);
        json.push_str(self.0.json.trim_end().strip_suffix('}').unwrap_or_default());
        Entry { key: Key::Plain(key.into()), value: value.into() }.push_to(&mut json);
        json.push('}');
        json
    }

    /// The raw JSON of a value; `cookie` is none.
    pub(crate) fn raw(&self, key: &str) -> Option<&str> {
        let json = &*self.0.json;
        self.0.members.iter().find(|member| member.is(json, key)).map(|member| member.value.of(json))
    }

    /// Keys and raw values but `cookie`, in the order of the text.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let json = &*self.0.json;
        self.0.members.iter().map(|member| Entry {
            key: match member.escaped {
                true => Key::Escaped(member.key.of(json)),
                false => Key::Plain(Cow::Borrowed(member.key.of(json))),
            },
            value: Cow::Borrowed(member.value.of(json)),
        })
    }

    /// The cookie object around its two times.
    pub(crate) fn cookie_template(&self) -> CookieTemplate<'_> {
        let json = &*self.0.json;
        let object = self.0.cookie.object;
        if let Some((max_age, expires)) = self.0.cookie.times {
            return CookieTemplate {
                before: json[object.start()..max_age.start()].into(),
                between: json[max_age.end()..expires.start()].into(),
                after: json[expires.end()..object.end()].into(),
            };
        }
        // Not as Express writes it: put the two first, keep the rest as it is.
        let text = object.of(json);
        let mut after = String::new();
        for member in json::members(text).unwrap_or_default() {
            if !member.is(text, "originalMaxAge") && !member.is(text, "expires") {
                after.push_str(",\"");
                after.push_str(member.key.of(text));
                after.push_str("\":");
                after.push_str(member.value.of(text));
            }
        }
        after.push('}');
        CookieTemplate { before: BEFORE.into(), between: BETWEEN.into(), after: after.into() }
    }

    /// Whether both are the same text in memory, or the same bytes.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.json == other.0.json
    }
}

impl CookieSpans {
    fn find(json: &str, object: Span) -> Result<(Self, Option<Duration>), serde_json::Error> {
        let text = object.of(json);
        let members = json::members(text)?;
        let find = |key| members.iter().find(|member| member.is(text, key)).map(|member| member.value);
        let (max_age, expires) = (find("originalMaxAge"), find("expires"));
        let life = max_age.and_then(|span| serde_json::from_str::<f64>(span.of(text)).ok());
        let life = life.map(|millis| Duration::from_millis(millis.clamp(0.0, MAX_MILLIS) as u64));
        let inside = |span: Span| span.shifted(object.start());
        let times = max_age.zip(expires).filter(|(first, second)| first.end() <= second.start());
        let times = times.map(|(first, second)| (inside(first), inside(second)));
        Ok((Self { object, times, expires: expires.map(inside) }, life))
    }
}

impl Default for Record {
    /// No data, and the cookie object of Express' defaults.
    fn default() -> Self {
        Draft::new(CookieTemplate::express(), None).compose(SystemTime::now())
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes REDACTED)", self.0.json.len())
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0.json).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(String::from(Box::<str>::from(raw))).map_err(serde::de::Error::custom)
    }
}

const BEFORE: &str = "{\"originalMaxAge\":";
const BETWEEN: &str = ",\"expires\":";

/// A cookie object with its two times left out: `originalMaxAge` comes after `before`, `expires` after `between`.
#[derive(Debug, Clone)]
pub(crate) struct CookieTemplate<'a> {
    before: Cow<'a, str>,
    between: Cow<'a, str>,
    after: Cow<'a, str>,
}

impl CookieTemplate<'static> {
    fn express() -> Self {
        Self {
            before: BEFORE.into(),
            between: BETWEEN.into(),
            after: ",\"httpOnly\":true,\"path\":\"/\"}".into(),
        }
    }

    /// What a record born under these attributes says, in Express' order; what Express leaves out is left out.
    pub(crate) fn new(cookie: &Attributes, option: Secure, transit: Transit) -> Self {
        let mut between = String::new();
        if cookie.partitioned {
            between.push_str(",\"partitioned\":true");
        }
        if let Some(priority) = cookie.priority {
            between.push_str(&format!(",\"priority\":\"{}\"", priority.as_str().to_ascii_lowercase()));
        }
        between.push_str(BETWEEN);
        let mut after = String::new();
        if option != Secure::Never {
            after.push_str(&format!(",\"secure\":{}", transit.secure));
        }
        after.push_str(&format!(",\"httpOnly\":{}", cookie.http_only));
        // Domain and path were checked to be printable ASCII; a quote or a backslash is still to be escaped.
        if let Some(domain) = &cookie.domain {
            after.push_str(&format!(",\"domain\":{}", json::quote(domain)));
        }
        after.push_str(&format!(",\"path\":{}", json::quote(&cookie.path)));
        if let Some(same_site) = transit.same_site {
            after.push_str(&format!(",\"sameSite\":\"{}\"", same_site.to_string().to_ascii_lowercase()));
        }
        after.push('}');
        Self { before: BEFORE.into(), between: between.into(), after: after.into() }
    }
}

/// A key in a record's text.
#[derive(Debug, Clone)]
pub(crate) enum Key<'a> {
    /// The key itself.
    Plain(Cow<'a, str>),
    /// The key as its JSON stands between the quotes, escapes and all.
    Escaped(&'a str),
}

impl Key<'_> {
    pub(crate) fn is(&self, key: &str) -> bool {
        match self {
            Self::Plain(plain) => plain == key,
            Self::Escaped(raw) => json::unescape(raw).is_some_and(|decoded| decoded == key),
        }
    }

    /// The key as text; `None` for one that is no Unicode (a lone surrogate, which JavaScript can write).
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Plain(plain) => Some(Cow::Borrowed(plain)),
            Self::Escaped(raw) => json::unescape(raw).map(Cow::Owned),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Key<'a>,
    /// Raw JSON.
    pub(crate) value: Cow<'a, str>,
}

impl Entry<'_> {
    /// Appends the entry behind a comma.
    fn push_to(&self, json: &mut String) -> Member {
        json.push_str(",\"");
        let (key, escaped) = match &self.key {
            Key::Plain(key) => json::push_key(json, key),
            Key::Escaped(raw) => (json::append(json, |json| json.push_str(raw)), true),
        };
        json.push_str("\":");
        let value = json::append(json, |json| json.push_str(&self.value));
        Member { key, value, escaped }
    }
}

/// A record about to be composed.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) cookie: CookieTemplate<'a>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) entries: Vec<Entry<'a>>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(cookie: CookieTemplate<'a>, max_age: Option<Duration>) -> Self {
        Self { cookie, max_age, entries: Vec::new() }
    }

    /// Writes the text and its index; `cookie.expires` becomes a max-age from `now`.
    pub(crate) fn compose(self, now: SystemTime) -> Record {
        let values: usize = self.entries.iter().map(|entry| entry.value.len() + 24).sum();
        let mut json = String::with_capacity(values + 192);
        json.push_str("{\"cookie\":");
        let start = json.len();
        json.push_str(&self.cookie.before);
        let max_age = json::append(&mut json, |json| match self.max_age {
            Some(age) => json.push_str(&age.as_millis().to_string()),
            None => json.push_str("null"),
        });
        json.push_str(&self.cookie.between);
        let expires =
            json::append(&mut json, |json| match self.max_age.and_then(|age| now.checked_add(age)) {
                Some(at) => json::push_time(at, json),
                None => json.push_str("null"),
            });
        json.push_str(&self.cookie.after);
        let object = Span::new(start, json.len());
        let mut members = Vec::with_capacity(self.entries.len());
        members.extend(self.entries.iter().map(|entry| entry.push_to(&mut json)));
        json.push('}');
        let cookie = CookieSpans { object, times: Some((max_age, expires)), expires: Some(expires) };
        Record(Arc::new(Inner {
            json: json.into_boxed_str(),
            members: members.into_boxed_slice(),
            cookie,
            max_age: self.max_age,
        }))
    }
}
