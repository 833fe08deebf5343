//! What a commit writes, and whether a cookie is due.
//!
#![doc = include_str!("../../docs/commit-table.md")]
//!
//! [`decide`] is that table; `execution` carries it out.

use crate::session::state::{NewId, RequestCookie};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    Commit,
    /// `save()`: write, changed or not.
    Save,
}

/// What the store is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Nothing,
    Destroy,
    Create,
    NewId(NewId),
    Replace { modified: bool },
    Touch,
}

/// What becomes of the cookie once the store has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CookieDecision {
    Keep,
    Set,
    Expire,
}

/// Everything [`decide`] looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) stage: StageFacts,
    pub(crate) modified: bool,
    pub(crate) trigger: Trigger,
    pub(crate) touch: bool,
    pub(crate) request_cookie: RequestCookie,
    pub(crate) max_age: MaxAge,
    /// The cookie is Secure, and a trusted proxy says the browser speaks http.
    pub(crate) undeliverable: bool,
    pub(crate) resave: bool,
    pub(crate) rolling: bool,
    pub(crate) save_uninitialized: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageFacts {
    New,
    Existing,
    /// Whether something of it is in the store, under the id it is leaving.
    NewId {
        how: NewId,
        stored: bool,
    },
    Destroyed {
        stored: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxAge {
    None,
    Kept,
    Changed,
}

/// The table of the module documentation.
pub(crate) fn decide(facts: &Facts) -> (Write, CookieDecision) {
    let saving = facts.trigger == Trigger::Save;
    let old_secret = facts.request_cookie == RequestCookie::OldSecret;
    let set_if = |due| if due { CookieDecision::Set } else { CookieDecision::Keep };
    match facts.stage {
        StageFacts::Destroyed { stored: true } => (Write::Destroy, CookieDecision::Expire),
        StageFacts::Destroyed { stored: false } if facts.request_cookie != RequestCookie::Absent => {
            (Write::Nothing, CookieDecision::Expire)
        }
        StageFacts::Destroyed { stored: false } => (Write::Nothing, CookieDecision::Keep),
        StageFacts::New | StageFacts::NewId { stored: false, .. } if facts.undeliverable => {
            (Write::Nothing, CookieDecision::Keep)
        }
        StageFacts::NewId { how, .. } => (Write::NewId(how), CookieDecision::Set),
        StageFacts::New if facts.modified || facts.save_uninitialized || saving => {
            (Write::Create, CookieDecision::Set)
        }
        StageFacts::New => (Write::Nothing, CookieDecision::Keep),
        StageFacts::Existing if facts.modified => {
            let due = facts.rolling || facts.max_age != MaxAge::None || old_secret;
            (Write::Replace { modified: true }, set_if(due))
        }
        StageFacts::Existing if facts.resave || saving => {
            (Write::Replace { modified: false }, set_if(facts.rolling || old_secret))
        }
        StageFacts::Existing if facts.rolling || facts.touch || old_secret => {
            (Write::Touch, set_if(facts.rolling || old_secret))
        }
        StageFacts::Existing => (Write::Nothing, CookieDecision::Keep),
    }
}
