//! Users: logins, their sessions, and their end, over the store in memory.

mod edges;
mod ended;
mod limits;
mod lists;
mod logins;
mod races;
