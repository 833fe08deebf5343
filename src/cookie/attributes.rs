//! The cookie's attributes, and which of them depend on the request's transport.

use cookie::{Cookie, SameSite};

use crate::request::Transport;

/// The cookie's name and attributes, as one configuration sets them for all sessions.
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

/// The attributes that depend on the request's transport, as sent in its response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentAttributes {
    pub(crate) secure: bool,
    pub(crate) same_site: Option<SameSite>,
}

impl Attributes {
    /// The attributes that depend on the transport, for a response over this one.
    pub(crate) fn sent(&self, secure: Secure, transport: Transport) -> SentAttributes {
        SentAttributes { secure: secure.on(transport), same_site: self.same_site.on(transport) }
    }

    /// The cookie with an empty value, with every attribute that the `cookie` crate knows.
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

/// When the cookie has the `Secure` attribute, which makes browsers send it over https only.
///
/// Made from `true` ([`Always`](Self::Always)) or `false` ([`Never`](Self::Never)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// The cookie never has the attribute: the default, for a first run on localhost.
    Never,
    /// The cookie always has the attribute, also where a proxy ends TLS and this process sees plain http. Use
    /// it in production.
    Always,
    /// The cookie has the attribute when the request came over https. Use it for a service that is reached
    /// over both http and https.
    ///
    /// With [`trust_proxy`](crate::SessionConfigBuilder::trust_proxy), the header `X-Forwarded-Proto`
    /// decides, if the request has one; otherwise the scheme in the request's URI does. HTTP/1.1 requests
    /// carry no scheme, so they count as http: a process that ends TLS itself needs [`Always`](Self::Always).
    Auto,
}

impl From<bool> for Secure {
    fn from(secure: bool) -> Self {
        if secure { Self::Always } else { Self::Never }
    }
}

impl Secure {
    /// Whether the cookie has `Secure` in a response over this transport.
    pub(crate) fn on(self, transport: Transport) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto => transport == Transport::Https,
        }
    }
}

/// Which `SameSite` attribute the cookie has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameSitePolicy {
    /// The cookie has no such attribute.
    Omitted,
    /// The attribute is the same on every transport.
    Fixed(SameSite),
    /// `None` over https, else `Lax`.
    Auto,
}

impl SameSitePolicy {
    /// The attribute in a response over this transport.
    pub(crate) fn on(self, transport: Transport) -> Option<SameSite> {
        match (self, transport) {
            (Self::Omitted, _) => None,
            (Self::Fixed(same_site), _) => Some(same_site),
            (Self::Auto, Transport::Https) => Some(SameSite::None),
            (Self::Auto, Transport::ProxiedHttp | Transport::Unknown) => Some(SameSite::Lax),
        }
    }
}

/// The `Priority` attribute, which Chromium alone knows: which cookies of a domain are dropped first when
/// there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Dropped first.
    Low,
    /// What Chromium assumes without the attribute.
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
