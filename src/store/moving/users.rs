//! The lists of users' sessions, while they move.
//!
//! A text of the old store is *closed* by a line, after which nothing counts. Its content then stands in the new
//! store, after a line that says so, and never leaves it: so a text of the new store, where there is one, is
//! what counts, and there is none before the one of the old store is closed.

use futures_util::future::BoxFuture;

use super::steps::{Rounds, Stores};
use crate::error::StoreError;
use crate::store::users::UserIndex;

/// Closes a text of the old store. To those who know nothing of moves, it is a line of a later version.
const CLOSED: &str = "{\"moved\":true}\n";

/// What a text of the new store begins with, so that it is never empty.
const BEGIN: &str = "{\"moving\":true}\n";

/// What a text says before it was closed. `None`: it is open.
fn closed(text: &str) -> Option<&str> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line == CLOSED {
            return Some(&text[..at]);
        }
        at += line.len();
    }
    None
}

/// Whether this text of the new store is what counts. One that is closed was left by an earlier move, in the
/// other direction.
fn counts(text: &str) -> bool {
    !text.is_empty() && closed(text).is_none()
}

/// A text of the new store as its readers know it.
fn content(text: String) -> String {
    match text.strip_prefix(BEGIN) {
        Some(content) => content.to_owned(),
        None => text,
    }
}

impl Stores {
    fn new_index(&self) -> Result<&dyn UserIndex, StoreError> {
        self.new.store.users().ok_or_else(|| StoreError::unsupported("a list of a user's sessions"))
    }

    /// Brings a user's text into the new store, or finds it there, and returns it as it stands there.
    pub(super) async fn bring_user(&self, user: &str) -> Result<String, StoreError> {
        let Some(new) = self.new.store.users() else { return Ok(String::new()) };
        let mut rounds = Rounds::new();
        loop {
            rounds.next().await?;
            let there = new.read(user).await?;
            if counts(&there) {
                return Ok(there);
            }
            let Some(old) = self.old.store.users() else { return Ok(there) };
            let left = old.append(user, CLOSED).await?;
            let before = match closed(&left).unwrap_or_default() {
                // The content went the other way, and was not copied there.
                "" => closed(&there).unwrap_or_default(),
                before => before,
            };
            let text = [BEGIN, before].concat();
            if new.replace(user, &there, &text).await? {
                return Ok(text);
            }
        }
    }

    /// The user's text in the old store, if that is what counts.
    async fn open_text(&self, user: &str) -> Result<Option<String>, StoreError> {
        let Some(old) = self.old.store.users().filter(|_| !self.is_filling()) else { return Ok(None) };
        // What is open in the old store is not in the new one.
        Ok(Some(old.read(user).await?).filter(|text| closed(text).is_none()))
    }
}

impl UserIndex for Stores {
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            match self.open_text(user).await? {
                Some(text) => Ok(text),
                None => Ok(content(self.bring_user(user).await?)),
            }
        })
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            if let Some(old) = self.old.store.users().filter(|_| !self.is_filling()) {
                let text = old.append(user, line).await?;
                let Some(before) = closed(&text) else { return Ok(text) };
                // If the line is not among those that came too late, it stands before them.
                let late = &text[before.len() + CLOSED.len()..];
                if !late.split_inclusive('\n').any(|at| at == line) {
                    return Ok(content(self.bring_user(user).await?));
                }
            }
            self.bring_user(user).await?;
            self.new_index()?.append(user, line).await.map(content)
        })
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut rounds = Rounds::new();
            while let Some(present) = self.open_text(user).await? {
                rounds.next().await?;
                let Some(old) = self.old.store.users().filter(|_| present == expected) else {
                    return Ok(false);
                };
                if old.replace(user, expected, text).await? {
                    return Ok(true);
                }
            }
            let there = self.bring_user(user).await?;
            let begin = if there.starts_with(BEGIN) { BEGIN } else { "" };
            if there[begin.len()..] != *expected {
                return Ok(false);
            }
            self.new_index()?.replace(user, &there, &[BEGIN, text].concat()).await
        })
    }
}
