//! A record's text behind an index over it, in one shared buffer.
//!
//! The buffer starts with how many spans there are and how wide their numbers are; the spans follow, then the text. Sessions
//! in memory are mostly this buffer, so a number takes two bytes where the text is under 64 KiB, else four.

use std::sync::Arc;

use crate::json::Span;

const HEAD: usize = size_of::<u32>();

#[derive(Clone)]
pub(super) struct Packed(Arc<[u8]>);

#[derive(Clone, Copy)]
struct Index {
    /// Size of a number in bytes: two or four.
    width: usize,
    spans: usize,
}

impl Index {
    fn new(spans: usize, text: usize) -> Self {
        Self { width: if text <= usize::from(u16::MAX) { 2 } else { 4 }, spans }
    }

    fn read(bytes: &[u8]) -> Self {
        let head = bytes.first_chunk().map_or(0, |head| u32::from_le_bytes(*head)) as usize;
        Self { width: if head & 1 == 0 { 2 } else { 4 }, spans: head >> 1 }
    }

    fn head(self) -> [u8; HEAD] {
        // A text under 4 GiB has fewer members than that.
        ((self.spans << 1 | usize::from(self.width == 4)) as u32).to_le_bytes()
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

impl Packed {
    pub(super) fn new(spans: impl ExactSizeIterator<Item = Span>, text: &str) -> Self {
        let mut packing = Packing::new(spans.len(), text.len());
        for (at, span) in spans.enumerate() {
            packing.set(at, span);
        }
        packing.push(text);
        packing.finish()
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

    pub(super) fn text(&self) -> &str {
        text(self.bytes())
    }

    /// The text as bytes, which costs no check that they are text.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0[Index::read(&self.0).end()..]
    }

    pub(super) fn part(&self, span: Span) -> &str {
        text(&self.bytes()[span.start()..span.end()])
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

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

fn text(bytes: &[u8]) -> &str {
    // Packed from text, and spans end where characters do.
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A buffer being filled.
pub(super) struct Packing {
    bytes: Vec<u8>,
    index: Index,
}

impl Packing {
    /// Room for so many spans, and for a text of at most so many bytes.
    pub(super) fn new(spans: usize, text: usize) -> Self {
        let index = Index::new(spans, text);
        let mut bytes = Vec::with_capacity(index.end() + text);
        bytes.extend_from_slice(&index.head());
        bytes.resize(index.end(), 0);
        Self { bytes, index }
    }

    pub(super) fn set(&mut self, at: usize, span: Span) {
        let place = self.index.place(at);
        let width = self.index.width;
        let numbers = &mut self.bytes[place..place + 2 * width];
        let (start, end) = numbers.split_at_mut(width);
        // Narrow numbers hold every offset of a text that they were chosen for.
        start.copy_from_slice(&(span.start() as u32).to_le_bytes()[..width]);
        end.copy_from_slice(&(span.end() as u32).to_le_bytes()[..width]);
    }

    /// Appends to the text.
    pub(super) fn push(&mut self, text: &str) -> Span {
        self.push_bytes(text.as_bytes())
    }

    /// Appends a part of another record's text.
    pub(super) fn push_bytes(&mut self, text: &[u8]) -> Span {
        let start = self.len();
        self.bytes.extend_from_slice(text);
        Span::new(start, self.len())
    }

    /// How long the text is so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.index.end()
    }

    pub(super) fn finish(self) -> Packed {
        Packed(self.bytes.into())
    }
}
