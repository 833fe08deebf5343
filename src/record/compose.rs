//! Composes the record that a draft describes: a patched copy of the stored record where every new value is
//! as long as the old one, else a record written from scratch.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use arrayvec::ArrayString;

use super::cookie_object::CookieTemplate;
use super::draft::{Draft, Edit, Kept, Source};
use super::indexed_text::IndexedTextBuilder;
use super::{EXPIRES, FLASH, MAX_AGE, MEMBERS, METADATA, OBJECT, Record};
use crate::json::date::{null, time};
use crate::json::object::{FEW, Span};
use crate::json::text::escape;

/// What a record written from scratch begins with.
const OPEN: &[u8] = b"{\"cookie\":";

/// The length of the longest max-age in milliseconds, as decimal digits.
const MAX_AGE_LEN: usize = 20;
const _: () = assert!(MAX_AGE_LEN == u64::MAX.ilog10() as usize + 1);

impl Default for Record {
    /// A record without data, with the `cookie` object that express-session writes under its default options.
    fn default() -> Self {
        Draft::new(Source::Nothing(&CookieTemplate::express()), None).compose(UNIX_EPOCH)
    }
}

impl Draft<'_> {
    /// Composes the record. Its `cookie.expires` is one max-age after `now`.
    pub(crate) fn compose(&self, now: SystemTime) -> Record {
        let expires = self.max_age.and_then(|age| now.checked_add(age)).map_or_else(null, time);
        self.patch(&expires).unwrap_or_else(|| self.write_whole(&expires))
    }

    /// A copy of the stored record with the new values in the places of the old ones. `None` where a value
    /// differs in length, or a member is added or left out. Copying saves writing the members and the index
    /// one by one; counters and times usually keep their length.
    fn patch(&self, expires: &str) -> Option<Record> {
        let base =
            self.from.record().filter(|base| self.kept == Kept::All && base.max_age() == self.max_age)?;
        // A store may know a record by the white space behind it, which must not stay behind another one.
        if !base.as_bytes().ends_with(b"}") {
            return None;
        }
        let stored = base.0.span(EXPIRES);
        let fits = |edit: &Edit<'_>| match (edit.member, &edit.value) {
            (Some((_, stored)), Some(value)) => stored.len() == value.len(),
            (None, None) => true,
            _ => false,
        };
        if stored.len() != expires.len() || !self.edits.iter().all(fits) {
            return None;
        }
        let values = self.edits.iter().filter_map(|edit| Some((edit.member?.1, edit.value.as_deref()?)));
        Some(Record(base.0.patched(values.chain([(stored, expires)]))))
    }

    /// Writes the record and its index from scratch.
    fn write_whole(&self, expires: &str) -> Record {
        let mut max_age = ArrayString::<MAX_AGE_LEN>::new();
        let written = match self.max_age {
            Some(age) => write!(max_age, "{}", u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            None => max_age.write_str("null"),
        };
        debug_assert!(written.is_ok(), "a max-age is longer than {MAX_AGE_LEN} digits");
        let cookie = self.from.cookie();
        let around = OPEN.len() + cookie.len() + max_age.len() + expires.len() + 1;
        let spans = MEMBERS + 2 * self.count();
        let mut builder = IndexedTextBuilder::new(spans, self.max_age, around + self.max_members_len());
        let start = builder.push(OPEN).end();
        builder.push(&cookie.before);
        let max_age = builder.push(max_age.as_bytes());
        builder.push(&cookie.between);
        let expires = builder.push(expires.as_bytes());
        let end = builder.push(&cookie.after).end();
        builder.set(OBJECT, Span::new(start, end));
        builder.set(MAX_AGE, max_age);
        builder.set(EXPIRES, expires);
        let mut members = MemberWriter { builder, written: 0 };
        if let Some(base) = self.from.record() {
            members.builder.note_escapes(base.0.has_escapes());
            members.builder.note_metadata(base.0.has_metadata());
            self.copy_members(base, &mut members);
        }
        for edit in &self.edits {
            if let (None, Some(value)) = (edit.member, &edit.value) {
                let key = escape(edit.key);
                members.builder.note_metadata(edit.key == METADATA);
                members.builder.note_escapes(matches!(key, Cow::Owned(_)));
                members.push(key.as_bytes(), value.as_bytes());
            }
        }
        members.builder.push(b"}");
        // Invariant: every span of the index is set, because `count` counts the members as they are written
        // here.
        debug_assert_eq!(MEMBERS + 2 * members.written, spans, "the index has spans that were never set");
        Record(members.builder.finish())
    }

    /// Writes the stored members with their edits. Members that stay as they are and follow one another are
    /// copied as one run, which saves a copy for each key and each value.
    fn copy_members(&self, base: &Record, members: &mut MemberWriter) {
        let text = base.as_bytes();
        let flash = match self.kept {
            Kept::All => None,
            Kept::Flash => Some(base.member(FLASH).map(|(member, _)| member)),
        };
        let mut run = Run::at(0);
        let edits = EditsByMember::new(&self.edits, base);
        for (member, (key, value)) in base.members().enumerate() {
            match edits.of(member) {
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
                    members.set(run.moved(key, &members.builder), run.moved(value, &members.builder));
                    run.end = value.end();
                }
            }
        }
        members.flush(&mut run, text);
    }

    /// The number of members that the new record has, except for `cookie`.
    fn count(&self) -> usize {
        let kept = match self.kept {
            Kept::All => self.from.record().map_or(0, Record::count),
            Kept::Flash => usize::from(self.stored(FLASH).is_some()),
        };
        let left_out = self.edits.iter().filter(|edit| edit.member.is_some() && edit.value.is_none()).count();
        kept - left_out
            + self.edits.iter().filter(|edit| edit.member.is_none() && edit.value.is_some()).count()
    }

    /// An upper bound on the length of the new record's members, in bytes.
    fn max_members_len(&self) -> usize {
        let stored = self.from.record().map_or(0, |base| base.as_bytes().len());
        let values = self.edits.iter().filter_map(|edit| Some((edit.key, edit.value.as_deref()?)));
        // JSON escapes one byte of a key with six bytes at most, as in `\u0000`.
        let edits = values.map(|(key, value)| 6 * key.len() + value.len() + ",\"\":".len());
        stored + edits.sum::<usize>()
    }
}

