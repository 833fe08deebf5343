//! The texts in which a file store notes each user's sessions: one file for each user, in a folder of their
//! own.

use futures_util::future::BoxFuture;
use sha2::{Digest as _, Sha256};

use super::FileStore;
use super::folder::USER_FOLDER;
use super::sessions::Sessions;
use crate::error::StoreError;
use crate::store::users::UserIndex;

/// The file of a user's text. The hash tells users apart on a file system that ignores case, too. The ending
/// is none that session-file-store takes for a session.
fn file_name(user: &str) -> String {
    let hash = base16ct::lower::encode_string(&Sha256::digest(user));
    format!("{USER_FOLDER}/{hash}.log")
}

impl Sessions {
    fn user_text(&self, name: &str) -> Result<String, StoreError> {
        let content = self.folder.read(name).map_err(no_text)?;
        let bytes = content.map(|content| content.bytes).unwrap_or_default();
        String::from_utf8(bytes).map_err(|error| StoreError::unavailable(error.utf8_error()))
    }

    fn append_line(&self, name: &str, line: &str) -> Result<String, StoreError> {
        let lock = self.folder.lock(name)?;
        let text = self.user_text(name)? + line;
        self.folder.write_for_user(&lock, name, &text).map_err(no_text)?;
        Ok(text)
    }

    fn replace_text(&self, name: &str, expected: &str, text: &str) -> Result<bool, StoreError> {
        let lock = self.folder.lock(name)?;
        let present = self.user_text(name)?;
        if present != expected {
            return Ok(false);
        }
        match text {
            "" if present.is_empty() => {}
            "" => self.folder.remove(&lock, name)?,
            text => self.folder.write_for_user(&lock, name, text).map_err(no_text)?,
        }
        Ok(true)
    }
}

/// A user whose text cannot be read is not a user without sessions, while a session that cannot be read is
/// none.
fn no_text(error: StoreError) -> StoreError {
    if error.is_corrupt() { StoreError::unavailable(error) } else { error }
}

impl UserIndex for FileStore {
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        let name = file_name(user);
        Box::pin(self.run(move |sessions| sessions.user_text(&name)))
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
        let (name, line) = (file_name(user), line.to_owned());
        Box::pin(self.run(move |sessions| sessions.append_line(&name, &line)))
    }

    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let (name, expected, text) = (file_name(user), expected.to_owned(), text.to_owned());
        Box::pin(self.run(move |sessions| sessions.replace_text(&name, &expected, &text)))
    }
}
