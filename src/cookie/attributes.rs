//! The cookie's attributes, and which of them depend on how a request came.

use cookie::{Cookie, SameSite};

use crate::request::Transport;

/// What is the same on every cookie of one configuration.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) name: String,
    pub(crate) http_only: bool,
    pub(crate) path: String,
    pub(crate) domain: Option<String>,
    pub(crate) same_site: SameSitePolicy,
    pub(crate) partitioned: bool,
    pub(crate) priority: Option<Priority>,
}

/// The attributes that depend on how the request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentAttributes {
    pub(crate) secure: bool,
    pub(crate) same_site: Option<SameSite>,
}

impl Attributes {
    pub(crate) fn sent(&self, secure: Secure, transport: Transport) -> SentAttributes {
        SentAttributes { secure: secure.on(transport), same_site: self.same_site.on(transport) }
    }

    pub(super) fn cookie(&self, sent: SentAttributes) -> Cookie<'_> {
        let mut cookie = Cookie::new(&self.name, "");
        cookie.set_http_only(self.http_only);
        cookie.set_same_site(sent.same_site);
        cookie.set_partitioned(self.partitioned);
        cookie.set_secure(sent.secure);
        cookie.set_path(&self.path);
        if let Some(domain) = &self.domain {
            cookie.set_domain(domain);
        }
        cookie
    }
}

/// When the cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// Never (`false`).
    Never,
    /// Always (`true`), also where this process cannot see TLS because a proxy ends it.
    Always,
    /// When the request came over https: `X-Forwarded-Proto` with
    /// [`trust_proxy`](crate::SessionConfigBuilder::trust_proxy), else the request's own scheme. HTTP/1.1 requests name none: a
    /// process that ends TLS by itself wants `true`.
    Auto,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

impl Secure {
    pub(crate) fn on(self, transport: Transport) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto => transport == Transport::Https,
        }
    }
}

/// Which `SameSite` attribute the cookie carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSitePolicy {
    Omitted,
    Fixed(SameSite),
    /// `None` over https, else `Lax`.
    Auto,
}

impl SameSitePolicy {
    pub(crate) fn on(self, transport: Transport) -> Option<SameSite> {
        match (self, transport) {
            (Self::Omitted, _) => None,
            (Self::Fixed(same_site), _) => Some(same_site),
            (Self::Auto, Transport::Https) => Some(SameSite::None),
            (Self::Auto, Transport::ProxiedHttp | Transport::Unknown) => Some(SameSite::Lax),
        }
    }
}

/// Chromium's `Priority` attribute: which cookies of a domain are dropped first when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// What browsers assume.
    Medium,
    /// Dropped last.
    High,
}

impl Priority {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}
