//! A record's text behind an index over it, in one shared buffer.
//!
//! The buffer starts with how many spans there are, how wide their numbers are and whether keys have escapes, and with
//! the session's max-age; the spans follow, then the text. Sessions in memory are mostly this buffer, so a number takes
//! two bytes where the text is under 64 KiB, else four.

use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;

use crate::json::object::Span;
use crate::json::text::{is_key, text};

const COUNT: usize = size_of::<u32>();
const HEAD: usize = COUNT + size_of::<u64>();
/// In the place of a max-age.
const NO_AGE: u64 = u64::MAX;

#[derive(Clone)]
pub(super) struct IndexedText(Arc<[u8]>);

#[derive(Clone, Copy)]
struct Index {
    /// Size of a number in bytes: two or four.
    width: usize,
    /// Whether a key is written with escapes.
    escapes: bool,
    spans: usize,
}

impl Index {
    fn new(spans: usize, text: usize) -> Self {
        Self { width: if text <= usize::from(u16::MAX) { 2 } else { 4 }, escapes: false, spans }
    }

    fn read(bytes: &[u8]) -> Self {
        let head = bytes.first_chunk().map_or(0, |head| u32::from_le_bytes(*head)) as usize;
        Self { width: if head & 1 == 0 { 2 } else { 4 }, escapes: head & 2 != 0, spans: head >> 2 }
    }

    fn head(self) -> [u8; COUNT] {
        // A text under 4 GiB has fewer members than that.
        let flags = usize::from(self.escapes) << 1 | usize::from(self.width == 4);
        ((self.spans << 2 | flags) as u32).to_le_bytes()
    }

    /// Where a span's two numbers stand.
    fn place(self, span: usize) -> usize {
        HEAD + 2 * self.width * span
    }

    /// Where the text begins.
    fn end(self) -> usize {
        self.place(self.spans)
    }
}

impl IndexedText {
    /// The spans of a text, of which those from `keys` on are of keys and their values by turns.
    pub(super) fn new(spans: &[Span], keys: usize, max_age: Option<Duration>, text: &str) -> Self {
        let mut builder = IndexedTextBuilder::new(spans.len(), max_age, text.len());
        for (at, span) in spans.iter().enumerate() {
            builder.set(at, *span);
        }
        let mut keys = spans[keys..].iter().step_by(2);
        builder.note_escapes(keys.any(|key| memchr(b'\\', key.within(text.as_bytes())).is_some()));
        builder.push(text.as_bytes());
        builder.finish()
    }

    pub(super) fn max_age(&self) -> Option<Duration> {
        let millis = self.0[COUNT..].first_chunk().map_or(NO_AGE, |millis| u64::from_le_bytes(*millis));
        (millis != NO_AGE).then(|| Duration::from_millis(millis))
    }

    pub(super) fn has_escapes(&self) -> bool {
        Index::read(&self.0).escapes
    }

    /// How many spans there are.
    pub(super) fn spans(&self) -> usize {
        Index::read(&self.0).spans
    }

    pub(super) fn span(&self, at: usize) -> Span {
        let index = Index::read(&self.0);
        span(&self.0[index.place(at)..index.place(at + 1)])
    }

    /// The spans from this one on, by twos.
    pub(super) fn pairs(&self, from: usize) -> impl Iterator<Item = (Span, Span)> {
        let index = Index::read(&self.0);
        let pairs = self.0[index.place(from)..index.end()].chunks_exact(4 * index.width);
        pairs.map(|pair| {
            let (first, second) = pair.split_at(pair.len() / 2);
            (span(first), span(second))
        })
    }

