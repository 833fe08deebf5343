//! A record about to be written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::packed::Packing;
use super::{EXPIRES, FLASH, MAX_AGE, MEMBERS, OBJECT, Record, push_member};
use crate::config::Secure;
use crate::json::{self, Span};
use crate::set_cookie::{Attributes, Transit};

const OPEN: &[u8] = b"{\"cookie\":";
const BEFORE: &[u8] = b"{\"originalMaxAge\":";
const BETWEEN: &str = ",\"expires\":";

/// A cookie object with its two times left out: `originalMaxAge` comes after `before`, `expires` after `between`.
#[derive(Debug, Clone)]
pub(crate) struct CookieTemplate<'a> {
    pub(super) before: Cow<'a, [u8]>,
    pub(super) between: Cow<'a, [u8]>,
    pub(super) after: Cow<'a, [u8]>,
}

impl CookieTemplate<'static> {
    pub(super) fn express() -> Self {
        Self {
            before: BEFORE.into(),
            between: BETWEEN.as_bytes().into(),
            after: b",\"httpOnly\":true,\"path\":\"/\"}".into(),
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
        Self { before: BEFORE.into(), between: BETWEEN.as_bytes().into(), after: after.into_bytes().into() }
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
        Self { before: BEFORE.into(), between: between.into_bytes().into(), after: after.into_bytes().into() }
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

/// A record about to be composed: what was stored, and what is to be another way in it.
pub(crate) struct Draft<'a> {
    cookie: CookieTemplate<'a>,
    max_age: Option<Duration>,
    base: Option<&'a Record>,
    kept: Kept,
    edits: SmallVec<[Edit<'a>; 2]>,
}

/// What is left of the stored members that no edit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Flash,
}

struct Edit<'a> {
    key: &'a str,
    /// The stored member it is about; `None`: it goes to the end.
    member: Option<usize>,
    /// `None`: the member is left out.
    value: Option<Value<'a>>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(
        cookie: CookieTemplate<'a>,
        max_age: Option<Duration>,
        base: Option<&'a Record>,
    ) -> Self {
        Self { cookie, max_age, base, kept: Kept::All, edits: SmallVec::new() }
    }

    /// The raw value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        match self.edits.iter().rfind(|edit| edit.key == key) {
            Some(edit) => edit.value.as_deref(),
            None => self.stored(key).and_then(|_| self.base?.raw(key)),
        }
    }

    /// The stored member under a key, if it is kept.
    fn stored(&self, key: &str) -> Option<usize> {
        let base = self.base.filter(|_| self.kept == Kept::All || key == FLASH)?;
        base.member(key).map(|(member, _)| member)
    }

    /// Puts a value under a key, in the place of the one there; a new key goes to the end. `None`: the key is left out.
    pub(crate) fn put(&mut self, key: &'a str, value: Option<Value<'a>>) {
        let known = self.edits.iter().rposition(|edit| edit.key == key);
        match (known.map(|at| (at, &mut self.edits[at])), value) {
            (Some((_, edit)), Some(value)) if edit.value.is_some() => edit.value = Some(value),
            // Left out before.
            (Some(_), Some(value)) => self.edits.push(Edit { key, member: None, value: Some(value) }),
            (Some((_, edit)), None) if edit.member.is_some() => edit.value = None,
            (Some((_, edit)), None) if edit.value.is_none() => {}
            (Some((at, _)), None) => drop(self.edits.remove(at)),
            (None, value) => {
                let member = self.stored(key);
                if member.is_some() || value.is_some() {
                    self.edits.push(Edit { key, member, value });
                }
            }
        }
    }

    /// Leaves out everything but flash messages.
    pub(crate) fn clear(&mut self) {
        self.kept = Kept::Flash;
        self.edits.retain(|edit| edit.key == FLASH);
    }

    /// Writes the text and its index; `cookie.expires` becomes a max-age from `now`.
    pub(crate) fn compose(&self, now: SystemTime) -> Record {
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
        let mut packing = Packing::new(MEMBERS + 2 * self.count(), self.max_age, self.most() + times.len());
        let cookie = &self.cookie;
        let start = packing.push(OPEN).end();
        packing.push(&cookie.before);
        let max_age = packing.push(max_age.within(times.as_bytes()));
        packing.push(&cookie.between);
        let expires = packing.push(expires.within(times.as_bytes()));
        let end = packing.push(&cookie.after).end();
        packing.set(OBJECT, Span::new(start, end));
        packing.set(MAX_AGE, max_age);
        packing.set(EXPIRES, expires);
        let mut members = Members { packing, written: 0 };
        if let Some(base) = self.base {
            self.copy(base, &mut members);
        }
        for edit in &self.edits {
            if let (None, Some(value)) = (edit.member, &edit.value) {
                members.push(json::escape(edit.key).as_bytes(), value.as_bytes());
            }
        }
        members.packing.push(b"}");
        Record(members.packing.finish())
    }

    /// Writes the stored members as they are to be, those that stay in runs.
    fn copy(&self, base: &Record, members: &mut Members) {
        let text = base.as_bytes();
        let flash = match self.kept {
            Kept::All => None,
            Kept::Flash => Some(base.member(FLASH).map(|(member, _)| member)),
        };
        let mut run = Run::at(0);
        for (member, (key, value)) in base.members().enumerate() {
            match self.edits.iter().find(|edit| edit.member == Some(member)) {
                Some(Edit { value: None, .. }) => {}
                Some(Edit { value: Some(new), .. }) => {
                    members.flush(&mut run, text);
                    members.push(key.within(text), new.as_bytes());
                }
                None if flash.is_some_and(|flash| flash != Some(member)) => {}
                None if !is_plain(text, key, value) => {
                    members.flush(&mut run, text);
                    members.push(key.within(text), value.within(text));
                }
                None => {
                    if run.end != key.start() - 2 {
                        members.flush(&mut run, text);
                        run = Run::at(key.start() - 2);
                    }
                    members.set(run.moved(key, &members.packing), run.moved(value, &members.packing));
                    run.end = value.end();
                }
            }
        }
        members.flush(&mut run, text);
    }

    /// How many members the record will have.
    fn count(&self) -> usize {
        let kept = match self.kept {
            Kept::All => self.base.map_or(0, Record::count),
            Kept::Flash => usize::from(self.stored(FLASH).is_some()),
        };
        let left_out = self.edits.iter().filter(|edit| edit.member.is_some() && edit.value.is_none()).count();
        kept - left_out
            + self.edits.iter().filter(|edit| edit.member.is_none() && edit.value.is_some()).count()
    }

    /// How long the text may become, but for the times.
    fn most(&self) -> usize {
        let cookie = &self.cookie;
        let around = OPEN.len() + cookie.before.len() + cookie.between.len() + cookie.after.len() + 1;
        let stored = self.base.map_or(0, |base| base.as_bytes().len());
        let edits = self.edits.iter().map(|edit| {
            // A character of a key is escaped with six at most.
            6 * edit.key.len() + edit.value.as_deref().map_or(0, str::len) + ",\"\":".len()
        });
        around + stored + edits.sum::<usize>()
    }
}

