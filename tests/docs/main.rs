//! The documentation tells the truth.

mod events;
mod guide;
mod newcomer;
mod readme;
