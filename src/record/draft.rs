//! A record about to be written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use smol_str::SmolStr;

use super::packed::Packing;
use super::{EXPIRES, MAX_AGE, MEMBERS, OBJECT, Record, push_member};
use crate::config::Secure;
use crate::json::{self, Span};
use crate::set_cookie::Attributes;

const OPEN: &str = "{\"cookie\":";
const BEFORE: &str = "{\"originalMaxAge\":";
const BETWEEN: &str = ",\"expires\":";

/// A cookie object with its two times left out: `originalMaxAge` comes after `before`, `expires` after `between`.
#[derive(Debug, Clone)]
pub(crate) struct CookieTemplate<'a> {
    pub(super) before: Cow<'a, str>,
    pub(super) between: Cow<'a, str>,
    pub(super) after: Cow<'a, str>,
}

impl CookieTemplate<'static> {
    pub(super) fn express() -> Self {
        Self {
            before: BEFORE.into(),
            between: BETWEEN.into(),
            after: ",\"httpOnly\":true,\"path\":\"/\"}".into(),
        }
    }

    /// A cookie object that is not as Express writes it: the two come first, the rest stays as it is.
    pub(super) fn around(object: &str) -> Self {
        let mut after = String::new();
        for member in json::members(object).unwrap_or_default() {
            if !member.is(object, "originalMaxAge") && !member.is(object, "expires") {
                push_member(&mut after, member.key.of(object), member.value.of(object));
            }
        }
        after.push('}');
        Self { before: BEFORE.into(), between: BETWEEN.into(), after: after.into() }
    }

    /// What a record born under these attributes says, in Express' order; what Express leaves out is left out.
    pub(crate) fn new(cookie: &Attributes, option: Secure, secure: bool) -> Self {
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
            after.push_str(&format!(",\"secure\":{secure}"));
        }
        after.push_str(&format!(",\"httpOnly\":{}", cookie.http_only));
        // Domain and path were checked to be printable ASCII; a quote or a backslash is still to be escaped.
        if let Some(domain) = &cookie.domain {
            after.push_str(&format!(",\"domain\":{}", json::quote(domain)));
        }
        after.push_str(&format!(",\"path\":{}", json::quote(&cookie.path)));
        if let Some(same_site) = cookie.same_site {
            after.push_str(&format!(",\"sameSite\":\"{}\"", same_site.to_string().to_ascii_lowercase()));
        }
        after.push('}');
        Self { before: BEFORE.into(), between: between.into(), after: after.into() }
    }
}

/// A key of a record.
#[derive(Debug, Clone)]
pub(crate) enum Key<'a> {
    /// The key itself.
    Plain(&'a str),
    /// The key as its JSON stands between the quotes, escapes and all.
    Raw(&'a str),
}

impl<'a> Key<'a> {
    pub(crate) fn is(&self, key: &str) -> bool {
        match self {
            Self::Plain(plain) => *plain == key,
            Self::Raw(raw) => json::is_key(raw, key),
        }
    }

    /// The key as text; `None` for one that is no Unicode (a lone surrogate, which JavaScript can write).
    pub(crate) fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Plain(plain) => Some(Cow::Borrowed(plain)),
            Self::Raw(raw) => json::unescape(raw),
        }
    }

    /// What stands between the quotes.
    pub(super) fn raw(&self) -> Cow<'a, str> {
        match self {
            Self::Plain(plain) => json::escape(plain),
            Self::Raw(raw) => Cow::Borrowed(raw),
        }
    }
}

/// The raw JSON of a value.
#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Kept(&'a str),
    Made(SmolStr),
}

impl Deref for Value<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Key<'a>,
    pub(crate) value: Value<'a>,
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
        let mut times = String::with_capacity(64);
        let max_age = json::append(&mut times, |times| match self.max_age {
            // Writing to a String does not fail.
            Some(age) => drop(write!(times, "{}", age.as_millis())),
            None => times.push_str("null"),
        });
        let expires =
            json::append(&mut times, |times| match self.max_age.and_then(|age| now.checked_add(age)) {
                Some(at) => json::push_time(at, times),
                None => times.push_str("null"),
            });
        let cookie = &self.cookie;
        let constant = cookie.before.len() + cookie.between.len() + cookie.after.len() + OPEN.len() + 1;
        let text = constant + times.len() + self.entries.iter().map(Entry::most).sum::<usize>();
        let mut packing = Packing::new(MEMBERS + 2 * self.entries.len(), text);
        let start = packing.push(OPEN).end();
        packing.push(&cookie.before);
        let max_age = packing.push(max_age.of(&times));
        packing.push(&cookie.between);
        let expires = packing.push(expires.of(&times));
        let end = packing.push(&cookie.after).end();
        packing.set(OBJECT, Span::new(start, end));
        packing.set(MAX_AGE, max_age);
        packing.set(EXPIRES, expires);
        for (at, entry) in self.entries.iter().enumerate() {
            packing.push(",\"");
            let key = packing.push(&entry.key.raw());
            packing.push("\":");
            let value = packing.push(&entry.value);
            packing.set(MEMBERS + 2 * at, key);
            packing.set(MEMBERS + 2 * at + 1, value);
        }
        packing.push("}");
        Record(packing.finish())
    }
}

impl Entry<'_> {
    /// How long it may become in the text: a character of a key is escaped with six at most.
    fn most(&self) -> usize {
        let key = match self.key {
            Key::Plain(key) => 6 * key.len(),
            Key::Raw(raw) => raw.len(),
        };
        key + self.value.len() + ",\"\":".len()
    }
}
