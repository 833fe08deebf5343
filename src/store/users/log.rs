//! [`UserLog`]: what the lines of a user's text say about the user's sessions.
//!
//! Every line is an [`Event`], and what an event does is decided by the lines before it. So all who read a
//! text agree on it, and to append a line is to make one atomic step: of a login and an end of all sessions,
//! one comes first.

use std::collections::{HashMap, HashSet};

use foldhash::quality::RandomState;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::id::SessionId;

/// What happens to a user's sessions. Times are milliseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// A session is about to be created.
    LogIn(LogIn),
    /// A session is about to get another id. It has no effect if the session is over.
    Move(Move),
    /// The session's record under its old id is gone, and the new one is there. It has no effect if the
    /// session is over, or has arrived under another id: of all who move a session, one arrives.
    Arrive { from: SmolStr, to: SmolStr },
    /// A logout: the record with this id is gone. What else moves away from it is over as well.
    LogOut { id: SmolStr },
    /// All sessions are over. The epoch, which is random, tells this end from all others.
    EndAll { epoch: SmolStr },
    /// All sessions are over but the one with this place, whatever id it has got meanwhile. It has no effect
    /// if that one is over.
    EndOthers { keep: u64, epoch: SmolStr },
    /// The sessions with these places are over, whatever ids they have got meanwhile.
    End { places: Vec<u64> },
    /// These ids have no record, and are not to get one any more. Unlike an end it does not reach the other
    /// ids of their sessions: a session that has changed its id lives on under the new one.
    Close { ids: Vec<SmolStr> },
    /// These ids have no record any more.
    Forget { ids: Vec<SmolStr> },
    /// What the lines before came to, which were removed.
    State(State),
}

/// A login. It has no effect if a condition does not hold.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct LogIn {
    pub(crate) id: SmolStr,
    pub(crate) at: u64,
    /// The number and the epoch of the last end when the login began. `None`: the login begins with this
    /// event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<SmolStr>,
    /// The number of sessions from which on the login is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Whether somebody else acts as the user. Such a session does not count.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) acted: bool,
}

/// A change of a session's id.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) from: SmolStr,
    pub(crate) to: SmolStr,
    pub(crate) at: u64,
    /// Where the user logs in once more: the epoch with which that login began. It has no effect if an end has
    /// come since, also if that has kept the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) epoch: Option<SmolStr>,
}

/// What the lines of a text come to.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The epoch of the last end of all sessions; empty, if none has come.
    epoch: SmolStr,
    /// The number of ends of all sessions. An end that is appended twice, with another one in between,
    /// brings its epoch back, but not the number.
    #[serde(default)]
    ends: u64,
    /// The place of the next login.
    next: u64,
    entries: HashMap<SmolStr, Entry, RandomState>,
}

/// An id that a session has, or had before it was given another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The number of the login, which a session keeps when its id changes.
    pub(crate) place: u64,
    /// When the entry was made.
    pub(crate) at: u64,
    /// Whether the session is over. Its record is destroyed next.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    acted: bool,
    /// The id that the session moves away from. `None`: it has arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<SmolStr>,
}

/// A user's text, read.
#[derive(Debug, Default)]
pub(crate) struct UserLog {
    pub(crate) text: String,
    state: State,
    /// How many lines there are after the state, and how many entries the state had.
    lines: usize,
    entries_before: usize,
}

impl Event {
    /// The event as a line.
    pub(crate) fn line(&self) -> String {
        let json = serde_json::to_string(self);
        // Invariant: text and numbers can be written as JSON.
        debug_assert!(json.is_ok(), "an event cannot be written");
        let mut line = json.unwrap_or_default();
        line.push('\n');
        line
    }

    pub(crate) fn close(ids: &[SessionId]) -> Self {
        Self::Close { ids: texts(ids) }
    }

    pub(crate) fn forget(ids: &[SessionId]) -> Self {
        Self::Forget { ids: texts(ids) }
    }
}

fn texts(ids: &[SessionId]) -> Vec<SmolStr> {
    ids.iter().map(|id| id.key().as_str().into()).collect()
}

