//! [`IndexedText`]: a record's JSON and an index over it, in one shared buffer.
//!
//! ```text
//! byte  0          4           12                                               12 + 2 × w × n
//!       ┌──────────┬───────────┬────────┬────────┬────────┬───   ───┬──────────┬──────────────┐
//!       │ head     │ max-age   │ span 0 │ span 1 │ span 2 │    …    │ span n-1 │ JSON         │
//!       └──────────┴───────────┴────────┴────────┴────────┴───   ───┴──────────┴──────────────┘
//! ```
//!
//! - *head*, a `u32`: bit 0 is set where `w` is 4, bit 1 where a key is written with escapes, bit 2 where
//!   there may be metadata; the other bits are `n`, the number of spans.
//! - *max-age*, a `u64`: the session's max-age in milliseconds, or [`NO_AGE`].
//! - *span*, two numbers of `w` bytes each: where a part of the JSON starts and ends, counted from the start
//!   of the JSON. `w` is 2 where the buffer was made for less than 64 KiB of JSON, else 4.
//! - *JSON*: UTF-8, to the end of the buffer.
//!
//! All numbers are little-endian. The first spans are those of the record's `cookie` object (see
//! [`Record`](super::Record)); the others are a key, its value, the next key and so on.
//!
//! One buffer keeps sessions in memory small: a `Vec` of spans beside an `Arc<str>` would take 80 bytes more
//! for a session of ten keys, and a second allocation for each record.

use std::sync::Arc;
use std::time::Duration;

use crate::json::object::Span;
use crate::json::text::{is_key, text};

/// The length of the head, in bytes.
const HEAD_LEN: usize = size_of::<u32>();
/// Where the spans start, in bytes: after the head and the max-age.
const SPANS_START: usize = HEAD_LEN + size_of::<u64>();
/// The bits of the head below the number of spans.
const FLAG_BITS: u32 = 3;
/// What stands in place of the max-age of a session that has none.
const NO_AGE: u64 = u64::MAX;

// Invariant: a buffer is at least as long as its head says, its JSON is UTF-8, and its spans lie within the
// JSON and end where characters do. `IndexedTextBuilder` is the only place that makes a buffer, out of spans
// that were found in a `&str` or returned by `push`.

/// A record's JSON and an index over it. All clones share one buffer.
#[derive(Clone)]
pub(super) struct IndexedText(Arc<[u8]>);

/// What the head says.
#[derive(Clone, Copy)]
struct Index {
    /// The size of a number in bytes: 2 or 4.
    width: usize,
    /// Whether a key is written with escapes.
    escapes: bool,
    /// Whether a key may be that of metadata. Most records have none, and every load asks.
    metadata: bool,
    /// The number of spans.
    spans: usize,
}

impl Index {
    /// An index over at most `max_len` bytes of JSON.
    fn new(spans: usize, max_len: usize) -> Self {
        let width = if max_len <= usize::from(u16::MAX) { 2 } else { 4 };
        Self { width, escapes: false, metadata: false, spans }
    }

    fn read(bytes: &[u8]) -> Self {
        debug_assert!(bytes.len() >= SPANS_START, "a buffer is shorter than its head and its max-age");
        let head = bytes.first_chunk().map_or(0, |head| u32::from_le_bytes(*head)) as usize;
        let width = if head & 1 == 0 { 2 } else { 4 };
        Self { width, escapes: head & 2 != 0, metadata: head & 4 != 0, spans: head >> FLAG_BITS }
    }

    fn head(self) -> [u8; HEAD_LEN] {
        // Invariant: JSON under 2 GiB has fewer than 2^29 spans, because its keys are distinct.
        debug_assert!(
            self.spans <= (u32::MAX >> FLAG_BITS) as usize,
            "the number of spans does not fit the head"
        );
        let flags =
            usize::from(self.metadata) << 2 | usize::from(self.escapes) << 1 | usize::from(self.width == 4);
        ((self.spans << FLAG_BITS | flags) as u32).to_le_bytes()
    }

