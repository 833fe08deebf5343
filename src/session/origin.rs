//! [`Origin`]: where a session comes from, and what the request brought of it.

/// Where a session comes from: the store, or why it is a new one.
///
/// When a request brings several cookies of the session's name and none of them can be loaded, each cookie
/// has an origin, and the session has the last of them in the order of the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The request carried no cookie of the session's name.
    NoCookie,
    /// None of the secrets signed the cookie.
    BadSignature,
    /// The cookie is signed, but the store has no record under its id: the session expired or was destroyed.
    Unknown,
    /// The store holds something under the cookie's id that cannot be read as a session record. The stored
    /// bytes are left as they are, and the session gets a new id.
    Undecodable,
    /// The session was loaded from the store: it is an existing session.
    Loaded,
}

/// The session's cookie in the browser, as far as this request knows: as the request brought it, and
/// `Present` once a commit has set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestCookie {
    /// The request brought no cookie of the session's name.
    Absent,
    /// The request brought a cookie of the session's name, valid or not, or a commit has set one.
    Present,
    /// The cookie names this session but is signed with an older secret, so the next commit sets it again.
    OldSecret,
    /// The request brought a cookie of another library that names this session, so the next commit sets ours
    /// and expires the other.
    Adopted,
    /// The same, and a commit has set ours.
    AdoptedAndSet,
}

impl RequestCookie {
    /// Whether the cookie is to be set, also where nothing else asks for it.
    pub(crate) fn is_due(self) -> bool {
        matches!(self, Self::OldSecret | Self::Adopted)
    }

    /// Whether the session came by the cookie of another library.
    pub(crate) fn is_adopted(self) -> bool {
        matches!(self, Self::Adopted | Self::AdoptedAndSet)
    }

    /// After a commit has set the cookie.
    pub(crate) fn set(self) -> Self {
        if self.is_adopted() { Self::AdoptedAndSet } else { Self::Present }
    }
}