/// Whether a member stands there as this crate and Express write it, without white space and behind a comma.
fn is_plain(text: &[u8], key: Span, value: Span) -> bool {
    text[..key.start()].ends_with(b",\"") && key.end() + 2 == value.start()
}

/// Stored members that follow one another, to be copied at once.
struct Run {
    start: usize,
    end: usize,
}

impl Run {
    fn at(start: usize) -> Self {
        Self { start, end: start }
    }

    /// Where a part of the run will stand.
    fn moved(&self, part: Span, packing: &Packing) -> Span {
        let to = |at: usize| at - self.start + packing.len();
        Span::new(to(part.start()), to(part.end()))
    }
}

struct Members {
    packing: Packing,
    /// So many are in the index.
    written: usize,
}

impl Members {
    fn set(&mut self, key: Span, value: Span) {
        let at = MEMBERS + 2 * self.written;
        self.packing.set(at, key);
        self.packing.set(at + 1, value);
        self.written += 1;
    }

    fn push(&mut self, raw_key: &[u8], value: &[u8]) {
        self.packing.push(b",\"");
        let key = self.packing.push(raw_key);
        self.packing.push(b"\":");
        let value = self.packing.push(value);
        self.set(key, value);
    }

    fn flush(&mut self, run: &mut Run, text: &[u8]) {
        self.packing.push(&text[run.start..run.end]);
        run.start = run.end;
    }
}
