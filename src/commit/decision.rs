//! What a commit writes to the store, and what it does to the cookie.
#![doc = include_str!("../../docs/commit-table.md")]
//!
//! The row about a Secure cookie that cannot be delivered takes precedence over the other rows for a session
//! that is not in the store. [`decide`] is this table as a pure function; `execution.rs` makes the calls to
//! the store.

use crate::session::origin::RequestCookie;
use crate::session::stage::NewId;

/// The call that asks for the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// `commit()`, or the layer.
    Commit,
    /// `save()`, which writes the session whether or not it was changed.
    Save,
}

/// What the commit asks of the store. The variants are named after the methods of `SessionStore`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Nothing,
    Destroy,
    Create,
    /// Creates the record under the new id, and then destroys the old record.
    NewId(NewId),
    /// `modified` says whether this request has changed the session, so that a lost write is an error.
    Replace {
        modified: bool,
    },
    Touch,
}

/// What the commit does to the cookie after the store has succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieDecision {
    /// The response leaves the browser's cookie as it is.
    Keep,
    /// The response sets the cookie, if the store holds the record.
    Set,
    /// The response deletes the cookie.
    Expire,
}

/// Everything that [`decide`] depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) stage: StageFacts,
    /// Whether the data, the flash messages or the max-age differ from the record.
    pub(crate) modified: bool,
    pub(crate) trigger: Trigger,
    /// Whether `touch()` was called.
    pub(crate) touch: bool,
    pub(crate) request_cookie: RequestCookie,
    pub(crate) max_age: MaxAge,
    /// Whether the browser would drop the cookie: it is Secure, and a trusted proxy says that the request
    /// came over http.
    pub(crate) undeliverable: bool,
    pub(crate) resave: bool,
    /// Whether the store may hold changes of a commit that got no answer.
    pub(crate) unanswered: bool,
    pub(crate) rolling: bool,
    /// Whether the option is on and the request is within the cookie's path.
    pub(crate) save_uninitialized: bool,
}

/// The session's [`Stage`](crate::session::state::Stage) without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageFacts {
    New,
    Existing,
    /// `stored` says whether the store holds a record under the old id.
    NewId {
        how: NewId,
        stored: bool,
    },
    /// `left_behind` says whether it holds a new record of a commit that has failed.
    Destroyed {
        stored: bool,
        left_behind: bool,
    },
}

/// The session's max-age, compared with the stored one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxAge {
    /// The cookie ends with the browser, as before.
    None,
    /// The session has a max-age, as before.
    Kept,
    /// This request has set another max-age, or has removed it.
    Changed,
}

/// The table of the module's documentation: a session's stage and its facts give what is written and what
/// happens to the cookie.
pub(crate) fn decide(facts: &Facts) -> (Write, CookieDecision) {
    let saving = facts.trigger == Trigger::Save;
    let cookie_due = facts.request_cookie.is_due();
    let set_if = |due| if due { CookieDecision::Set } else { CookieDecision::Keep };
    match facts.stage {
        StageFacts::Destroyed { stored, left_behind } => {
            let write = if stored || left_behind { Write::Destroy } else { Write::Nothing };
            let has_cookie = stored || facts.request_cookie != RequestCookie::Absent;
            (write, if has_cookie { CookieDecision::Expire } else { CookieDecision::Keep })
        }
        StageFacts::New | StageFacts::NewId { stored: false, .. } if facts.undeliverable => {
            (Write::Nothing, CookieDecision::Keep)
        }
        StageFacts::NewId { how, .. } => (Write::NewId(how), CookieDecision::Set),
        StageFacts::New if facts.modified || saving => (Write::Create, CookieDecision::Set),
        // A cookie that came may be newer than this request, or another program's, and names no session here:
        // an empty session does not replace it.
        StageFacts::New if facts.save_uninitialized && facts.request_cookie == RequestCookie::Absent => {
            (Write::Create, CookieDecision::Set)
        }
        StageFacts::New => (Write::Nothing, CookieDecision::Keep),
        StageFacts::Existing if facts.modified => {
            let due = facts.rolling || facts.max_age != MaxAge::None || cookie_due;
            (Write::Replace { modified: true }, set_if(due))
        }
        StageFacts::Existing if facts.resave || saving || facts.unanswered => {
            (Write::Replace { modified: false }, set_if(facts.rolling || cookie_due))
        }
        StageFacts::Existing if facts.rolling || facts.touch || cookie_due => {
            (Write::Touch, set_if(facts.rolling || cookie_due))
        }
        StageFacts::Existing => (Write::Nothing, CookieDecision::Keep),
    }
}