    /// Where a span's two numbers stand in the buffer.
    fn span_start(self, span: usize) -> usize {
        SPANS_START + 2 * self.width * span
    }

    /// Where the JSON starts in the buffer.
    fn json_start(self) -> usize {
        self.span_start(self.spans)
    }
}

impl IndexedText {
    pub(super) fn max_age(&self) -> Option<Duration> {
        // Invariant: every buffer has the bytes of a max-age after its head.
        let millis = self.0[HEAD_LEN..].first_chunk().map_or(NO_AGE, |millis| u64::from_le_bytes(*millis));
        (millis != NO_AGE).then(|| Duration::from_millis(millis))
    }

    /// Whether a key is written with escapes.
    pub(super) fn has_escapes(&self) -> bool {
        Index::read(&self.0).escapes
    }

    /// Whether a key may be that of metadata.
    pub(super) fn has_metadata(&self) -> bool {
        Index::read(&self.0).metadata
    }

    /// The number of spans.
    pub(super) fn spans(&self) -> usize {
        Index::read(&self.0).spans
    }

    pub(super) fn span(&self, at: usize) -> Span {
        let index = Index::read(&self.0);
        span(&self.0[index.span_start(at)..index.span_start(at + 1)])
    }

    /// The spans from number `from` on, in pairs.
    pub(super) fn pairs(&self, from: usize) -> impl Iterator<Item = (Span, Span)> {
        let index = Index::read(&self.0);
        let pairs = self.0[index.span_start(from)..index.json_start()].chunks_exact(4 * index.width);
        pairs.map(|pair| {
            let (first, second) = pair.split_at(pair.len() / 2);
            (span(first), span(second))
        })
    }

    /// Finds a key among the pairs from span `from` on: the number of its pair, and the span of its value.
    pub(super) fn find(&self, from: usize, key: &str) -> Option<(usize, Span)> {
        let index = Index::read(&self.0);
        let start = index.span_start(from);
        let (spans, json) = self.0[start..].split_at(index.json_start() - start);
        let nth = if index.escapes {
            self.pairs(from).position(|(at, _)| is_key(at.within(json), key))
        } else {
            let is = |at: Span| at.len() == key.len() && at.within(json) == key.as_bytes();
            // Each width has a loop of its own, so that the compiler knows how long a pair is.
            match index.width {
                2 => spans.as_chunks::<8>().0.iter().position(|pair| is(span(&pair[..4]))),
                _ => spans.as_chunks::<16>().0.iter().position(|pair| is(span(&pair[..8]))),
            }
        }?;
        Some((nth, self.span(from + 2 * nth + 1)))
    }

    /// The JSON.
    pub(super) fn text(&self) -> &str {
        text(self.bytes())
    }

    /// The JSON, without the check that the bytes are UTF-8.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[Index::read(&self.0).json_start()..]
    }

    /// A part of the JSON.
    pub(super) fn str_at(&self, span: Span) -> &str {
        text(self.bytes_at(span))
    }

    /// A part of the JSON, without the check that the bytes are UTF-8.
    pub(super) fn bytes_at(&self, span: Span) -> &[u8] {
        span.within(self.bytes())
    }

    /// A copy in which some parts of the JSON are replaced, each by a text of the same length.
    pub(super) fn patched<'p>(&self, patches: impl Iterator<Item = (Span, &'p str)>) -> Self {
        let mut copy: Arc<[u8]> = (&*self.0).into();
        let json = Index::read(&copy).json_start();
        // Invariant: the copy has one owner, because it was made here.
        let bytes = Arc::get_mut(&mut copy);
        debug_assert!(bytes.is_some(), "a copy that was just made has a second owner");
        if let Some(bytes) = bytes {
            for (at, patch) in patches {
                bytes[json + at.start()..json + at.end()].copy_from_slice(patch.as_bytes());
            }
        }
        Self(copy)
    }

    /// Whether both are clones of one `IndexedText`.
    pub(super) fn shares_buffer_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Reads a span from its two numbers.
