//! The steps by which a record moves from one store to the other. The page *Moving to another store* of the
//! guide says why they are in this order.
//!
//! Invariants, for one id:
//! - Whoever fills a placeholder has seen the session in the old store after the placeholder was there.
//! - Nobody writes to a record of the old store that has the mark.
//! - A record of the new store without a mark has no session beside it in the old one, and never will.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::marks::{self, Mark};
use super::side::{Side, rest};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::record::metadata::Owner;
use crate::store::exclusive::WriteError;
use crate::store::version::Version;
use crate::store::{Replaced, Stored};

/// How often a step begins again because somebody else has come first. Each time, that one has come further.
const ROUNDS: u32 = 64;

/// How long a placeholder stays that nobody fills.
const PLACEHOLDER_LIFE: Duration = Duration::from_secs(60);

/// The id of the record by which all processes know that the new store is being filled.
const FILLING: &str = "sessile-moving";

/// How long that record stays: longer than any move takes.
const FILLING_LIFE: Duration = Duration::from_secs(400 * 86_400);

/// The two stores.
pub(super) struct Stores {
    pub(super) old: Side,
    pub(super) new: Side,
    /// Whether somebody fills the new store, as far as this process knows.
    is_filling: AtomicBool,
}

/// What the new store has under an id.
pub(super) enum InNew {
    Nothing,
    Placeholder(Stored),
    /// The session, whose original may still be in the old store.
    Copy(Stored),
    Session(Stored),
}

/// Where a session is that is to be written to.
pub(super) enum Place {
    Nowhere,
    /// In the old store, and no process fills the new one yet, as far as this one knows.
    Old(Stored),
    New(Stored),
}

/// Counts the rounds of a step, and waits a little where there were several.
pub(super) struct Rounds(u32);

impl Rounds {
    pub(super) fn new() -> Self {
        Self(0)
    }

    /// # Errors
    /// [`StoreError::unavailable`] after too many.
    pub(super) async fn next(&mut self) -> Result<(), StoreError> {
        self.0 += 1;
        if self.0 > ROUNDS {
            return Err(StoreError::unavailable(WriteError::Busy));
        }
        if self.0 > 4 {
            let longest = 100 * (1_u64 << self.0.min(9));
            tokio::time::sleep(Duration::from_micros(fastrand::u64(..longest))).await;
        }
        Ok(())
    }
}

/// What readers see of a record that has not arrived yet. Its version is its bytes: a number of the old store
/// could be that of another record in the new one.
pub(super) fn plain(stored: Stored) -> Stored {
    let record = match marks::of(&stored.record) {
        Mark::Moving => marks::unmarked(stored.record),
        Mark::None | Mark::Placeholder => stored.record,
    };
    Stored { version: Some(Version::of(&record)), record, ..stored }
}

impl Stores {
    pub(super) fn new(old: Side, new: Side) -> Self {
        Self { old, new, is_filling: AtomicBool::new(false) }
    }

    /// The id of the record that says that the new store is being filled.
    pub(super) fn filling() -> SessionId {
        // Invariant: the text is a legal id.
        SessionId::new(FILLING).unwrap_or_else(|_| SessionId::random())
    }

    /// Tells all processes that the new store is being filled.
    pub(super) async fn begin_filling(&self) -> Result<(), StoreError> {
        let (id, note) = (Self::filling(), marks::note()?);
        self.new.set(&id, &note, FILLING_LIFE).await?;
        let seen = self.old.get(&id).await?;
        if seen.is_some_and(|seen| seen.record.same(&note)) {
            self.new.destroy(&id).await?;
            return Err(StoreError::unsupported(
                "moving sessions within one place: give the new store another table, prefix or folder",
            ));
        }
        self.note_filling();
        Ok(())
    }

    pub(super) fn is_filling(&self) -> bool {
        self.is_filling.load(Ordering::Acquire)
    }

    fn note_filling(&self) {
        self.is_filling.store(true, Ordering::Release);
    }

