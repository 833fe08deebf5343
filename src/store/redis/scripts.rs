//! The scripts of [`RedisStore`](super::RedisStore), for servers that cannot compare and write by themselves.
//!
//! Each answers with 1 if it has written, with 0 if there is no record, or with the stored record and its
//! remaining milliseconds if it is not the expected one.
//!
//! `pcall` returns an error as a table, so that a script can answer with it as it is. Redis 6.2 puts the
//! errors of `call` into a text of its own.

use redis::Script;

/// Replaces a record, or a user's text, if it is still the expected one. `ARGV`: the expected text, the new
/// text, and the new record's time to live in seconds, which a user's text does not have.
///
/// Records are compared as text: a JSON value that Lua decodes and encodes again would not be the same text.
const REPLACE: &str = r"
local now = redis.pcall('GET', KEYS[1])
if not now then return 0 end
if type(now) == 'table' then return now end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
local done = ARGV[3] and redis.pcall('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) or redis.pcall('SET', KEYS[1], ARGV[2])
if done.err then return done end
return 1";

/// Removes a record if it is still the expected one. `ARGV`: the expected text.
const REMOVE: &str = r"
local now = redis.pcall('GET', KEYS[1])
if not now then return 0 end
if type(now) == 'table' then return now end
if now ~= ARGV[1] then return {now, redis.call('PTTL', KEYS[1])} end
local done = redis.pcall('DEL', KEYS[1])
if type(done) == 'table' then return done end
return 1";

/// How the scripts that compare marks begin. `ARGV`: the expected mark. `KEYS[2]`, if there is one, is the key
/// beside, which has served its purpose where nothing is written.
macro_rules! by_mark {
    ($write:literal) => {
        concat!(
            r"
local mark = redis.pcall('GETRANGE', KEYS[1], -34, -1)
if mark ~= ARGV[1] then
  if KEYS[2] then redis.pcall('DEL', KEYS[2]) end
  if type(mark) == 'table' then return mark end
  local now = redis.call('GET', KEYS[1])
  if not now then return 0 end
  return {now, redis.call('PTTL', KEYS[1])}
end
",
            $write
        )
    };
}

/// Replaces a record that has the expected mark. `ARGV`: the mark, the new record, its time to live in
/// seconds.
const REPLACE_MARKED: &str = by_mark!(
    r"
local done = redis.pcall('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
if done.err then return done end
return 1"
);

/// Removes a record that has the expected mark. `ARGV`: the mark.
const REMOVE_MARKED: &str = by_mark!(
    r"
local done = redis.pcall('DEL', KEYS[1])
if type(done) == 'table' then return done end
return 1"
);

/// Puts the key beside, which has the new record, in the place of a record that has the expected mark. `ARGV`:
/// the mark, the new record's time to live in seconds. Answers with 2 if the key beside is not there: it has
/// been evicted, has expired, or was not written.
///
/// The key gets its time to live before it is renamed, so that no record is ever left with the few seconds
/// of the key beside.
const BRING_IN: &str = by_mark!(
    r"
local living = redis.pcall('EXPIRE', KEYS[2], ARGV[2])
if living == 0 then return 2 end
local done = type(living) == 'table' and living or redis.pcall('RENAME', KEYS[2], KEYS[1])
if done.err then
  redis.pcall('DEL', KEYS[2])
  return done
end
return 1"
);

#[derive(Clone)]
pub(super) struct Scripts {
    pub(super) replace: Script,
    pub(super) remove: Script,
    pub(super) replace_marked: Script,
    pub(super) remove_marked: Script,
    pub(super) bring_in: Script,
}

impl Default for Scripts {
    fn default() -> Self {
        Self {
            replace: Script::new(REPLACE),
            remove: Script::new(REMOVE),
            replace_marked: Script::new(REPLACE_MARKED),
            remove_marked: Script::new(REMOVE_MARKED),
            bring_in: Script::new(BRING_IN),
        }
    }
}
