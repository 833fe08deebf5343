//! What sessions need to know of a request: its method, its path and its transport.

use axum::extract::OriginalUri;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{Extensions, HeaderMap, Method, Uri};

/// What a session keeps of its request.
pub(crate) struct RequestLine {
    /// The method and the path, where somebody may ask for them. Neither is known for a session that was loaded from
    /// headers alone.
    pub(crate) method: Option<Method>,
    /// The path as the browser sent it, also inside a nested router.
    pub(crate) path: Option<PathAndQuery>,
    /// Whether a browser sends a cookie with the session's path along with the request. `true` where the request's
    /// path is not known.
    pub(crate) is_within: bool,
    /// Whether the request is for an endpoint to which a device brings its proof, so that it has none to
    /// show.
    #[cfg(feature = "dbsc")]
    pub(crate) brings_proof: bool,
}

impl RequestLine {
    pub(crate) fn new(method: &Method, uri: &Uri, extensions: &Extensions, cookie_path: &str) -> Self {
        let uri = original(uri, extensions);
        let is_within = is_within(uri.path(), cookie_path);
        let (method, path) = (Some(method.clone()), uri.path_and_query().cloned());
        Self {
            method,
            path,
            is_within,
            #[cfg(feature = "dbsc")]
            brings_proof: false,
        }
    }

    /// The same without the method and the path. To copy them takes 30 ns, and few requests are asked for them.
    pub(crate) fn without_path(uri: &Uri, extensions: &Extensions, cookie_path: &str) -> Self {
        let is_within = is_within(original(uri, extensions).path(), cookie_path);
        Self {
            method: None,
            path: None,
            is_within,
            #[cfg(feature = "dbsc")]
            brings_proof: false,
        }
    }
}

impl Default for RequestLine {
    fn default() -> Self {
        Self {
            method: None,
            path: None,
            is_within: true,
            #[cfg(feature = "dbsc")]
            brings_proof: false,
        }
    }
}

/// The URI as the browser sent it. In a nested router the request's own URI lacks the path under which the
/// router is nested.
pub(crate) fn original<'r>(uri: &'r Uri, extensions: &'r Extensions) -> &'r Uri {
    extensions.get::<OriginalUri>().map_or(uri, |original| &original.0)
}

/// Whether a browser sends a cookie with `cookie_path` along with a request for `path` (RFC 6265, section
/// 5.1.4).
pub(crate) fn is_within(path: &str, cookie_path: &str) -> bool {
    let rest = path.strip_prefix(cookie_path);
    rest.is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// How a request was sent, as far as this process may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Transport {
    /// The browser used https.
    Https,
    /// A trusted proxy says that the browser used http.
    ProxiedHttp,
    /// Nothing says what the browser used. This counts as http, but a proxy may have ended TLS.
    #[default]
    Unknown,
}

impl Transport {
    /// The transport of a request. With `trust_proxy`, the first value of `X-Forwarded-Proto` decides, if
    /// there is one; else the scheme of the request's URI. `wss` is what some proxies call https in the
    /// handshake of a WebSocket.
    pub(crate) fn of(headers: &HeaderMap, scheme: Option<&Scheme>, trust_proxy: bool) -> Self {
        if trust_proxy && let Some(proto) = headers.get("x-forwarded-proto") {
            let first = proto.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default();
            let secure = [&b"https"[..], b"wss"];
            return match secure.iter().any(|proto| first.trim_ascii().eq_ignore_ascii_case(proto)) {
                true => Self::Https,
                false => Self::ProxiedHttp,
            };
        }
        match scheme {
            Some(scheme) if *scheme == Scheme::HTTPS => Self::Https,
            _ => Self::Unknown,
        }
    }
}

/// Two values: one for responses over https, one for all others.
#[derive(Debug)]
pub(crate) struct PerTransport<T> {
    https: T,
    other: T,
}

impl<T> PerTransport<T> {
    /// Makes both values.
    pub(crate) fn new(mut make: impl FnMut(Transport) -> T) -> Self {
        Self { https: make(Transport::Https), other: make(Transport::Unknown) }
    }

    /// The value for responses over this transport.
    pub(crate) fn get(&self, transport: Transport) -> &T {
        match transport {
            Transport::Https => &self.https,
            Transport::ProxiedHttp | Transport::Unknown => &self.other,
        }
    }
}
