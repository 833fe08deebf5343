//! What stands before the first request and after the last one: the configurations, the visitors' cookies, and what the
//! store holds.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sessile::testing::TestClock;
use sessile::{Record, SessionConfig, SessionConfigBuilder, SessionId, SessionStore as _, StoreError};
use smol_str::{SmolStr, format_smolstr};

use super::{DAY, Flag, OLD_SECRET, Running, SECRET, Scheduler, id};
use crate::gates::{Entry, Gated, GatedThree, Shared, Stage, lock};
use crate::history::{Contents, History, Sent, Signed};
use crate::program::{BYSTANDER, Program, UNKNOWN_ID, Visitor, seeded_id, seeded_record};
use crate::request::{run as run_request, show};
use crate::stores::{Base, StoreKind};

impl Scheduler<'_> {
    /// What the store holds and the visitors carry before the first request.
    pub(super) async fn prepare(&mut self) {
        self.seed(BYSTANDER.into(), r#""user":"nobody""#).await;
        for (at, visitor) in self.program.visitors.iter().enumerate() {
            let seeded = seeded_id(at);
            let signature = match visitor {
                Visitor::Known { old_secret: true, .. } => Signed::ByOldSecret,
                _ => Signed::Well,
            };
            let jar = (*visitor != Visitor::New).then(|| Sent { id: seeded.clone(), signature });
            self.scene.borrow_mut().jars.push(jar);
            match visitor {
                Visitor::Known { record, .. } => self.seed(seeded, &seeded_record(at, *record)).await,
                Visitor::Undecodable => {
                    lock(&self.shared).undecodable.insert(seeded.clone());
                    self.history.undecodable.push(seeded);
                }
                Visitor::New | Visitor::Stale => {}
            }
        }
        for (at, request) in self.program.requests.iter().enumerate() {
            let future = tokio::task::unconstrained(run_request(Rc::clone(&self.scene), request.clone(), at));
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            self.running.push(Running { future: Some(Box::pin(future)), woken });
        }
    }

    pub(super) async fn seed(&mut self, seeded: SmolStr, members: &str) {
        let max_age = if self.program.options.browser_session { None } else { Some(DAY) };
        let age = max_age.map_or("null".into(), |age| age.as_millis().to_string());
        let cookie = format!(r#"{{"originalMaxAge":{age},"expires":null,"httpOnly":true,"path":"/"}}"#);
        let json = format!(r#"{{"cookie":{cookie},{members}}}"#);
        let record = Record::from_json(json.as_str()).expect("a record");
        self.base.create(&id(&seeded), &record, DAY).await.expect("an empty store");
        lock(&self.shared).known.insert(seeded.clone());
        self.history.before.insert(seeded, Contents::of_json(&json).expect("a record"));
    }

    /// What is in the store at last.
    pub(super) async fn finish(mut self) -> History {
        for running in &mut self.running {
            running.future = None;
        }
        // The library's tasks are given an answer, and end.
        for _ in 0..20 {
            let waiting: Vec<_> = {
                let board = lock(&self.shared);
                let open = |entry: &Entry| matches!(entry.stage, Stage::Waiting | Stage::CarriedOut(_));
                board.calls.iter().enumerate().filter(|(_, entry)| open(entry)).map(|(at, _)| at).collect()
            };
            if waiting.is_empty() && tokio::runtime::Handle::current().metrics().num_alive_tasks() == 0 {
                break;
            }
            for ticket in waiting {
                lock(&self.shared).answer(ticket, Err(StoreError::unavailable("the run is over")));
            }
            tokio::task::yield_now().await;
        }
        let minted = lock(&self.shared).minted.clone();
        let ids = (0..self.program.visitors.len()).map(seeded_id).chain(minted.iter().cloned());
        for text in ids.chain([UNKNOWN_ID, BYSTANDER].map(SmolStr::from)) {
            let Ok(Some(stored)) = self.base.get(&id(&text)).await else { continue };
            match Contents::of_json(stored.record.as_json()) {
                Some(contents) => drop(self.history.after.insert(text.clone(), contents)),
                None => self.offend("record malformed", "a record was written that is none"),
            }
            drop(self.base.destroy(&id(&text)).await);
        }
        if self.verbose {
            let left: Vec<_> =
                self.history.after.iter().map(|(id, what)| format!("{id}: {}", show(what))).collect();
            for line in left {
                self.say(None, || format!("the store holds {line}"));
            }
        }
        self.history.minted = minted;
        self.history.waits = self.waits;
        self.history.requests = std::mem::take(&mut self.scene.borrow_mut().steps);
        self.history
    }
}

pub(super) fn configure(
    program: &Program,
    base: &Base,
    shared: &Shared,
    clock: &TestClock,
) -> SessionConfigBuilder {
    let options = program.options;
    let builder = SessionConfig::builder([SECRET, OLD_SECRET].as_slice());
    let builder = match (program.store, base) {
        (StoreKind::Memory, Base::Memory(memory)) => builder.store(memory.clone()),
        (StoreKind::ThreeMethods | StoreKind::PassingWrapper, _) => {
            builder.store(GatedThree(Arc::clone(shared)))
        }
        _ => builder.store(Gated(Arc::clone(shared))),
    };
    let (board, taken) = (Arc::clone(shared), program.taken.clone());
    let mut builder = builder
        .clock(clock.clone())
        .genid(move || mint(&board, &taken))
        .save_uninitialized(options.save_uninitialized)
        .rolling(options.rolling)
        .resave(options.resave)
        .touch_after(if options.touch_always { Duration::ZERO } else { DAY });
    if options.browser_session {
        builder = builder.browser_session();
    }
    builder
}

/// A new id. Some are taken.
pub(super) fn mint(shared: &Shared, taken: &[u32]) -> SessionId {
    let mut board = lock(shared);
    let number = board.minted.len();
    let text =
        if taken.contains(&(number as u32)) { BYSTANDER.into() } else { format_smolstr!("minted-{number}") };
    board.minted.push(text.clone());
    board.known.insert(text.clone());
    id(&text)
}