    /// Whether anybody fills the new store. If not, nobody has begun before this call.
    pub(super) async fn look_whether_filling(&self) -> Result<bool, StoreError> {
        if !self.is_filling() && self.new.get(&Self::filling()).await?.is_some() {
            self.note_filling();
        }
        Ok(self.is_filling())
    }

    pub(super) fn in_new(&self, found: Option<Stored>) -> InNew {
        let Some(mut stored) = found else { return InNew::Nothing };
        self.note_filling();
        match marks::of(&stored.record) {
            Mark::None => {
                stored.version.get_or_insert_with(|| Version::of(&stored.record));
                InNew::Session(stored)
            }
            Mark::Moving => InNew::Copy(stored),
            Mark::Placeholder => InNew::Placeholder(stored),
        }
    }

    pub(super) async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            let placeholder = match self.in_new(self.new.get(id).await?) {
                InNew::Session(stored) => return Ok(Some(stored)),
                InNew::Copy(stored) => return Ok(Some(plain(stored))),
                InNew::Placeholder(stored) => Some(stored),
                InNew::Nothing => None,
            };
            if let Some(stored) = self.old.get(id).await? {
                return Ok(Some(plain(stored)));
            }
            // It may have moved between the two looks.
            let placeholder = match placeholder {
                Some(stored) => stored,
                None => match self.in_new(self.new.get(id).await?) {
                    InNew::Nothing => return Ok(None),
                    InNew::Placeholder(stored) => stored,
                    InNew::Copy(_) | InNew::Session(_) => continue,
                },
            };
            if self.is_left(id, &placeholder).await? {
                return Ok(None);
            }
        }
    }

    /// Those of these ids under which the new store has a session, and no mere placeholder.
    pub(super) async fn sessions_among(&self, ids: Vec<SessionId>) -> Result<Vec<SessionId>, StoreError> {
        let found = self.new.get_many(&ids).await?;
        let is_session = |found: Option<Stored>| {
            found.is_some_and(|stored| marks::of(&stored.record) != Mark::Placeholder)
        };
        Ok(ids.into_iter().zip(found).filter_map(|(id, found)| is_session(found).then_some(id)).collect())
    }

    /// Removes a placeholder for which the old store has no session. `false`, if somebody has filled it before.
    /// If it stayed, somebody who has seen the session in the old store could fill it after another one has
    /// seen that there is none.
    async fn is_left(&self, id: &SessionId, placeholder: &Stored) -> Result<bool, StoreError> {
        let removed = self.new.destroy_if(id, placeholder).await?;
        Ok(!matches!(removed, Replaced::Conflict(_)))
    }

    /// Finds the session that is to be written to. Where the new store is being filled, the session is there
    /// afterwards.
    pub(super) async fn locate(&self, id: &SessionId) -> Result<Place, StoreError> {
        if !self.is_filling() {
            let found = self.in_new(self.new.get(id).await?);
            if matches!(found, InNew::Nothing)
                && let Some(stored) = self.old.get(id).await?
                && marks::of(&stored.record) == Mark::None
            {
                return Ok(Place::Old(stored));
            }
        }
        Ok(self.bring(id).await?.map_or(Place::Nowhere, Place::New))
    }

    /// What a process does that has just written to the old store: if the new one is being filled meanwhile,
    /// the session may have been copied with the life that it had before.
    pub(super) async fn wrote_to_old(&self, id: &SessionId, ttl: Duration) -> Result<(), StoreError> {
        if !self.look_whether_filling().await? {
            return Ok(());
        }
        let mut rounds = Rounds::new();
        while let Some(stored) = self.bring(id).await? {
            rounds.next().await?;
            if let Replaced::Done(_) = self.new.replace(id, &stored, &stored.record, ttl).await? {
                break;
            }
        }
        Ok(())
    }

    /// Brings a session into the new store, or finds it there. `None`: there is none.
    pub(super) async fn bring(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            let placeholder = match self.in_new(self.new.get(id).await?) {
                InNew::Session(stored) => return Ok(Some(stored)),
                InNew::Copy(copy) => match self.arrive(id, copy).await? {
                    Some(stored) => return Ok(Some(stored)),
                    None => continue,
                },
                InNew::Placeholder(stored) => stored,
                InNew::Nothing => {
                    // Only a session that is there may take room in the new store.
                    if self.old.get(id).await?.is_none() {
                        match self.in_new(self.new.get(id).await?) {
                            InNew::Nothing => return Ok(None),
                            _ => continue,
                        }
                    }
                    match self.take_place(id).await? {
                        Some(placeholder) => placeholder,
                        None => continue,
                    }
                }
            };
            let Some(old) = self.old.get(id).await? else {
                if self.is_left(id, &placeholder).await? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(stored) = self.fill(id, &placeholder, old).await? {
                return Ok(Some(stored));
            }
        }
    }

    /// The same for a session that the old store had a moment ago. It takes fewer calls where nobody is in the
    /// way.
    pub(super) async fn bring_seen(&self, id: &SessionId, old: Stored) -> Result<(), StoreError> {
        // To write the mark, the session must still be as it was seen. If it has the mark already, it has to be
        // seen again after the placeholder is there.
        if marks::of(&old.record) == Mark::None {
            let seen = old.clone();
            let placeholder = self.take_place(id).await?;
            if let Some(placeholder) = &placeholder
                && self.fill(id, placeholder, old).await?.is_some()
            {
                return Ok(());
            }
            // Two processes have created it at the same time, and the other one's counts.
            if placeholder.is_none() && matches!(self.in_new(self.new.get(id).await?), InNew::Session(_)) {
                self.old.destroy_if(id, &seen).await?;
            }
        }
        self.bring(id).await.map(drop)
    }

    /// Puts a placeholder into the new store. `None`: there is something.
    async fn take_place(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
        let placeholder = marks::placeholder()?;
        let is_taken = !self.new.create(id, &placeholder, PLACEHOLDER_LIFE).await?;
        Ok((!is_taken).then(|| Stored::from(placeholder)))
    }

    /// Marks the session in the old store, if it is not, and copies it over the placeholder. `None`: somebody
    /// else has changed one of the two.
    async fn fill(
        &self,
        id: &SessionId,
        placeholder: &Stored,
        old: Stored,
    ) -> Result<Option<Stored>, StoreError> {
        let ttl = rest(&old);
        let moving = match marks::of(&old.record) {
            Mark::Moving => old.record,
            Mark::None | Mark::Placeholder => {
                self.bring_lists(&old.record).await?;
                let marked = marks::marked(old.record.clone());
                match self.old.replace(id, &old, &marked, ttl).await? {
                    Replaced::Done(_) => marked,
                    Replaced::Conflict(_) | Replaced::Gone => return Ok(None),
                }
            }
        };
        match self.new.replace(id, placeholder, &moving, ttl).await? {
            Replaced::Done(version) => {
                let copy = Stored::from(moving).with_version(version).with_expires_in(ttl);
                self.arrive(id, copy).await
            }
            Replaced::Conflict(_) | Replaced::Gone => Ok(None),
        }
    }

    /// Removes the original of a copy, and then takes the mark off the copy. `None`: somebody else has changed
    /// it.
    async fn arrive(&self, id: &SessionId, copy: Stored) -> Result<Option<Stored>, StoreError> {
        let original = Stored::from(copy.record.clone());
        if let Replaced::Conflict(now) = self.old.destroy_if(id, &original).await?
            && marks::of(&now.record) == Mark::Moving
        {
            // The old store gives the text back in another form.
            self.old.destroy(id).await?;
        }
        let ttl = rest(&copy);
        let record = marks::unmarked(copy.record.clone());
        Ok(match self.new.replace(id, &copy, &record, ttl).await? {
            Replaced::Done(version) => Some(Stored::from(record).with_version(version).with_expires_in(ttl)),
            Replaced::Conflict(_) | Replaced::Gone => None,
        })
    }

    /// Brings the lists in which this record stands: who finds a record in the new store finds its lists there.
    pub(super) async fn bring_lists(&self, record: &Record) -> Result<(), StoreError> {
        if let Some(owner) = Owner::of(record) {
            for user in owner.users() {
                self.bring_user(user).await?;
            }
        }
        Ok(())
    }
}
