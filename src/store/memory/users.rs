//! What a memory store notes of each user's sessions.

use std::future::ready;

use dashmap::mapref::entry::Entry as Slot;
use futures_util::future::BoxFuture;

use super::MemoryStore;
use crate::error::StoreError;
use crate::store::users::UserIndex;

impl UserIndex for MemoryStore {
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        let text = self.0.users.get(user).map(|text| text.clone());
        Box::pin(ready(Ok(text.unwrap_or_default())))
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        let mut text = self.0.users.entry(user.into()).or_default();
        text.push_str(line);
        Box::pin(ready(Ok(text.clone())))
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let replaced = match self.0.users.entry(user.into()) {
            Slot::Occupied(slot) if slot.get() != expected => false,
            Slot::Vacant(_) if !expected.is_empty() => false,
            Slot::Occupied(slot) if text.is_empty() => {
                slot.remove();
                true
            }
            slot if !text.is_empty() => {
                slot.insert(text.to_owned());
                true
            }
            _ => true,
        };
        Box::pin(ready(Ok(replaced)))
    }
}