#[inline]
fn span(numbers: &[u8]) -> Span {
    // Invariant: a number has 2 or 4 bytes, because `Index` knows no other width.
    debug_assert!(matches!(numbers.len(), 4 | 8), "a span takes {} bytes", numbers.len());
    match *numbers {
        [a, b, c, d] => Span::new(u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()),
        [a, b, c, d, e, f, g, h] => {
            Span::new(u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize)
        }
        _ => Span::new(0, 0),
    }
}

/// Makes an [`IndexedText`]: the spans in any order, the JSON from its start to its end.
pub(super) struct IndexedTextBuilder {
    bytes: Vec<u8>,
    index: Index,
}

impl IndexedTextBuilder {
    /// Makes room for this number of spans, and for at most `max_len` bytes of JSON.
    pub(super) fn new(spans: usize, max_age: Option<Duration>, max_len: usize) -> Self {
        let index = Index::new(spans, max_len);
        let mut bytes = Vec::with_capacity(index.json_start() + max_len);
        bytes.extend_from_slice(&index.head());
        let millis = max_age.map(|age| age.as_millis().try_into().unwrap_or(NO_AGE - 1));
        bytes.extend_from_slice(&millis.unwrap_or(NO_AGE).to_le_bytes());
        bytes.resize(index.json_start(), 0);
        Self { bytes, index }
    }

    /// Sets the span of this number.
    pub(super) fn set(&mut self, at: usize, span: Span) {
        // Invariant: the width fits every offset, because it was chosen for the longest JSON that `new` made
        // room for.
        debug_assert!(
            self.index.width == 4 || span.end() <= usize::from(u16::MAX),
            "a span does not fit its width"
        );
        let numbers = &mut self.bytes[self.index.span_start(at)..];
        let (start, end) = (span.start() as u32, span.end() as u32);
        match self.index.width {
            2 => write(numbers, (start as u16).to_le_bytes(), (end as u16).to_le_bytes()),
            _ => write(numbers, start.to_le_bytes(), end.to_le_bytes()),
        }
    }

    /// Notes that a key is written with escapes. Once noted it stays so.
    pub(super) fn note_escapes(&mut self, escapes: bool) {
        if escapes {
            self.index.escapes = true;
            self.bytes[..HEAD_LEN].copy_from_slice(&self.index.head());
        }
    }

    /// Notes that a key may be that of metadata. Once noted it stays so.
    pub(super) fn note_metadata(&mut self, metadata: bool) {
        if metadata {
            self.index.metadata = true;
            self.bytes[..HEAD_LEN].copy_from_slice(&self.index.head());
        }
    }

    /// Appends to the JSON, and returns the span of what it appended.
    pub(super) fn push(&mut self, text: &[u8]) -> Span {
        self.push_with(|json| json.extend_from_slice(text))
    }

    /// The same with what `push` appends.
    #[inline]
    pub(super) fn push_with(&mut self, push: impl FnOnce(&mut Vec<u8>)) -> Span {
        let start = self.len();
        push(&mut self.bytes);
        Span::new(start, self.len())
    }

    /// The length of the JSON so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.index.json_start()
    }

    pub(super) fn finish(self) -> IndexedText {
        debug_assert!(
            std::str::from_utf8(&self.bytes[self.index.json_start()..]).is_ok(),
            "the JSON is not UTF-8"
        );
        IndexedText(self.bytes.into())
    }
}

/// Writes a span's two numbers to the start of a slice.
fn write<const WIDTH: usize>(numbers: &mut [u8], start: [u8; WIDTH], end: [u8; WIDTH]) {
    let (numbers, _) = numbers.as_chunks_mut();
    // Invariant: there are two numbers, because `new` has made room for every span.
    debug_assert!(numbers.len() >= 2, "there is no room for a span");
    if let [first, second, ..] = numbers {
        (*first, *second) = (start, end);
    }
}
