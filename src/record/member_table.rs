//! [`MemberTable`]: finds the members of a record by their keys.

use std::collections::HashMap;

use foldhash::quality::RandomState;
use smol_str::SmolStr;

use super::Record;
use crate::json::object::Span;
use crate::json::text::unescape;

/// The members of a record by key, for whoever asks for many keys: [`Record::member`] searches all members
/// each time, and a visitor may have made an application store very many.
///
/// A key that is not valid Unicode is left out, because nobody can ask for it.
#[derive(Debug, Default)]
pub(crate) struct MemberTable(HashMap<SmolStr, (usize, Span), RandomState>);

impl MemberTable {
    pub(crate) fn new(record: &Record) -> Self {
        let members = record.members().enumerate();
        let named = members.filter_map(|(member, (key, value))| {
            Some((SmolStr::new(unescape(record.part(key))?), (member, value)))
        });
        Self(named.collect())
    }

    /// The same answer as that of [`Record::member`].
    pub(crate) fn find(&self, key: &str) -> Option<(usize, Span)> {
        self.0.get(key).copied()
    }

    /// How many members have a key that is valid Unicode.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
