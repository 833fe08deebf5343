//! The calls that ask no store.

use super::change::{Change, Undecodable, updated};
use super::{Handle, How, Stage};
use crate::history::{Failure, Told};
use crate::program::{KINDS, Op, Options};

impl Handle {
    /// A call that asks no store: in each way it may be understood, what the handle is after it. Empty: it
    /// cannot have been told this.
    pub(crate) fn call(&self, op: &Op, told: &Told, options: Options) -> Vec<Self> {
        let mut after = self.clone();
        let now = self.contents(options);
        let destroyed = matches!(self.stage, Stage::Destroyed { .. });
        let right = match op {
            Op::Get(key) => Told::Value(now.values.get(*key).cloned()),
            Op::Insert(key, value) => {
                if now.values.get(*key) != Some(value) {
                    after.revive();
                    after.push(Change::Set((*key).into(), value.clone()));
                }
                Told::Nothing
            }
            Op::Remove(key) => {
                let value = now.values.get(*key).cloned();
                if value.is_some() {
                    after.push(Change::Remove((*key).into()));
                }
                Told::Value(value)
            }
            Op::Update(key, update) => match updated(now.values.get(*key), *update) {
                Ok(left) => {
                    after.revive();
                    after.push(Change::Update((*key).into(), *update));
                    Told::Value(left)
                }
                Err(Undecodable) => Told::Failed(Failure::Decode),
            },
            Op::Clear => {
                if !destroyed {
                    after.push(Change::Clear);
                }
                Told::Nothing
            }
            Op::Flash(kind, message) => {
                after.revive();
                after.push(Change::Push((*kind).into(), message.clone()));
                Told::Nothing
            }
            Op::Take(kind) => {
                let messages = now.flash.get(*kind).cloned().unwrap_or_default();
                if !messages.is_empty() {
                    after.push(Change::Take((*kind).into(), messages.clone()));
                }
                Told::Messages(messages)
            }
            Op::Peek(kind) => Told::Messages(now.flash.get(*kind).cloned().unwrap_or_default()),
            Op::TakeAll => {
                for kind in KINDS {
                    if let Some(messages) = now.flash.get(kind) {
                        after.push(Change::Take(kind.into(), messages.clone()));
                    }
                }
                Told::All(now.flash.clone())
            }
            Op::MaxAge(hours) => {
                after.revive();
                after.push(Change::MaxAge(hours.map(|hours| hours * 3_600_000)));
                Told::Nothing
            }
            Op::Confirm => {
                let Told::At(at) = *told else { return Vec::new() };
                after.push(Change::Confirm(at));
                Told::At(at)
            }
            Op::Touch => {
                if !destroyed {
                    after.touch = true;
                    after.settled = false;
                }
                Told::Nothing
            }
            Op::Id => {
                let Told::Id(id) = told else { return Vec::new() };
                match &self.stage {
                    Stage::Existing { id: own, .. } => return self.told(id == own),
                    Stage::Destroyed { .. } => return self.told(true),
                    // The id that is promised stays.
                    Stage::New | Stage::NewId { .. } => {
                        let kept = self.promised.as_ref().is_none_or(|promised| promised == id);
                        after.promised = Some(id.clone());
                        return if kept || self.disturbed { vec![after] } else { Vec::new() };
                    }
                }
            }
            Op::Regenerate => {
                after.new_id(How::Regenerate);
                Told::Nothing
            }
            Op::Cycle => {
                after.new_id(How::Cycle);
                Told::Nothing
            }
            Op::Destroy => {
                after.destroy();
                Told::Nothing
            }
            // These ask the store, or stand in programs that another oracle judges.
            _ => Told::Nothing,
        };
        if *told != right {
            return Vec::new();
        }
        // Whether these begin a new session is not said where they leave nothing behind.
        let undecided = destroyed && matches!(op, Op::Update(..) | Op::MaxAge(_));
        if undecided { vec![after, self.clone()] } else { vec![after] }
    }

    fn told(&self, right: bool) -> Vec<Self> {
        if right { vec![self.clone()] } else { Vec::new() }
    }

    fn new_id(&mut self, how: How) {
        let stage = std::mem::replace(&mut self.stage, Stage::New);
        self.stage = match stage {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New => Stage::NewId { how, old: None },
            Stage::Existing { id, base } => Stage::NewId { how, old: Some((id, base)) },
            Stage::NewId { how: How::Cycle, old } => Stage::NewId { how, old },
            Stage::NewId { how: before, old } => Stage::NewId { how: before, old },
        };
        if !(self.stage.is_cycle() && how == How::Cycle) {
            self.left.extend(self.moved.take());
        }
        if how == How::Regenerate {
            self.log.clear();
            self.attempted = 0;
        }
        self.settled = false;
        self.promised = None;
    }

    fn destroy(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::New);
        let stored = match stage {
            Stage::Destroyed { stored } => {
                self.stage = Stage::Destroyed { stored };
                return;
            }
            Stage::New => None,
            Stage::Existing { id, .. } => Some(id),
            Stage::NewId { old, .. } => old.map(|(id, _)| id),
        };
        self.stage = Stage::Destroyed { stored };
        self.left.extend(self.moved.take());
        self.settled = false;
        self.log.clear();
        self.attempted = 0;
        self.promised = None;
    }
}
