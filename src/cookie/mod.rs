//! The session's cookie: how it is found in a request, signed, verified, and set in a response.

pub(crate) mod attributes;
pub(crate) mod derived;
pub(crate) mod header;
pub(crate) mod key_ring;
mod mac;
mod recent;
pub(crate) mod rules;
pub(crate) mod secrets;
pub(crate) mod set_cookie;
pub(crate) mod signature;
#[cfg(feature = "dbsc")]
pub(crate) mod stamp;
pub(crate) mod uri_component;
pub(crate) mod value;
