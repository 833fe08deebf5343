//! Random programs in which users log in, act as others, and end sessions.

use smol_str::{SmolStr, format_smolstr};

use super::random::Generator;
use super::{KINDS, Op, Options, Program, Request, Target, Visitor};
use crate::stores::StoreKind;

impl Generator<'_> {
    pub(super) fn users(mut self, store: StoreKind) -> Program {
        let per_user = if self.one_in(2) { Some((self.pick(&[1, 2]), self.rng.bool())) } else { None };
        let mut options = Options {
            rolling: self.one_in(8),
            resave: self.one_in(8),
            touch_always: self.one_in(8),
            browser_session: self.one_in(4),
            clock_moves: self.rng.bool(),
            clock_jumps: self.one_in(3),
            save_uninitialized: false,
            per_user,
            timeout: None,
        };
        let visitors: Vec<_> = (0..self.pick(&[1, 2, 2, 3])).map(|_| self.user()).collect();
        let requests = self.pick(&[2, 2, 2, 3, 3, 4]);
        let requests = (0..requests)
            .map(|_| Request {
                visitor: self.rng.usize(..visitors.len()),
                process: u8::from(self.one_in(3)),
                planted: Vec::new(),
                optional: false,
                stop_on_error: !self.one_in(4),
                ops: self.ops_of_users(visitors.len()),
            })
            .collect();
        let faults = self.faults(store);
        let taken = if self.one_in(5) { vec![self.rng.u32(..3)] } else { Vec::new() };
        options.timeout = self.one_in(4).then(|| self.pick(&[4, 8, 16]));
        Program { store, users: true, options, faults, visitors, requests, taken }
    }

    fn user(&mut self) -> Visitor {
        match self.rng.u8(..8) {
            0 => Visitor::New,
            1 => Visitor::Known { record: self.rng.u8(..4), old_secret: false },
            _ => Visitor::LoggedIn { user: self.pick(&[0, 0, 0, 1]), old_secret: self.one_in(6) },
        }
    }

    fn ops_of_users(&mut self, visitors: usize) -> Vec<Op> {
        let mut ops = Vec::new();
        // Some do nothing but end sessions.
        if self.one_in(4) {
            for _ in 0..self.pick(&[1, 1, 2]) {
                let op = self.end(visitors);
                ops.push(op);
            }
            return ops;
        }
        for _ in 0..self.pick(&[1, 1, 1, 2]) {
            for _ in 0..self.pick(&[0, 1, 1, 1, 2]) {
                self.op_of_users(visitors, &mut ops);
            }
            ops.push(if self.one_in(12) { Op::Save } else { Op::Commit });
        }
        if self.one_in(5) {
            let op = self.end(visitors);
            ops.push(op);
        }
        ops
    }

    fn tag(&mut self, what: &str) -> SmolStr {
        self.values += 1;
        format_smolstr!("\"{what} {}\"", self.values)
    }

    fn op_of_users(&mut self, visitors: usize, ops: &mut Vec<Op>) {
        let user = self.pick(&[0, 0, 0, 1]);
        let op = match self.rng.u8(..34) {
            0..7 => Op::LogIn { user, begun: false, tag: self.tag("login") },
            7..11 => {
                ops.push(Op::BeginLogin(user));
                if self.one_in(3) {
                    let op = self.end(visitors);
                    ops.push(op);
                }
                Op::LogIn { user, begun: true, tag: self.tag("login") }
            }
            11..16 => Op::Cycle,
            16 => Op::Regenerate,
            17..19 => Op::Destroy,
            19 => Op::Confirm,
            20..23 => Op::Impersonate(self.pick(&[0, 1, 1]), self.tag("act")),
            23..25 => Op::StopImpersonating,
            25 => Op::Label,
            26..29 => Op::Insert(self.pick(&["a", "b"]), self.value()),
            29 => Op::Clear,
            30 => Op::Flash(self.pick(&KINDS), self.value()),
            31 => Op::Touch,
            32 => Op::Reload,
            _ => self.end(visitors),
        };
        ops.push(op);
    }

    /// A call of `sessions_of`.
    fn end(&mut self, visitors: usize) -> Op {
        let user = self.pick(&[0, 0, 0, 1]);
        match self.rng.u8(..12) {
            0..2 => Op::List(user),
            2 => Op::Count(user),
            3 => Op::End(user, Target::Own),
            4 => Op::End(user, Target::Listed(self.rng.u8(..2))),
            5 => Op::End(user, Target::First(self.rng.usize(..visitors))),
            6..9 => Op::EndOthers(user),
            _ => Op::EndAll(user),
        }
    }
}