    /// Which of the pairs from this span on is a key's, and the span of its value.
    pub(super) fn find(&self, from: usize, key: &str) -> Option<(usize, Span)> {
        let index = Index::read(&self.0);
        let (spans, text) = self.0[index.place(from)..].split_at(index.end() - index.place(from));
        let nth = if index.escapes {
            self.pairs(from).position(|(at, _)| is_key(at.within(text), key))
        } else {
            let is = |at: Span| at.len() == key.len() && at.within(text) == key.as_bytes();
            // Each width has a loop of its own, over chunks of a size that is known.
            match index.width {
                2 => spans.as_chunks::<8>().0.iter().position(|pair| is(span(&pair[..4]))),
                _ => spans.as_chunks::<16>().0.iter().position(|pair| is(span(&pair[..8]))),
            }
        }?;
        Some((nth, self.span(from + 2 * nth + 1)))
    }

    pub(super) fn text(&self) -> &str {
        text(self.bytes())
    }

    /// The text as bytes, which costs no check that they are text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[Index::read(&self.0).end()..]
    }

    pub(super) fn part(&self, span: Span) -> &str {
        text(self.within(span))
    }

    pub(super) fn within(&self, span: Span) -> &[u8] {
        span.within(self.bytes())
    }

    /// A copy with other bytes in these places.
    pub(super) fn patched<'p>(&self, patches: impl Iterator<Item = (Span, &'p str)>) -> Self {
        let mut copy: Arc<[u8]> = (&*self.0).into();
        let text = Index::read(&copy).end();
        // Nobody else has it yet.
        if let Some(bytes) = Arc::get_mut(&mut copy) {
            for (at, patch) in patches {
                bytes[text + at.start()..text + at.end()].copy_from_slice(patch.as_bytes());
            }
        }
        Self(copy)
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[inline]
fn span(numbers: &[u8]) -> Span {
    match *numbers {
        [a, b, c, d] => Span::new(u16::from_le_bytes([a, b]).into(), u16::from_le_bytes([c, d]).into()),
        [a, b, c, d, e, f, g, h] => {
            Span::new(u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]) as usize)
        }
        // An index has no other width.
        _ => Span::new(0, 0),
    }
}

/// A buffer being filled.
pub(super) struct IndexedTextBuilder {
    bytes: Vec<u8>,
    index: Index,
}

impl IndexedTextBuilder {
    /// Room for so many spans, and for a text of at most so many bytes.
    pub(super) fn new(spans: usize, max_age: Option<Duration>, text: usize) -> Self {
        let index = Index::new(spans, text);
        let mut bytes = Vec::with_capacity(index.end() + text);
        bytes.extend_from_slice(&index.head());
        let millis = max_age.map(|age| age.as_millis().try_into().unwrap_or(NO_AGE - 1));
        bytes.extend_from_slice(&millis.unwrap_or(NO_AGE).to_le_bytes());
        bytes.resize(index.end(), 0);
        Self { bytes, index }
    }

    pub(super) fn set(&mut self, at: usize, span: Span) {
        let numbers = &mut self.bytes[self.index.place(at)..];
        let (start, end) = (span.start() as u32, span.end() as u32);
        match self.index.width {
            // Wide enough for every offset of a text that this width was chosen for.
            2 => write(numbers, (start as u16).to_le_bytes(), (end as u16).to_le_bytes()),
            _ => write(numbers, start.to_le_bytes(), end.to_le_bytes()),
        }
    }

    /// Whether some of the text's keys are written with escapes.
    pub(super) fn note_escapes(&mut self, escapes: bool) {
        if escapes {
            self.index.escapes = true;
            self.bytes[..COUNT].copy_from_slice(&self.index.head());
        }
    }

    /// Appends to the text.
    pub(super) fn push(&mut self, text: &[u8]) -> Span {
        let start = self.len();
        self.bytes.extend_from_slice(text);
        Span::new(start, self.len())
    }

    /// How long the text is so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.index.end()
    }

    pub(super) fn finish(self) -> IndexedText {
        IndexedText(self.bytes.into())
    }
}

fn write<const WIDTH: usize>(numbers: &mut [u8], start: [u8; WIDTH], end: [u8; WIDTH]) {
    if let ([first, second, ..], _) = numbers.as_chunks_mut() {
        (*first, *second) = (start, end);
    }
}
