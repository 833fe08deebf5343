//! What a commit writes, and whether a cookie is due.
//!
//! | session | condition | store | cookie |
//! |---|---|---|---|
//! | destroyed | it was stored, or the request carried a cookie of the name | `destroy` if it was stored | expired |
//! | regenerated | | `create` new, then `destroy` old | set |
//! | cycled | | `create` new, then `destroy_if` old, with fresh data on `Conflict` | set |
//! | new | modified, or `save()`, or `save_uninitialized` within the cookie's path | `create` | set |
//! | new | else | – | – |
//! | existing | modified | `replace`, over fresh data on `Conflict` | set if `rolling`, a max-age, a changed max-age, or an old secret |
//! | existing | untouched, `resave` or `save()` | `replace` | set if `rolling` or an old secret |
//! | existing | untouched, `rolling`, `touch()` or an old secret | `touch` | set if found, and `rolling` or an old secret |
//! | existing | untouched | – | – |
//! | new | the cookie is Secure and the trusted proxy says http | – | – |
//!
//! [`decide`] is that table; `execution` carries it out.

use crate::session::state::{Carried, Move};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
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
    Move(Move),
    Replace { modified: bool },
    Touch,
}

/// What becomes of the cookie once the store has done it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    Keep,
    Set,
    Expire,
}

/// Everything [`decide`] looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) stage: StageKind,
    pub(crate) modified: bool,
    pub(crate) demand: Demand,
    pub(crate) touch: bool,
    pub(crate) carried: Carried,
    pub(crate) max_age: MaxAge,
    /// The cookie is Secure, and a trusted proxy says the browser speaks http.
    pub(crate) undeliverable: bool,
    pub(crate) resave: bool,
    pub(crate) rolling: bool,
    pub(crate) save_uninitialized: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StageKind {
    New,
    Live,
    /// Whether something of it is in the store, under the id it is leaving.
    Moved {
        how: Move,
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
pub(crate) fn decide(facts: &Facts) -> (Write, Cookie) {
    let saving = facts.demand == Demand::Save;
    let old_secret = facts.carried == Carried::OldSecret;
    let set_if = |due| if due { Cookie::Set } else { Cookie::Keep };
    match facts.stage {
        StageKind::Destroyed { stored: true } => (Write::Destroy, Cookie::Expire),
        StageKind::Destroyed { stored: false } if facts.carried != Carried::No => {
            (Write::Nothing, Cookie::Expire)
        }
        StageKind::Destroyed { stored: false } => (Write::Nothing, Cookie::Keep),
        StageKind::New | StageKind::Moved { stored: false, .. } if facts.undeliverable => {
            (Write::Nothing, Cookie::Keep)
        }
        StageKind::Moved { how, .. } => (Write::Move(how), Cookie::Set),
        StageKind::New if facts.modified || facts.save_uninitialized || saving => {
            (Write::Create, Cookie::Set)
        }
        StageKind::New => (Write::Nothing, Cookie::Keep),
        StageKind::Live if facts.modified => {
            let due = facts.rolling || facts.max_age != MaxAge::None || old_secret;
            (Write::Replace { modified: true }, set_if(due))
        }
        StageKind::Live if facts.resave || saving => {
            (Write::Replace { modified: false }, set_if(facts.rolling || old_secret))
        }
        StageKind::Live if facts.rolling || facts.touch || old_secret => {
            (Write::Touch, set_if(facts.rolling || old_secret))
        }
        StageKind::Live => (Write::Nothing, Cookie::Keep),
    }
}
