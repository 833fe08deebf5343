//! What becomes of an error: a line in the log, and a response that tells nothing.

use std::error::Error;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// Logs that a call has failed, with the causes of the error.
#[cold]
pub(super) fn log_failure(status: StatusCode, error: &(dyn Error + 'static)) {
    if status.is_server_error() {
        tracing::error!(error, "a session call failed");
    } else {
        tracing::info!(error, "a session call failed");
    }
}

/// The response to an error, whose body is the text of the status.
pub(super) fn opaque(status: StatusCode) -> Response {
    let body = status.canonical_reason().unwrap_or_default();
    (status, body).into_response()
}
