//! What axum calls: the extractors and the layer.

mod extract;
pub(crate) mod layer;
mod request_session;
