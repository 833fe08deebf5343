//! What is run: a configuration, what the store holds at first, and what each request does.

mod print;
mod random;
mod users;

use std::time::Duration;

use smol_str::{SmolStr, format_smolstr};

use crate::stores::StoreKind;

/// The kinds of flash messages that programs use.
pub(crate) const KINDS: [&str; 2] = ["info", "error"];

/// One random program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The store under test.
    pub store: StoreKind,
    /// Whether users log in, and another oracle judges.
    pub users: bool,
    /// The options of the configuration.
    pub options: Options,
    /// What the world does to the requests.
    pub faults: Faults,
    /// Who there is, and what they hold before the first request.
    pub visitors: Vec<Visitor>,
    /// What happens.
    pub requests: Vec<Request>,
    /// Which of the ids that the generator gives are taken: its n-th is that of a session nobody else names.
    pub taken: Vec<u32>,
}

impl Program {
    /// Whether sessions stand in users' lists.
    pub(crate) fn has_users(&self) -> bool {
        self.users || self.visitors.iter().any(|visitor| matches!(visitor, Visitor::LoggedIn { .. }))
    }
}

/// The options that differ between programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `save_uninitialized`.
    pub save_uninitialized: bool,
    /// `rolling`.
    pub rolling: bool,
    /// `resave`.
    pub resave: bool,
    /// `touch_after(ZERO)`: each load touches the record.
    pub touch_always: bool,
    /// A session that ends with the browser: no max-age.
    pub browser_session: bool,
    /// The clock moves by a second with each call that is carried out; else it stands still.
    pub clock_moves: bool,
    /// It moves by so much that what was noted a few calls ago is old.
    pub clock_jumps: bool,
    /// `per_user`: the limit, and whether a login beyond it is refused.
    pub per_user: Option<(u8, bool)>,
    /// `absolute_timeout`: after how many calls of a clock that moves.
    pub timeout: Option<u8>,
}

impl Options {
    /// By how much the clock moves with each call.
    pub(crate) fn step(self) -> Duration {
        match (self.clock_moves, self.clock_jumps) {
            (false, _) => Duration::ZERO,
            (true, false) => Duration::from_secs(1),
            (true, true) => Duration::from_secs(25),
        }
    }

    /// How long a session lives at most. A clock that stands still ends none.
    pub(crate) fn absolute_timeout(self) -> Option<Duration> {
        self.timeout.map(|calls| self.step() * u32::from(calls)).filter(|timeout| !timeout.is_zero())
    }
}

/// How often the scheduler may do each of these to a program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// A call fails before it is carried out.
    pub fail: u8,
    /// A call is carried out, and the answer is lost.
    pub lose: u8,
    /// A call fails, and is carried out later all the same.
    pub late: u8,
    /// A request is dropped.
    pub drop: u8,
    /// A call whose caller was dropped is carried out later, or never; else it ends with its caller.
    pub outlive: bool,
}

/// Someone with at most one cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitor {
    /// No cookie.
    New,
    /// The cookie of a session in the store.
    Known {
        /// Which record: see `seeded_record`.
        record: u8,
        /// An older secret signed the cookie.
        old_secret: bool,
    },
    /// The cookie of a session in which a user is logged in.
    LoggedIn {
        /// Which user.
        user: usize,
        /// An older secret signed the cookie, and keys the user's list.
        old_secret: bool,
    },
    /// The signed cookie of a session that is gone.
    Stale,
    /// The signed cookie of a record that cannot be decoded.
    Undecodable,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose cookie it carries: the one that the visitor holds when the request begins.
    pub visitor: usize,
    /// Which process serves it. Processes share the store and nothing else.
    pub process: u8,
    /// Cookies of the name that come before the visitor's own.
    pub planted: Vec<Planted>,
    /// As a handler with `Option<Session>`: it does nothing unless a session was loaded.
    pub optional: bool,
    /// A failed call ends the handler; else it goes on.
    pub stop_on_error: bool,
    /// What it does with the session.
    pub ops: Vec<Op>,
}

/// A cookie that somebody planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// Not signed.
    Junk,
    /// Signed, of an id that the store never had.
    Unknown,
    /// The first cookie of another visitor.
    Of(usize),
}

