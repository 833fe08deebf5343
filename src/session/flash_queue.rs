//! [`FlashQueues`]: the flash messages of every kind, as stored and with a request's changes.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use foldhash::quality::RandomState;
use smol_str::SmolStr;

use crate::error::SessionError;
use crate::error::value::Refused;
use crate::json::object::{self, FEW, Span};
use crate::json::text::{escape, is_key, unescape};
use crate::record::{FLASH, Record};

/// The flash messages of a record, and what changes have made of them.
pub(crate) struct FlashQueues {
    base: Option<Record>,
    /// Whether the stored value is not in connect-flash's format.
    foreign: bool,
    /// The stored kinds in their stored order, then the new kinds in the order of the changes.
    queues: Vec<FlashQueue>,
    /// The place of each kind's queue; `None` while there are [`FEW`] queues.
    places: Option<HashMap<SmolStr, usize, RandomState>>,
    /// The number of queues that differ from the stored ones.
    modified: usize,
}

/// The messages of one kind.
struct FlashQueue {
    kind: FlashKind,
    /// Where the stored list stands in the record.
    stored: Option<Span>,
    /// `None` until they are needed: a list is not read for the sake of another kind.
    messages: Option<Result<Messages, Foreign>>,
    /// Whether there were changes to this kind.
    changed: bool,
    modified: bool,
}

/// The name of a kind of flash messages.
enum FlashKind {
    /// A stored kind: where its name stands in the record, with its escapes.
    Stored(Span),
    /// A kind of which no list is stored, as plain text.
    New(SmolStr),
}

/// Messages as raw JSON, oldest first.
#[derive(Default)]
struct Messages {
    stored: Vec<SmolStr>,
    now: VecDeque<SmolStr>,
}

/// The stored value of a kind is not a list.
struct Foreign;

impl FlashQueues {
    /// The messages of a record before any change.
    pub(crate) fn new(base: Option<&Record>) -> Self {
        let mut queues =
            Self { base: base.cloned(), foreign: false, queues: Vec::new(), places: None, modified: 0 };
        if let Some((base, (_, flash))) = base.and_then(|base| Some((base, base.member(FLASH)?))) {
            let text = base.part(flash);
            match object::members(text) {
                Ok(members) => queues.queues.extend(members.iter().map(|member| {
                    let kind = FlashKind::Stored(member.key.shifted(flash.start()));
                    FlashQueue::new(kind, Some(member.value.shifted(flash.start())))
                })),
                // A `null` is no messages, as in connect-flash; an empty list is what the package `flash`
                // puts into every session.
                Err(_) => queues.foreign = !object::list(text).is_ok_and(|list| list.is_empty()),
            }
        }
        queues
    }

    /// The record that the changes are compared with.
    pub(crate) fn base(&self) -> Option<&Record> {
        self.base.as_ref()
    }

    /// Queues a message. Of more than `most` messages the oldest go, stored ones too.
    pub(crate) fn push(&mut self, kind: &SmolStr, message: &SmolStr, most: usize) {
        self.change(kind, |messages| {
            messages.push_back(message.clone());
            messages.drain(..messages.len().saturating_sub(most));
        });
    }

    /// Removes the taken messages. Where several waiting messages are equal, the oldest are removed.
    pub(crate) fn take(&mut self, kind: &SmolStr, taken: &[SmolStr]) {
        self.change(kind, |messages| remove_taken(messages, taken));
    }

    fn change(&mut self, kind: &SmolStr, change: impl FnOnce(&mut VecDeque<SmolStr>)) {
        let place = self.find(kind).unwrap_or_else(|| self.add(kind));
        let Self { queues, base, modified, .. } = self;
        let queue = &mut queues[place];
        queue.changed = true;
        let differs = match queue.read(base.as_ref()) {
            Ok(messages) => {
                change(&mut messages.now);
                messages.now != messages.stored
            }
            // An unreadable list counts as modified, so that the commit reports it.
            Err(Foreign) => true,
        };
        *modified = *modified + usize::from(differs) - usize::from(queue.modified);
        queue.modified = differs;
    }

    /// The place of a kind's queue.
    fn find(&mut self, kind: &str) -> Option<usize> {
        let Self { queues, base, places, .. } = self;
        if queues.len() <= FEW {
            return queues.iter().position(|queue| match &queue.kind {
                FlashKind::New(name) => name == kind,
                FlashKind::Stored(name) => base.as_ref().is_some_and(|base| is_key(base.within(*name), kind)),
            });
        }
        let places = places.get_or_insert_with(|| {
            let named = queues.iter().zip(0..);
            named.filter_map(|(queue, place)| Some((queue.kind(base.as_ref())?.into(), place))).collect()
        });
        places.get(kind).copied()
    }

    /// Adds an empty queue, and gives its place.
    fn add(&mut self, kind: &SmolStr) -> usize {
        let place = self.queues.len();
        if let Some(places) = &mut self.places {
            places.insert(kind.clone(), place);
        }
        self.queues.push(FlashQueue::new(FlashKind::New(kind.clone()), None));
        place
    }

