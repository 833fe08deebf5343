//! [`UnloadedRequest`]: loads the session of a request that the handler has consumed without extracting it.

use axum::http::header::COOKIE;
use axum::http::uri::Scheme;
use axum::http::{HeaderMap, HeaderName, Request};
use axum::response::{IntoResponse, Response};

use crate::config::SessionConfig;
use crate::error::SessionRejection;
use crate::http::request_end::{Extent, end_all};
use crate::load::load;
use crate::request::RequestLine;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What is needed to load the session of a request that was given to the handler.
pub(super) struct UnloadedRequest {
    /// The headers that loading reads: `Cookie` and `X-Forwarded-Proto`.
    headers: HeaderMap,
    scheme: Option<Scheme>,
    line: RequestLine,
}

impl UnloadedRequest {
    /// Copies what is needed from the request.
    pub(super) fn of<B>(request: &Request<B>, config: &SessionConfig) -> Self {
        let mut headers = HeaderMap::new();
        for name in [COOKIE, FORWARDED_PROTO] {
            for line in request.headers().get_all(&name) {
                headers.append(name.clone(), line.clone());
            }
        }
        let line = config.inner().request_line(request.method(), request.uri(), request.extensions());
        Self { headers, scheme: request.uri().scheme().cloned(), line }
    }

    /// Loads and commits the session, and applies the guard to the response.
    pub(super) async fn commit(self, config: SessionConfig, response: Response) -> Response {
        match load(config, &self.headers, self.scheme.as_ref(), self.line).await {
            Ok(session) => end_all(session, Extent::Everything, response).await,
            // Nobody has asked for the session, so a response that needs none stays as it is.
            Err(SessionRejection::Unproven) => response,
            Err(error) => error.into_response(),
        }
    }
}
