//! The session's cookie: how it is found in a request, signed, verified, and set in a response.

pub(crate) mod attributes;
pub(crate) mod derived;
pub(crate) mod header;
pub(crate) mod rules;
pub(crate) mod secrets;
pub(crate) mod set_cookie;
pub(crate) mod signature;
pub(crate) mod uri_component;
pub(crate) mod value;
