//! What axum calls: the extractors, the layer and the health check.

mod extract;
pub(crate) mod health;
pub(crate) mod layer;
mod request_end;
mod request_session;
mod unloaded_request;
