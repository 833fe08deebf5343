//! [`UserIndex`]: where a store keeps which sessions a user has.

pub(crate) mod calls;
pub(crate) mod log;

use futures_util::future::BoxFuture;

use crate::error::StoreError;
use crate::store::users::log::UserLog;

/// A text for each user, in which the sessions of that user are noted: what a store needs for
/// `sessions_of` and `per_user`.
///
/// The text is a list of lines, to which this crate appends what happens to the user's sessions: a login, a
/// change of id, an end. What the lines say, and in which order a login and an end write them, is the crate's
/// own concern; the store keeps the text and promises three things:
///
/// - **Appending is one atomic step**: of two calls at the same time, both lines are kept, one after the
///   other.
/// - **Replacing is one atomic step**: the text is replaced only if it is, byte for byte, the expected one.
/// - **The text has no expiry.** It is removed only when it is replaced by an empty one.
///
/// `user` is a keyed hash of up to 64 ASCII letters, digits and the characters `-`, `_` and `.`, and differs
/// by case. A line is JSON without line breaks, ends with `\n`, and contains session ids. A text without
/// lines is absent, and the other way round.
///
/// Keep the texts apart from the sessions, so that no other program takes one for a session: a table or a
/// file of their own, or keys outside of the sessions' prefix.
///
/// The check `users_are_kept` of the conformance kit (feature `testing`) tests an implementation.
pub trait UserIndex: Send + Sync {
    /// Returns the user's text; an empty one if there is none.
    fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>>;

    /// Appends a line to the user's text, and returns the text. The text that is returned has the line in it,
    /// and may have later lines as well.
    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>>;

    /// Replaces the user's text if it is still `expected`, and returns whether it was. An empty `text`
    /// removes it.
    fn replace<'a>(
        &'a self,
        user: &'a str,
        expected: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;
}

impl dyn UserIndex + '_ {
    /// Brings a user's list over from another store, for a move of all sessions. Returns whether anything was
    /// written. `user` is one of the hashes of [`Record::user_hashes`](crate::Record::user_hashes).
    ///
    /// Where this store has a list of the user already, the sessions of the other one come after those that
    /// stand in it, and an end that one of the two lists knows of has come. So the call can be repeated. It
    /// moves no session: the records are moved before.
    ///
    /// # Errors
    /// Those of either store.
    pub async fn bring_over(&self, other: &dyn UserIndex, user: &str) -> Result<bool, StoreError> {
        let theirs = other.read(user).await?;
        loop {
            let ours = self.read(user).await?;
            if theirs.is_empty() || theirs == ours {
                return Ok(false);
            }
            let text = match ours.as_str() {
                "" => theirs.clone(),
                _ => UserLog::read(ours.clone()).merged(&UserLog::read(theirs.clone())),
            };
            if UserLog::read(ours.clone()).says_the_same_as(&UserLog::read(text.clone())) {
                return Ok(false);
            }
            // Somebody may have appended a line meanwhile.
            if self.replace(user, &ours, &text).await? {
                return Ok(true);
            }
        }
    }
}
