//! What is run: a configuration, what the store holds at first, and what each request does.

use std::fmt;

use fastrand::Rng;
use smol_str::{SmolStr, format_smolstr};

use crate::stores::StoreKind;

/// The kinds of flash messages that programs use.
pub(crate) const KINDS: [&str; 2] = ["info", "error"];

/// One random program.
#[derive(Debug, Clone)]
pub struct Program {
    /// The store under test.
    pub store: StoreKind,
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
        /// Which record: see [`seeded_record`].
        record: u8,
        /// An older secret signed the cookie.
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
        matches!(self, Self::Save | Self::Reload | Self::Commit)
    }
}

/// The id of a visitor's first session.
pub(crate) fn seeded_id(visitor: usize) -> SmolStr {
    format_smolstr!("session-of-{}", name(visitor))
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

/// What a random program is made of.
struct Generator<'r> {
    rng: &'r mut Rng,
    /// Numbers the values, so that a lost one is noticed.
    values: u32,
}

impl Program {
    /// A random program over this store.
    #[must_use]
    pub fn random(store: StoreKind, rng: &mut Rng) -> Self {
        Generator { rng, values: 0 }.program(store)
    }
}

/// What a program may contain, by name: programs that do can be left out.
pub const FEATURES: [(&str, fn(&Program) -> bool); 10] = [
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

impl Generator<'_> {
    fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(..from.len())]
    }

    fn program(mut self, store: StoreKind) -> Program {
        let options = Options {
            save_uninitialized: self.rng.bool(),
            rolling: self.one_in(4),
            resave: self.one_in(6),
            touch_always: self.one_in(5),
            browser_session: self.one_in(4),
            clock_moves: self.rng.bool(),
        };
        let visitors: Vec<_> = (0..self.pick(&[1, 1, 1, 2])).map(|_| self.visitor(store)).collect();
        let requests = self.pick(&[2, 2, 2, 3, 3, 4]);
        let requests = (0..requests).map(|_| self.request(&visitors, store)).collect();
        let taken = if self.one_in(5) { vec![self.rng.u32(..3)] } else { Vec::new() };
        Program { store, options, faults: self.faults(store), visitors, requests, taken }
    }

    fn faults(&mut self, store: StoreKind) -> Faults {
        let mut faults = Faults { outlive: self.rng.bool(), ..Faults::default() };
        match self.rng.u8(..10) {
            0..4 => {}
            4 => faults.fail = 1,
            5 => faults.lose = 1,
            6 => faults.drop = 1,
            // A store without versions cannot tell such a call from one of a later request.
            7 if store.has_versions() => faults.late = 1,
            _ => {
                faults.fail = self.rng.u8(..2);
                faults.lose = self.rng.u8(..3);
                faults.drop = self.rng.u8(..3);
            }
        }
        faults
    }

    fn visitor(&mut self, store: StoreKind) -> Visitor {
        match self.rng.u8(..12) {
            0 => Visitor::New,
            1 => Visitor::Stale,
            // Memory holds nothing else than records.
            2 if store != StoreKind::Memory => Visitor::Undecodable,
            _ => Visitor::Known { record: self.rng.u8(..4), old_secret: self.one_in(8) },
        }
    }

    fn request(&mut self, visitors: &[Visitor], store: StoreKind) -> Request {
        let mut planted = Vec::new();
        if self.one_in(8) {
            for _ in 0..self.pick(&[1, 1, 2, 5]) {
                let choice = self.pick(&[
                    Planted::Junk,
                    Planted::Junk,
                    Planted::Unknown,
                    Planted::Of(self.values as usize % visitors.len()),
                ]);
                planted.push(choice);
            }
        }
        Request {
            visitor: self.rng.usize(..visitors.len()),
            process: u8::from(store.has_versions() && self.one_in(3)),
            planted,
            optional: self.one_in(10),
            stop_on_error: !self.one_in(3),
            ops: self.ops(),
        }
    }

    fn ops(&mut self) -> Vec<Op> {
        let mut ops = Vec::new();
        for _ in 0..self.pick(&[1, 1, 1, 2, 2, 3]) {
            for _ in 0..self.pick(&[0, 1, 1, 2, 2, 3]) {
                ops.push(self.op());
            }
            ops.push(Op::Commit);
        }
        if self.one_in(20) {
            ops.pop();
        }
        ops
    }

    fn value(&mut self) -> SmolStr {
        self.values += 1;
        format_smolstr!("\"{}\"", self.values)
    }

    fn op(&mut self) -> Op {
        let text = self.pick(&["a", "b"]);
        let kind = self.pick(&KINDS);
        match self.rng.u8(..40) {
            0..3 => Op::Get(self.pick(&["a", "b", "n", "user"])),
            3..8 => Op::Insert(text, self.value()),
            8 => Op::Insert("a", "\"first\"".into()),
            9 => Op::Insert("n", self.pick(&["5", "5", "null", "\"text\""]).into()),
            10..12 => Op::Remove(self.pick(&["a", "b", "n", "user"])),
            12..15 => Op::Update("n", Update::Increment),
            15 => Op::Update("n", Update::Modify),
            16 => Op::Update("n", Update::Toggle),
            17 => Op::Clear,
            18..20 => Op::Flash(kind, self.value()),
            20 => Op::Flash(kind, "\"one\"".into()),
            21..23 => Op::Take(kind),
            23 => Op::Peek(kind),
            24 => Op::TakeAll,
            25..27 => Op::Regenerate,
            27..31 => Op::Cycle,
            31..34 => Op::Destroy,
            34 => Op::Touch,
            35 => Op::MaxAge(self.pick(&[None, Some(1), Some(2)])),
            36 => Op::Id,
            37 => Op::Save,
            38 => Op::Reload,
            _ => Op::Touch,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(key) => write!(f, "get {key}"),
            Self::Insert(key, value) => write!(f, "insert {key}={value}"),
            Self::Remove(key) => write!(f, "remove {key}"),
            Self::Update(key, Update::Modify) => write!(f, "modify {key}+1"),
            Self::Update(key, Update::Increment) => write!(f, "update {key}+1"),
            Self::Update(key, Update::Toggle) => write!(f, "update {key} on/off"),
            Self::Clear => f.write_str("clear"),
            Self::Flash(kind, message) => write!(f, "flash {kind} {message}"),
            Self::Take(kind) => write!(f, "take_flash {kind}"),
            Self::Peek(kind) => write!(f, "peek_flash {kind}"),
            Self::TakeAll => f.write_str("take_all_flash"),
            Self::Regenerate => f.write_str("regenerate"),
            Self::Cycle => f.write_str("cycle_id"),
            Self::Destroy => f.write_str("destroy"),
            Self::Touch => f.write_str("touch"),
            Self::MaxAge(None) => f.write_str("set_max_age none"),
            Self::MaxAge(Some(hours)) => write!(f, "set_max_age {hours}h"),
            Self::Id => f.write_str("id"),
            Self::Save => f.write_str("save"),
            Self::Reload => f.write_str("reload"),
            Self::Commit => f.write_str("commit"),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "store {}, {:?}", self.store, self.options)?;
        writeln!(f, "{:?}, taken ids {:?}", self.faults, self.taken)?;
        for (at, visitor) in self.visitors.iter().enumerate() {
            write!(f, "{}: {visitor:?}", name(at))?;
            match visitor {
                Visitor::Known { record, .. } => writeln!(f, " {{{}}}", seeded_record(at, *record))?,
                _ => writeln!(f)?,
            }
        }
        for (at, request) in self.requests.iter().enumerate() {
            let ops: Vec<_> = request.ops.iter().map(ToString::to_string).collect();
            write!(f, "request {at} of {}", name(request.visitor))?;
            if request.process > 0 {
                f.write_str(", in another process")?;
            }
            if request.optional {
                f.write_str(", optional")?;
            }
            if !request.planted.is_empty() {
                write!(f, ", behind {:?}", request.planted)?;
            }
            if !request.stop_on_error {
                f.write_str(", goes on after errors")?;
            }
            writeln!(f, ": {}", ops.join("; "))?;
        }
        Ok(())
    }
}
