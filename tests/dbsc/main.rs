//! Device-bound sessions, without a browser: what the endpoints accept and refuse, and what becomes of
//! requests.
#![cfg(feature = "dbsc")]

mod browser;
mod device;
mod hostile;
mod life;
mod price;
mod races;
mod requests;
