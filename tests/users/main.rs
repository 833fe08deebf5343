//! Users: logins, their sessions, and their end, over the store in memory.

mod limits;
mod lists;
mod logins;
mod races;
