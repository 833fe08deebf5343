//! What a call changes, and how it is applied to the newest contents.

use smol_str::{SmolStr, format_smolstr};

use crate::history::Contents;
use crate::program::Update;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Change {
    Set(SmolStr, SmolStr),
    Remove(SmolStr),
    Clear,
    Update(SmolStr, Update),
    Push(SmolStr, SmolStr),
    Take(SmolStr, Vec<SmolStr>),
    MaxAge(Option<u64>),
    /// At this time.
    Confirm(u64),
}

/// An `update` has met a value that is not of its type.
pub(super) struct Undecodable;

/// What an `update` leaves.
pub(super) fn updated(value: Option<&SmolStr>, update: Update) -> Result<Option<SmolStr>, Undecodable> {
    let before = match value.map(SmolStr::as_str) {
        None | Some("null") => None,
        Some(value) => Some(value.parse().map_err(|_| Undecodable)?),
    };
    Ok(update.apply(before).map(|after| format_smolstr!("{after}")))
}

impl Change {
    pub(super) fn apply(&self, contents: &mut Contents) -> Result<(), Undecodable> {
        match self {
            Self::Set(key, value) => drop(contents.values.insert(key.clone(), value.clone())),
            Self::Remove(key) => drop(contents.values.remove(key)),
            Self::Clear => {
                contents.values.clear();
                // The login is data as well.
                (contents.user, contents.acted, contents.confirmed) = (None, false, None);
            }
            Self::Update(key, update) => match updated(contents.values.get(key), *update)? {
                Some(after) => drop(contents.values.insert(key.clone(), after)),
                None => drop(contents.values.remove(key)),
            },
            Self::Push(kind, message) => {
                contents.flash.entry(kind.clone()).or_default().push(message.clone());
            }
            Self::Take(kind, taken) => take(contents, kind, taken),
            Self::MaxAge(age) => contents.max_age = *age,
            Self::Confirm(at) => {
                if contents.user.is_some() {
                    contents.confirmed = Some(*at);
                }
            }
        }
        Ok(())
    }
}

/// Messages are taken by what they say: of equal ones the oldest go.
fn take(contents: &mut Contents, kind: &SmolStr, taken: &[SmolStr]) {
    let Some(messages) = contents.flash.get_mut(kind) else { return };
    let mut left = taken.to_vec();
    messages.retain(|message| match left.iter().position(|taken| taken == message) {
        Some(at) => {
            left.remove(at);
            false
        }
        None => true,
    });
    if messages.is_empty() {
        contents.flash.remove(kind);
    }
}