/// Finds the edit of a stored member.
struct EditsByMember<'d> {
    edits: &'d [Edit<'d>],
    /// The place of each member's edit; empty while there are [`FEW`] edits.
    places: Vec<Option<usize>>,
}

impl<'d> EditsByMember<'d> {
    fn new(edits: &'d [Edit<'d>], base: &Record) -> Self {
        let mut places = Vec::new();
        if edits.len() > FEW {
            places.resize(base.count(), None);
            for (edit, place) in edits.iter().zip(0..) {
                if let Some((member, _)) = edit.member {
                    places[member] = Some(place);
                }
            }
        }
        Self { edits, places }
    }

    fn of(&self, member: usize) -> Option<&'d Edit<'d>> {
        match self.places.get(member) {
            Some(place) => place.map(|place| &self.edits[place]),
            None => self.edits.iter().find(|edit| edit.is_of(member)),
        }
    }
}

/// Whether a member is written as this crate and express-session write it: after a comma, and without white
/// space.
fn is_plain(text: &[u8], key: Span, value: Span) -> bool {
    text[..key.start()].ends_with(b",\"") && key.end() + 2 == value.start()
}

/// Stored members that follow one another and are copied together: a byte range in the stored record.
struct Run {
    start: usize,
    end: usize,
}

impl Run {
    fn at(start: usize) -> Self {
        Self { start, end: start }
    }

    /// The span that a part of the run gets in the new record.
    fn moved(&self, part: Span, builder: &IndexedTextBuilder) -> Span {
        let to = |at: usize| at - self.start + builder.len();
        Span::new(to(part.start()), to(part.end()))
    }
}

/// Writes members, each into the text and into the index.
struct MemberWriter {
    builder: IndexedTextBuilder,
    /// The number of members in the index so far.
    written: usize,
}

impl MemberWriter {
    /// Puts the next member into the index.
    fn set(&mut self, key: Span, value: Span) {
        let at = MEMBERS + 2 * self.written;
        self.builder.set(at, key);
        self.builder.set(at + 1, value);
        self.written += 1;
    }

    /// Writes one member.
    fn push(&mut self, raw_key: &[u8], value: &[u8]) {
        self.builder.push(b",\"");
        let key = self.builder.push(raw_key);
        self.builder.push(b"\":");
        let value = self.builder.push(value);
        self.set(key, value);
    }

    /// Copies the bytes of a run, which is empty afterwards. Its members are in the index already.
    fn flush(&mut self, run: &mut Run, text: &[u8]) {
        self.builder.push(&text[run.start..run.end]);
        run.start = run.end;
    }
}
