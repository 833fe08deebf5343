//! What axum calls: the extractors and the layer.

mod extract;
pub(crate) mod layer;
mod request_end;
mod request_session;
mod unloaded_request;
