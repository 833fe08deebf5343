//! A load: which of a request's cookies names the session.

use sessile::Origin;

use super::{Handle, Id, RequestCookie, Stage, World};
use crate::history::{Sent, Signed};

/// A load in progress: its cookies are tried in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Loading {
    pub(crate) next: usize,
    looked_up: u8,
    origin: u8,
}

pub(crate) enum Loaded {
    /// The next cookie is tried in a step of its own.
    Again(Loading),
    Done(Box<Handle>, Origin),
}

const ORIGINS: [Origin; 4] = [Origin::NoCookie, Origin::BadSignature, Origin::Unknown, Origin::Undecodable];

impl Loading {
    pub(crate) fn new() -> Self {
        Self { next: 0, looked_up: 0, origin: 0 }
    }

    /// Goes on to the next look into the store, which is one step.
    pub(crate) fn step(mut self, world: &World, sent: &[Sent], undecodable: &[Id]) -> Loaded {
        while let Some(cookie) = sent.get(self.next) {
            self.next += 1;
            if cookie.signature == Signed::Not {
                self.origin = self.origin.max(1);
                continue;
            }
            // Up to four that verify are looked up.
            if self.looked_up == 4 {
                continue;
            }
            self.looked_up += 1;
            let request_cookie = match cookie.signature {
                Signed::ByOldSecret => RequestCookie::OldSecret,
                _ => RequestCookie::Present,
            };
            if let Some(base) = world.records.get(&cookie.id) {
                let stage = Stage::Existing { id: cookie.id.clone(), base: base.clone() };
                return Loaded::Done(Box::new(Handle::new(request_cookie, stage)), Origin::Loaded);
            }
            self.origin = self.origin.max(if undecodable.contains(&cookie.id) { 3 } else { 2 });
            if self.next < sent.len() {
                return Loaded::Again(self);
            }
        }
        let request_cookie = if sent.is_empty() { RequestCookie::Absent } else { RequestCookie::Present };
        Loaded::Done(Box::new(Handle::new(request_cookie, Stage::New)), ORIGINS[usize::from(self.origin)])
    }
}
