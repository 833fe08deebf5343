//! The program `sessile`, as its users run it: what it prints, and how it ends.
//!
//! The pages in `golden/` and those for readers are run and compared: see [`golden`]. With `SNAPSHOTS=overwrite`
//! in the environment they are written anew.

mod fixture;
mod golden;
mod keys;
mod kills;
mod passwords;
mod prompt;
mod redis_urls;
mod servers;
