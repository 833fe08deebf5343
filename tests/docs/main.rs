//! The documentation tells the truth.

mod guide;
mod readme;
