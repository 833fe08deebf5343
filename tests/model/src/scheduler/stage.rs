//! What stands before the first request and after the last one: the configurations, the visitors' cookies,
//! and what the store holds.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile::testing::TestClock;
use sessile::{
    AtLimit, Moving, Record, SessionConfig, SessionConfigBuilder, SessionId, SessionStore as _, StoreError,
};
use smol_str::{SmolStr, format_smolstr};

use super::{DAY, Flag, Running, Scheduler, id};
use crate::gates::{Entry, Gated, GatedThree, Shared, Stage, Way, lock};
use crate::history::{Contents, History, Sent, Signed};
use crate::program::{BYSTANDER, Program, UNKNOWN_ID, Visitor, seeded_id, seeded_record, seeded_tag};
use crate::request::{run as run_request, show};
use crate::stores::{Base, Side, StoreKind, is_session};
use crate::users::{OLD_SECRET, SECRET, USERS, hashes, load};

impl Scheduler<'_> {
    /// What the store holds and the visitors carry before the first request.
    pub(super) async fn prepare(&mut self) {
        self.seed(BYSTANDER.into(), r#""user":"nobody""#).await;
        for (at, visitor) in self.program.visitors.iter().enumerate() {
            let seeded = seeded_id(at);
            let signature = match visitor {
                Visitor::Known { old_secret: true, .. } | Visitor::LoggedIn { old_secret: true, .. } => {
                    Signed::ByOldSecret
                }
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
                Visitor::LoggedIn { user, old_secret } => self.log_in(at, *user, *old_secret).await,
                Visitor::New | Visitor::Stale => {}
            }
        }
        for (at, request) in self.program.requests.iter().enumerate() {
            let future = tokio::task::unconstrained(run_request(Rc::clone(&self.scene), request.clone(), at));
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            self.running.push(Running { future: Some(Box::pin(future)), woken });
        }
        if let Base::Moving(stores) = &self.base {
            stores.has_begun.store(true, Ordering::Relaxed);
            lock(&self.shared).known.insert("sessile-moving".into());
            let future = tokio::task::unconstrained(drain(moving(&self.shared)));
            let woken = Arc::new(Flag(AtomicBool::new(true)));
            self.running.push(Running { future: Some(Box::pin(future)), woken });
        }
    }

    /// Moves what is left, and finds every session as it was, in the new store.
    async fn finish_move(&mut self) {
        let Base::Moving(stores) = self.base.clone() else { return };
        let mut drain = stores.seen.drain();
        while drain.next().await.expect("memory answers").is_some() {}
        if !stores.old.is_empty() {
            self.offend("left behind", "a session is in the old store after the move");
        }
        let ids: Vec<_> = self.history.after.keys().cloned().collect();
        let mut now = 0;
        for text in ids {
            let stored = stores.new.get(&id(&text)).await.expect("memory answers");
            let contents = stored.and_then(|stored| Contents::of_json(stored.record.as_json()));
            now += usize::from(contents.is_some());
            if contents.as_ref() != self.history.after.get(&text) {
                self.offend("lost on the way", format!("{text} is another one after the move"));
            }
        }
        // What else is there says that the store is being filled, or takes a place for a while.
        let mut sessions = 0;
        for id in stores.new.all_ids() {
            let stored = stores.new.get(&id).await.expect("memory answers");
            sessions += usize::from(stored.is_some_and(|stored| is_session(&stored.record)));
        }
        if sessions != now {
            self.offend("doubled", "there are more sessions after the move than before");
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

    /// A configuration over the store itself, whose calls do not wait.
    fn direct(&self, secrets: &[&str]) -> SessionConfigBuilder {
        SessionConfig::builder(secrets).store(self.base.clone()).clock(self.clock.clone())
    }

    /// A visitor's session in which a user has logged in.
    async fn log_in(&mut self, visitor: usize, user: usize, old_secret: bool) {
        let (seeded, tag) = (seeded_id(visitor), seeded_tag(visitor));
        let secrets: &[&str] = if old_secret { &[OLD_SECRET] } else { &[SECRET, OLD_SECRET] };
        let new = seeded.clone();
        let mut config = self.direct(secrets).genid(move || id(&new));
        if self.program.options.browser_session {
            config = config.browser_session();
        }
        let config = config.build().expect("legal options");
        let created = config.create_session(async |session| {
            session.log_in(USERS[user])?;
            session.insert("login", tag.trim_matches('"'))?;
            session.insert(&format!("of-{}", USERS[user]), 1)?;
            session.insert("a", "first")
        });
        created.await.expect("an empty store");
        lock(&self.shared).known.insert(seeded.clone());
        let stored = self.base.get(&id(&seeded)).await.expect("the store answers").expect("it was created");
        let contents = Contents::of_json(stored.record.as_json()).expect("a record");
        self.history.writes.push((0, seeded.clone(), contents.clone()));
        self.history.before.insert(seeded, contents);
    }

    /// What is in the lists at last, and what is left when all sessions of all users are ended.
    async fn finish_users(&mut self, ids: &[SmolStr]) {
        let config = self.direct(&[SECRET, OLD_SECRET]).build().expect("legal options");
        for user in USERS {
            let sessions = config.sessions_of(user);
            let Ok(list) = sessions.list().await else {
                self.offend("store", "a list failed by itself");
                continue;
            };
            let (mut listed, mut named) = (Vec::new(), vec![false; list.len()]);
            for text in ids {
                let Some(session) = load(&config, &config, text).await else { continue };
                let found = list.iter().position(|one| one.is(&session));
                if let Some(at) = found {
                    named[at] = true;
                    listed.push(text.clone());
                }
            }
            if named.contains(&false) {
                self.offend("listed and not alive", format!("the list of {user} has a session that is gone"));
            }
            self.history.listed.insert(user, listed);
        }
        for user in USERS {
            if config.sessions_of(user).end_all().await.is_err() {
                self.offend("store", "an end failed by itself");
            }
        }
        for text in ids {
            let Ok(Some(stored)) = self.base.get(&id(text)).await else { continue };
            let contents = Contents::of_json(stored.record.as_json()).unwrap_or_default();
            if contents.user.is_some() {
                self.history.undying.insert(text.clone(), contents);
            }
        }
        for hash in hashes().keys() {
            let index = self.base.index();
            let text = index.read(hash).await.expect("the store answers");
            index.replace(hash, &text, "").await.expect("the store answers");
        }
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
        let ids: Vec<_> = ids.chain([UNKNOWN_ID, BYSTANDER].map(SmolStr::from)).collect();
        for text in &ids {
            let Ok(Some(stored)) = self.base.get(&id(text)).await else { continue };
            match Contents::of_json(stored.record.as_json()) {
                Some(contents) => drop(self.history.after.insert(text.clone(), contents)),
                None => self.offend("record malformed", "a record was written that is none"),
            }
        }
        self.finish_move().await;
        if self.program.has_users() {
            self.finish_users(&ids).await;
        }
        for text in &ids {
            drop(self.base.destroy(&id(text)).await);
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
        self.history.requests.truncate(self.program.requests.len());
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
            builder.store(GatedThree(Way(Arc::clone(shared), Side::Old)))
        }
        (StoreKind::Moving, _) => builder.store(moving(shared)),
        _ => builder.store(Gated(Way(Arc::clone(shared), Side::Old))),
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
    if let Some((most, refuses)) = options.per_user {
        let at_limit = if refuses { AtLimit::Refuse } else { AtLimit::EndOldest };
        builder = builder.per_user(usize::from(most), at_limit);
    }
    if let Some(timeout) = options.absolute_timeout() {
        builder = builder.absolute_timeout(timeout);
    }
    builder
}

/// What a process has that knows of both stores.
fn moving(shared: &Shared) -> Moving {
    let side = |side| Gated(Way(Arc::clone(shared), side));
    Moving::new(side(Side::Old), side(Side::New))
}

/// How many errors are met before a drain is given up.
const DRAIN_ERRORS: u32 = 8;

/// A process that drains the old store.
async fn drain(moving: Moving) {
    let mut drain = moving.drain();
    let mut errors = 0;
    while errors < DRAIN_ERRORS {
        match drain.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => errors += 1,
        }
    }
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
