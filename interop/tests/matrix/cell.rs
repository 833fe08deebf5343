//! What a cell of the matrix is, and what both sides report of it.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::differences::Difference;

/// The answer of `node/matrix.js`.
#[derive(Deserialize)]
pub(crate) struct Express {
    pub(crate) version: String,
    /// What each action is in JavaScript.
    pub(crate) code: HashMap<Action, String>,
    pub(crate) cells: Vec<Seen>,
}

#[derive(Deserialize)]
pub(crate) struct Seen {
    #[serde(flatten)]
    pub(crate) cell: Cell,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub(crate) struct Cell {
    pub(crate) visitor: Visitor,
    pub(crate) action: Action,
    pub(crate) options: Options,
}

/// Who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Visitor {
    /// Without a cookie.
    New,
    /// With the signed cookie of a session the store does not have.
    Unknown,
    /// With the cookie of a stored session.
    Existing,
    /// The same, signed with the older of two secrets.
    OldSecret,
}

impl Visitor {
    pub(crate) const ALL: [Self; 4] = [Self::New, Self::Unknown, Self::Existing, Self::OldSecret];

    pub(crate) fn stored(self) -> bool {
        matches!(self, Self::Existing | Self::OldSecret)
    }
}

/// What a handler does, under the names `node/matrix.js` gives them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    Read,
    SameValue,
    Touch,
    MaxAge,
    Modify,
    ModifyBack,
    Remove,
    Reorder,
    Save,
    ModifySave,
    ModifySaveModify,
    Reload,
    ModifyReload,
    BodyModify,
    Regenerate,
    RegenerateModify,
    RegenerateModifySave,
    Destroy,
    ModifyDestroy,
    NullKeep,
    NullDestroy,
    DestroyUnset,
    ModifyFail,
    HttpRead,
    HttpModify,
    GoneRead,
    GoneModify,
    ChangedRead,
    ChangedModify,
}

impl Action {
    pub(crate) const ALL: [Self; 29] = [
        Self::Read,
        Self::SameValue,
        Self::Touch,
        Self::MaxAge,
        Self::Modify,
        Self::ModifyBack,
        Self::Remove,
        Self::Reorder,
        Self::Save,
        Self::ModifySave,
        Self::ModifySaveModify,
        Self::Reload,
        Self::ModifyReload,
        Self::BodyModify,
        Self::Regenerate,
        Self::RegenerateModify,
        Self::RegenerateModifySave,
        Self::Destroy,
        Self::ModifyDestroy,
        Self::NullKeep,
        Self::NullDestroy,
        Self::DestroyUnset,
        Self::ModifyFail,
        Self::HttpRead,
        Self::HttpModify,
        Self::GoneRead,
        Self::GoneModify,
        Self::ChangedRead,
        Self::ChangedModify,
    ];

    /// Whether it has no meaning for a session that is new.
    pub(crate) fn needs_stored(self) -> bool {
        matches!(
            self,
            Self::SameValue
                | Self::ModifyBack
                | Self::Reorder
                | Self::GoneRead
                | Self::GoneModify
                | Self::ChangedRead
                | Self::ChangedModify
        )
    }

    /// Whether the cookie is Secure and a trusted proxy says that the browser spoke plain http.
    pub(crate) fn over_http(self) -> bool {
        matches!(self, Self::HttpRead | Self::HttpModify)
    }

    /// Whether a new session has nothing in it when the head of the response leaves, and nobody has saved it.
    pub(crate) fn leaves_untouched(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Touch | Self::Remove | Self::Reload | Self::BodyModify | Self::HttpRead
        )
    }

    pub(crate) fn destroys(self) -> bool {
        matches!(self, Self::Destroy | Self::ModifyDestroy | Self::NullDestroy | Self::DestroyUnset)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    pub(crate) resave: bool,
    pub(crate) rolling: bool,
    pub(crate) save_uninitialized: bool,
    pub(crate) max_age: bool,
}

impl Options {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..16).map(|bits| Self {
            resave: bits & 8 != 0,
            rolling: bits & 4 != 0,
            save_uninitialized: bits & 2 != 0,
            max_age: bits & 1 != 0,
        })
    }
}

/// What one request came to.
#[derive(Clone, PartialEq, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    /// In their order: S a record was written, T its life was extended, D it was removed.
    pub(crate) calls: String,
    pub(crate) cookie: Cookie,
    /// The data of every session in the store afterwards.
    pub(crate) records: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Cookie {
    None,
    /// Set, with another id than the stored session's.
    New,
    /// Set, with the stored session's id.
    Same,
    Expired,
}

impl fmt::Display for Outcome {
    /// As the page shows it: the calls, then the cookie.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cookie = match self.cookie {
            Cookie::None => "",
            Cookie::New => "C",
            Cookie::Same => "c",
            Cookie::Expired => "x",
        };
        match (&*self.calls, cookie) {
            ("", "") => f.write_str("–")?,
            (calls, cookie) => write!(f, "{calls}{cookie}")?,
        }
        if self.status == 200 { Ok(()) } else { write!(f, " {}", self.status) }
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} {}", Value::from(self.records.clone()))
    }
}

/// A cell that both sides ran.
pub(crate) struct Compared {
    pub(crate) cell: Cell,
    pub(crate) express: Outcome,
    pub(crate) ours: Outcome,
    /// The differences that make the one out of the other.
    pub(crate) by: Vec<Difference>,
}