impl UserLog {
    pub(crate) fn read(text: String) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            // A line of a later version of this crate is left alone.
            if let Ok(event) = serde_json::from_str(line) {
                log.apply(event);
            }
        }
        Self { text, ..log }
    }

    fn apply(&mut self, event: Event) {
        self.lines += 1;
        let state = &mut self.state;
        match event {
            Event::LogIn(login) => state.log_in(login),
            Event::Move(moved) => state.move_on(moved),
            Event::Arrive { from, to } => state.arrive(from, &to),
            Event::LogOut { id } => {
                // The entry may have been dropped already, because its record is gone.
                let place = state.entries.remove(&id).map(|entry| entry.place);
                state.end(|_, other| Some(other.place) == place || other.from.as_ref() == Some(&id));
            }
            Event::EndAll { epoch } => state.end_all(epoch, None),
            Event::EndOthers { keep, epoch } => {
                if state.has_place(keep) {
                    state.end_all(epoch, Some(keep));
                }
            }
            Event::End { places } => {
                let places: HashSet<_> = places.into_iter().collect();
                state.end(|_, entry| places.contains(&entry.place));
            }
            Event::Close { ids } => {
                for id in &ids {
                    state.entries.entry(id.clone()).and_modify(|entry| entry.ended = true);
                }
            }
            Event::Forget { ids } => {
                for id in &ids {
                    state.entries.remove(id);
                }
            }
            Event::State(before) => {
                (self.lines, self.entries_before) = (0, before.entries.len());
                *state = before;
            }
        }
    }

    /// The epoch that a login takes along which begins now.
    pub(crate) fn epoch(&self) -> SmolStr {
        self.state.epoch()
    }

    /// Whether no end of all sessions has come after the one with this epoch.
    pub(crate) fn is_last_end(&self, epoch: &SmolStr) -> bool {
        self.state.epoch == *epoch
    }

    /// Whether a session has this place, and is not over.
    pub(crate) fn has_place(&self, place: u64) -> bool {
        self.state.has_place(place)
    }

    /// Whether sessions are over whose ids were not forgotten yet.
    pub(crate) fn has_ended(&self) -> bool {
        self.state.entries.values().any(|entry| entry.ended)
    }

    /// Whether a session is noted under this id, and is not over.
    pub(crate) fn has(&self, id: &SessionId) -> bool {
        self.entry(id).is_some_and(|entry| !entry.ended)
    }

    pub(crate) fn entry(&self, id: &SessionId) -> Option<&Entry> {
        self.state.entries.get(id.key().as_str())
    }

    /// The entries, in the order of their logins, each with its session's [key](SessionId::key).
    pub(crate) fn entries(&self) -> Vec<(SessionId, Entry)> {
        let ids = self.state.entries.iter();
        let mut entries: Vec<_> =
            ids.filter_map(|(id, entry)| Some((SessionId::parse(id).ok()?, entry.clone()))).collect();
        // By their ids as well, so that a text is read the same way each time.
        entries.sort_unstable_by(|(id, entry), (other_id, other)| {
            let order = (entry.place, entry.at).cmp(&(other.place, other.at));
            order.then_with(|| id.as_str().cmp(other_id.as_str()))
        });
        entries
    }

    /// The places of the sessions that count, lowest first: those that are not over, and that nobody else
    /// acts in.
    pub(crate) fn places(&self) -> Vec<u64> {
        self.state.places()
    }

    /// Whether so many lines came after the last state that the text should be made short.
    pub(crate) fn is_long(&self) -> bool {
        self.lines > 2 * self.entries_before + 16
    }

    /// The text that has the entries of both. The sessions of the `other` text come after those that are there,
    /// and an end that one of the two knows of has come.
    pub(crate) fn merged(mut self, other: &Self) -> String {
        let state = &mut self.state;
        let mut places = HashMap::<u64, u64>::new();
        for (id, entry) in other.entries() {
            if let Some(known) = state.entries.get_mut(id.as_str()) {
                known.ended |= entry.ended;
                places.insert(entry.place, known.place);
                continue;
            }
            // Several ids of one session keep one place.
            let place = *places.entry(entry.place).or_insert_with(|| {
                let place = state.next;
                state.next = place.wrapping_add(1);
                place
            });
            state.entries.insert(id.as_str().into(), Entry { place, ..entry });
        }
        self.shortened()
    }

    /// Whether both texts come to the same.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        self.state == other.state
    }

    /// The text that says the same in one line, without lines that this version does not know. It is never empty, so
    /// that places and epochs never begin anew: an end that was read before and comes late would reach another session.
    pub(crate) fn shortened(self) -> String {
        Event::State(self.state).line()
    }
}

impl State {
    fn log_in(&mut self, login: LogIn) {
        let LogIn { id, at, epoch, limit, acted } = login;
        let is_late = epoch.is_some_and(|epoch| epoch != self.epoch());
        if is_late
            || self.entries.contains_key(&id)
            || limit.is_some_and(|limit| self.places().len() >= limit)
        {
            return;
        }
        self.entries.insert(id, Entry { place: self.next, at, ended: false, acted, from: None });
        // Wrapping, because foreign text may hold any number.
        self.next = self.next.wrapping_add(1);
    }

    fn move_on(&mut self, Move { from, to, at, epoch }: Move) {
        let is_late = epoch.is_some_and(|epoch| epoch != self.epoch());
        if let Some(&Entry { place, ended: false, acted, .. }) = self.entries.get(&from).filter(|_| !is_late)
        {
            let entry = Entry { place, at, ended: false, acted, from: Some(from) };
            self.entries.entry(to).or_insert(entry);
        }
    }

    fn arrive(&mut self, from: SmolStr, to: &SmolStr) {
        let own = self.entries.get_mut(to);
        if let Some(own) = own.filter(|own| !own.ended && own.from.as_ref() == Some(&from)) {
            own.from = None;
            let place = own.place;
            self.end(|id, other| other.place == place && id != to);
        }
        self.entries.remove(&from);
    }

    /// Marks entries as over.
    fn end(&mut self, is_over: impl Fn(&SmolStr, &Entry) -> bool) {
        for (id, entry) in &mut self.entries {
            entry.ended |= is_over(id, entry);
        }
    }

    /// A line that was appended twice has no effect the second time.
    fn end_all(&mut self, epoch: SmolStr, keep: Option<u64>) {
        if epoch == self.epoch {
            return;
        }
        (self.epoch, self.ends) = (epoch, self.ends.wrapping_add(1));
        self.end(|_, entry| keep != Some(entry.place));
    }

    fn epoch(&self) -> SmolStr {
        format!("{}.{}", self.ends, self.epoch).into()
    }

    fn has_place(&self, place: u64) -> bool {
        self.entries.values().any(|entry| entry.place == place && !entry.ended)
    }

    fn places(&self) -> Vec<u64> {
        let counted = self.entries.values().filter(|entry| !entry.ended && !entry.acted);
        let mut places: Vec<_> = counted.map(|entry| entry.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }
}