    /// Checks that messages of a kind can be queued.
    ///
    /// # Errors
    /// `Decode`, when the stored flash messages are not in connect-flash's format.
    pub(crate) fn check(&mut self, kind: &str) -> Result<(), SessionError> {
        self.queue(kind).map(drop)
    }

    /// The waiting messages of a kind, as raw JSON, oldest first. The errors are those of
    /// [`check`](Self::check).
    pub(crate) fn messages(&mut self, kind: &str) -> Result<Vec<SmolStr>, SessionError> {
        Ok(self.queue(kind)?.map_or_else(Vec::new, |messages| messages.now.iter().cloned().collect()))
    }

    fn queue(&mut self, kind: &str) -> Result<Option<&Messages>, SessionError> {
        if self.foreign {
            return Err(foreign(FLASH.to_owned()));
        }
        let Some(place) = self.find(kind) else { return Ok(None) };
        match self.queues[place].read(self.base.as_ref()) {
            Ok(messages) => Ok(Some(messages)),
            Err(Foreign) => Err(foreign(format!("{FLASH}.{kind}"))),
        }
    }

    /// The waiting messages of every kind that can be read and has a name in Unicode.
    pub(crate) fn all(&mut self) -> Vec<(String, Vec<SmolStr>)> {
        let base = self.base.as_ref();
        let readable = self.queues.iter_mut().filter_map(|queue| {
            let kind = queue.kind(base)?.into_owned();
            let messages = queue.read(base).ok()?;
            Some((kind, messages.now.iter().cloned().collect()))
        });
        readable.collect()
    }

    /// Whether the changes make a difference.
    pub(crate) fn is_modified(&self) -> bool {
        self.modified > 0
    }

    /// The `flash` object after the changes. The kinds without changes keep their stored bytes.
    ///
    /// # Errors
    /// Those of [`check`](Self::check), for each changed kind.
    pub(crate) fn into_text(mut self) -> Result<String, SessionError> {
        if self.foreign {
            return Err(foreign(FLASH.to_owned()));
        }
        let base = self.base.as_ref();
        let mut text = String::from("{");
        let mut push = |raw_kind: &str, value: &str| {
            if text.len() > 1 {
                text.push(',');
            }
            text.push('"');
            text.push_str(raw_kind);
            text.push_str("\":");
            text.push_str(value);
        };
        for queue in &mut self.queues {
            match (base, queue.stored) {
                (Some(base), Some(list)) if !queue.changed => {
                    push(&queue.raw_kind(Some(base)), base.part(list))
                }
                _ => match queue.read(base) {
                    Err(Foreign) => {
                        return Err(foreign(format!("{FLASH}.{}", queue.kind(base).unwrap_or_default())));
                    }
                    Ok(messages) if messages.now.is_empty() => {}
                    Ok(messages) => {
                        let list: Vec<_> = messages.now.iter().map(SmolStr::as_str).collect();
                        let list = format!("[{}]", list.join(","));
                        push(&queue.raw_kind(base), &list);
                    }
                },
            }
        }
        text.push('}');
        Ok(text)
    }
}

impl FlashQueue {
    fn new(kind: FlashKind, stored: Option<Span>) -> Self {
        Self { kind, stored, messages: None, changed: false, modified: false }
    }

    /// The kind's name. `None`, when the stored name is not valid Unicode.
    fn kind<'a>(&'a self, base: Option<&'a Record>) -> Option<Cow<'a, str>> {
        match &self.kind {
            FlashKind::Stored(name) => unescape(base?.part(*name)),
            FlashKind::New(name) => Some(Cow::Borrowed(name)),
        }
    }

    /// The kind's name as JSON has it between its quotes, with its escapes.
    fn raw_kind<'a>(&'a self, base: Option<&'a Record>) -> Cow<'a, str> {
        match &self.kind {
            FlashKind::Stored(name) => Cow::Borrowed(base.map_or("", |base| base.part(*name))),
            FlashKind::New(name) => escape(name),
        }
    }

    /// The messages. They are read from the stored list the first time; a `null` is an empty list, as in
    /// connect-flash.
    fn read(&mut self, base: Option<&Record>) -> Result<&mut Messages, Foreign> {
        let messages = self.messages.get_or_insert_with(|| {
            let list = base.zip(self.stored).map_or("null", |(base, list)| base.part(list));
            let stored: Vec<_> =
                object::list(list).map_err(|_| Foreign)?.into_iter().map(SmolStr::new).collect();
            Ok(Messages { now: stored.iter().cloned().collect(), stored })
        });
        messages.as_mut().map_err(|_| Foreign)
    }
}

fn remove_taken(messages: &mut VecDeque<SmolStr>, taken: &[SmolStr]) {
    // The usual case: the taken messages are the oldest. They are not, when another request has taken some of
    // them too.
    if messages.len() >= taken.len() && taken.iter().eq(messages.iter().take(taken.len())) {
        messages.drain(..taken.len());
        return;
    }
    let mut remaining = HashMap::<&str, usize, RandomState>::default();
    for message in taken {
        *remaining.entry(message).or_default() += 1;
    }
    messages.retain(|message| match remaining.get_mut(message.as_str()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
}

fn foreign(key: String) -> SessionError {
    SessionError::decode(&key, Refused::ForeignFlash)
}
