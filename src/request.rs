//! A request as far as sessions care: its method and path, and how it reached this process.

use axum::extract::OriginalUri;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{Extensions, HeaderMap, Method, Uri};

/// What was asked for, as far as it is known.
#[derive(Default)]
pub(crate) struct RequestLine {
    pub(crate) method: Option<Method>,
    /// As the browser sent it, also inside a nested router.
    pub(crate) path: Option<PathAndQuery>,
}

impl RequestLine {
    pub(crate) fn new(method: &Method, uri: &Uri, extensions: &Extensions) -> Self {
        Self { method: Some(method.clone()), path: original(uri, extensions).path_and_query().cloned() }
    }

    /// [`is_within`]; where the path is not known, it is taken to be.
    pub(crate) fn is_within(&self, cookie_path: &str) -> bool {
        self.path.as_ref().is_none_or(|path| is_within(path.path(), cookie_path))
    }
}

/// The URI as the browser sent it: a nested router has cut off what it is mounted at.
pub(crate) fn original<'r>(uri: &'r Uri, extensions: &'r Extensions) -> &'r Uri {
    extensions.get::<OriginalUri>().map_or(uri, |original| &original.0)
}

/// Whether a browser sends a cookie of this path with a request for that one (RFC 6265, 5.1.4).
pub(crate) fn is_within(path: &str, cookie_path: &str) -> bool {
    let rest = path.strip_prefix(cookie_path);
    rest.is_some_and(|rest| rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'))
}

/// How a request reached this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Transport {
    Https,
    /// A trusted proxy said that the browser spoke plain http.
    ProxiedHttp,
    #[default]
    Unknown,
}

impl Transport {
    /// How a request came, as far as this process may know.
    pub(crate) fn of(headers: &HeaderMap, scheme: Option<&Scheme>, trust_proxy: bool) -> Self {
        if trust_proxy && let Some(proto) = headers.get("x-forwarded-proto") {
            let first = proto.as_bytes().split(|&byte| byte == b',').next().unwrap_or_default();
            return match first.trim_ascii().eq_ignore_ascii_case(b"https") {
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

/// A value for each way a response can be sent: one where the request came over https, one where it did not.
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

    pub(crate) fn get(&self, transport: Transport) -> &T {
        match transport {
            Transport::Https => &self.https,
            Transport::ProxiedHttp | Transport::Unknown => &self.other,
        }
    }
}
