//! A record about to be written.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::ops::Deref;
use std::time::{Duration, SystemTime};

use arrayvec::ArrayString;
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

impl CookieTemplate<'_> {
    fn borrowed(&self) -> CookieTemplate<'_> {
        let [before, between, after] =
            [&self.before, &self.between, &self.after].map(|part| Cow::Borrowed(&**part));
        CookieTemplate { before, between, after }
    }

    fn len(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
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
    from: Source<'a>,
    max_age: Option<Duration>,
    kept: Kept,
    edits: SmallVec<[Edit<'a>; 2]>,
}

/// What a draft starts from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    Record(&'a Record),
    /// No record is there yet; this is the cookie object of a new one.
    Nothing(&'a CookieTemplate<'static>),
}

impl<'a> Source<'a> {
    fn record(self) -> Option<&'a Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Nothing(_) => None,
        }
    }

    fn cookie(self) -> CookieTemplate<'a> {
        match self {
            Self::Record(record) => record.cookie_template(),
            Self::Nothing(cookie) => cookie.borrowed(),
        }
    }
}

/// What is left of the stored members that no edit names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    All,
    Flash,
}

struct Edit<'a> {
    key: &'a str,
    /// The stored member it is about, and where its value stands; `None`: it goes to the end.
    member: Option<(usize, Span)>,
    /// `None`: the member is left out.
    value: Option<Value<'a>>,
}

impl Edit<'_> {
    fn is_of(&self, member: usize) -> bool {
        self.member.is_some_and(|(at, _)| at == member)
    }
}

impl<'a> Draft<'a> {
    pub(crate) fn new(from: Source<'a>, max_age: Option<Duration>) -> Self {
        Self { from, max_age, kept: Kept::All, edits: SmallVec::new() }
    }

    /// The raw value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        match self.edits.iter().rfind(|edit| edit.key == key) {
            Some(edit) => edit.value.as_deref().map(str::as_bytes),
            None => self.stored(key).and_then(|_| self.from.record()?.raw(key)),
        }
    }

    /// The stored member under a key, if it is kept.
    fn stored(&self, key: &str) -> Option<(usize, Span)> {
        self.from.record().filter(|_| self.kept == Kept::All || key == FLASH)?.member(key)
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

    /// The record, with `cookie.expires` a max-age from `now`.
    pub(crate) fn compose(&self, now: SystemTime) -> Record {
        let expires = self.max_age.and_then(|age| now.checked_add(age)).map_or_else(json::null, json::time);
        self.patched(&expires).unwrap_or_else(|| self.written(&expires))
    }

    /// The stored record with other values in their places, where all of them are as long as those that stand there:
    /// counters are, and times.
    fn patched(&self, expires: &str) -> Option<Record> {
        let base =
            self.from.record().filter(|base| self.kept == Kept::All && base.max_age() == self.max_age)?;
        let stored = base.0.span(EXPIRES);
        let fits = |edit: &Edit<'_>| match (edit.member, &edit.value) {
            (Some((_, stored)), Some(value)) => stored.len() == value.len(),
            _ => false,
        };
        if stored.len() != expires.len() || !self.edits.iter().all(fits) {
            return None;
        }
        let values = self.edits.iter().filter_map(|edit| Some((edit.member?.1, edit.value.as_deref()?)));
        Some(Record(base.0.patched(values.chain([(stored, expires)]))))
    }

    /// Writes the text and its index anew.
    fn written(&self, expires: &str) -> Record {
        let mut max_age = ArrayString::<20>::new();
        // No number is longer than this has room for.
        let _ = match self.max_age {
            Some(age) => write!(max_age, "{}", u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            None => max_age.write_str("null"),
        };
        let cookie = self.from.cookie();
        let around = OPEN.len() + cookie.len() + max_age.len() + expires.len() + 1;
        let mut packing = Packing::new(MEMBERS + 2 * self.count(), self.max_age, around + self.most());
        let start = packing.push(OPEN).end();
        packing.push(&cookie.before);
        let max_age = packing.push(max_age.as_bytes());
        packing.push(&cookie.between);
        let expires = packing.push(expires.as_bytes());
        let end = packing.push(&cookie.after).end();
        packing.set(OBJECT, Span::new(start, end));
        packing.set(MAX_AGE, max_age);
        packing.set(EXPIRES, expires);
        let mut members = Members { packing, written: 0 };
        if let Some(base) = self.from.record() {
            members.packing.note_escapes(base.0.has_escapes());
            self.copy(base, &mut members);
        }
        for edit in &self.edits {
            if let (None, Some(value)) = (edit.member, &edit.value) {
                let key = json::escape(edit.key);
                members.packing.note_escapes(matches!(key, Cow::Owned(_)));
                members.push(key.as_bytes(), value.as_bytes());
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
            match self.edits.iter().find(|edit| edit.is_of(member)) {
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
            Kept::All => self.from.record().map_or(0, Record::count),
            Kept::Flash => usize::from(self.stored(FLASH).is_some()),
        };
        let left_out = self.edits.iter().filter(|edit| edit.member.is_some() && edit.value.is_none()).count();
        kept - left_out
            + self.edits.iter().filter(|edit| edit.member.is_none() && edit.value.is_some()).count()
    }

    /// How long the members may become.
    fn most(&self) -> usize {
        let stored = self.from.record().map_or(0, |base| base.as_bytes().len());
        let edits = self.edits.iter().map(|edit| {
            // A character of a key is escaped with six at most.
            6 * edit.key.len() + edit.value.as_deref().map_or(0, str::len) + ",\"\":".len()
        });
        stored + edits.sum::<usize>()
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
