//! express-session's own test list, row by row: S1 to S142 are its `test/session.js`, C1 to C18 its
//! `test/cookie.js`.
//!
//! Each test is named after its row and says in its first sentence what the row asks for. Where the answer
//! differs on purpose, a paragraph that begins with "Differs:" says how and why, and the test holds that
//! answer to it. `docs/express-tests.md` is made of these sentences.

// One of the rows needs FileStore, and each row is a test that always runs.
#![cfg(feature = "file")]

#[path = "../common/mod.rs"]
mod common;

mod auto;
mod cookie;
mod cookie_object;
mod count;
mod ends;
mod general;
mod lookup;
mod naming;
mod path;
mod proxy;
mod secrets;
mod session;
mod site;
mod unset;
mod writes;
