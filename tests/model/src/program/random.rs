//! Random programs.

use fastrand::Rng;
use smol_str::{SmolStr, format_smolstr};

use super::{Faults, KINDS, Op, Options, Planted, Program, Request, Update, Visitor};
use crate::stores::StoreKind;

/// What a random program is made of.
pub(super) struct Generator<'r> {
    pub(super) rng: &'r mut Rng,
    /// Numbers the values, so that a lost one is noticed.
    pub(super) values: u32,
}

impl Program {
    /// A random program over this store.
    #[must_use]
    pub fn random(store: StoreKind, rng: &mut Rng) -> Self {
        let users = store.has_users() && rng.bool();
        let generator = Generator { rng, values: 0 };
        if users { generator.users(store) } else { generator.program(store) }
    }
}

impl Generator<'_> {
    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
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
            ..Options::default()
        };
        let visitors: Vec<_> = (0..self.pick(&[1, 1, 1, 2])).map(|_| self.visitor(store)).collect();
        let requests = self.pick(&[2, 2, 2, 3, 3, 4]);
        let requests = (0..requests).map(|_| self.request(&visitors, store)).collect();
        let taken = if self.one_in(5) { vec![self.rng.u32(..3)] } else { Vec::new() };
        Program { store, users: false, options, faults: self.faults(store), visitors, requests, taken }
    }

    pub(super) fn faults(&mut self, store: StoreKind) -> Faults {
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
            // The session stands in a user's list.
            3..5 if store.has_users() => Visitor::LoggedIn { user: 0, old_secret: self.one_in(8) },
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

    pub(super) fn value(&mut self) -> SmolStr {
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
            _ => Op::Confirm,
        }
    }
}