/// One call of the public API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Get(&'static str),
    Insert(&'static str, SmolStr),
    Remove(&'static str),
    Update(&'static str, Update),
    Clear,
    Flash(&'static str, SmolStr),
    Take(&'static str),
    Peek(&'static str),
    TakeAll,
    Regenerate,
    Cycle,
    Destroy,
    Touch,
    /// In hours.
    MaxAge(Option<u64>),
    Id,
    Save,
    Reload,
    Commit,
    /// `log_in`, or with `begun` `log_in_with` the login that this request has begun. The tag is noted in the
    /// session.
    LogIn {
        user: usize,
        begun: bool,
        tag: SmolStr,
    },
    Confirm,
    /// The tag is noted in the session.
    Impersonate(usize, SmolStr),
    StopImpersonating,
    Label,
    BeginLogin(usize),
    List(usize),
    Count(usize),
    End(usize, Target),
    EndOthers(usize),
    EndAll(usize),
}

/// Which session is to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// That of the request.
    Own,
    /// The first session of this visitor.
    First(usize),
    /// That with this number in the last list that the request got.
    Listed(u8),
}

/// What the closure of an `update` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Update {
    /// Adds one; absent counts as zero.
    Increment,
    /// The same, by `modify`.
    Modify,
    /// Removes the value, or puts 1 where there is none.
    Toggle,
}

impl Update {
    /// The closure.
    #[must_use]
    pub fn apply(self, value: Option<u64>) -> Option<u64> {
        match (self, value) {
            (Self::Increment | Self::Modify, value) => Some(value.unwrap_or(0) + 1),
            (Self::Toggle, Some(_)) => None,
            (Self::Toggle, None) => Some(1),
        }
    }
}

impl Op {
    /// Whether the store may be asked.
    #[must_use]
    pub fn is_async(&self) -> bool {
        self.is_of_users() || matches!(self, Self::Save | Self::Reload | Self::Commit)
    }

    /// Whether it is a call of `sessions_of`.
    #[must_use]
    pub fn is_of_users(&self) -> bool {
        matches!(
            self,
            Self::BeginLogin(_)
                | Self::List(_)
                | Self::Count(_)
                | Self::End(..)
                | Self::EndOthers(_)
                | Self::EndAll(_)
        )
    }

    /// Whether the session gets another id, or ends.
    pub(crate) fn leaves_id(&self) -> bool {
        matches!(
            self,
            Self::Cycle
                | Self::Regenerate
                | Self::Destroy
                | Self::LogIn { .. }
                | Self::Impersonate(..)
                | Self::StopImpersonating
        )
    }
}

/// The id of a visitor's first session.
pub(crate) fn seeded_id(visitor: usize) -> SmolStr {
    format_smolstr!("session-of-{}", name(visitor))
}

/// The tag of the login of a visitor who is logged in from the start.
pub(crate) fn seeded_tag(visitor: usize) -> SmolStr {
    format_smolstr!("\"login of {}\"", name(visitor))
}

/// An id that the store never had.
pub(crate) const UNKNOWN_ID: &str = "planted";
/// The id of a session in the store that no cookie names.
pub(crate) const BYSTANDER: &str = "bystander";

/// A visitor's name.
pub(crate) fn name(visitor: usize) -> &'static str {
    ["ada", "bob", "eve"][visitor.min(2)]
}

/// What the store holds of a visitor before the first request, as JSON members.
pub(crate) fn seeded_record(visitor: usize, record: u8) -> String {
    let user = format!(r#""user":"{}""#, name(visitor));
    match record {
        0 => user,
        1 => format!(r#"{user},"a":"first","n":5"#),
        2 => format!(r#"{user},"big":9007199254740993.0,"flash":{{"info":["hello"]}}"#),
        _ => format!(r#"{user},"b":"first","n":1,"flash":{{"info":["one","two"],"error":["one"]}}"#),
    }
}

/// Something that a program may contain: its name, and whether a program does.
pub type Feature = (&'static str, fn(&Program) -> bool);

/// The features by which programs can be left out.
pub const FEATURES: [Feature; 15] = [
    ("users", |program| program.users),
    ("listed-sessions", |program| !program.users && program.has_users()),
    ("guests", |program| !program.users),
    ("limits", |program| program.options.per_user.is_some()),
    ("timeouts", |program| program.options.absolute_timeout().is_some()),
    ("taken-ids", |program| !program.taken.is_empty()),
    ("planted-cookies", |program| program.requests.iter().any(|request| !request.planted.is_empty())),
    ("save-uninitialized", |program| program.options.save_uninitialized),
    ("writes-after-destroy", |program| {
        program.requests.iter().any(|request| {
            let mut ops = request.ops.iter().skip_while(|op| **op != Op::Destroy);
            ops.any(|op| {
                !matches!(op, Op::Destroy | Op::Commit | Op::Get(_) | Op::Touch | Op::Reload | Op::Save)
            })
        })
    }),
    ("second-commits", |program| {
        let asks = |request: &Request| request.ops.iter().filter(|op| op.is_async()).count();
        program.requests.iter().any(|request| asks(request) > 1)
    }),
    ("processes", |program| program.requests.iter().any(|request| request.process > 0)),
    ("failed-calls", |program| program.faults.fail > 0),
    ("lost-answers", |program| program.faults.lose > 0),
    ("late-calls", |program| program.faults.late > 0),
    ("drops", |program| program.faults.drop > 0),
];
