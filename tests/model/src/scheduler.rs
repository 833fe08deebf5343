//! The scheduler: polls the requests, opens the gates of store calls one at a time, and lets faults happen.
//!
//! Everything runs on one thread. Between two moves the scheduler waits until nobody can go on by itself, so that the
//! order of the moves decides everything.

use std::cell::RefCell;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use sessile::testing::TestClock;
use sessile::{
    Record, Replaced, SessionConfig, SessionConfigBuilder, SessionId, SessionStore as _, StoreError,
};
use smol_str::{SmolStr, format_smolstr};

use crate::chooser::Chooser;
use crate::gates::{Board, Call, Entry, Gated, GatedThree, Reply, Shared, Stage, lock};
use crate::history::{Contents, Effect, EffectKind, Event, History, Sent, Signed, Violation};
use crate::program::{BYSTANDER, Program, UNKNOWN_ID, Visitor, seeded_id, seeded_record};
use crate::request::{Gate, Scene, SharedScene, run as run_request, show};
use crate::stores::{Base, StoreKind};

const SECRET: &str = "the secret that signs, longer than 32 bytes";
const OLD_SECRET: &str = "the secret of before, longer than 32 bytes";
const DAY: Duration = Duration::from_secs(86_400);

/// So long the scheduler lets time pass at once, for those who wait for it.
const WAIT: Duration = Duration::from_millis(60);
/// So often before it says that a run is stuck.
const WAITS: u32 = 200;
/// No run makes so many moves.
const MOVES: usize = 2_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request's future, until it is over or dropped.
struct Running {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    woken: Arc<Flag>,
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// A request begins its next step.
    Step(usize),
    CarryOut(usize),
    Answer(usize),
    Wait,
    /// A call that nobody waits for is never carried out.
    Discard(usize),
    Fail(usize),
    LoseAnswer(usize),
    FailLate(usize),
    Drop(usize),
    /// With whole calls: a call is carried out, and its answer reaches nobody, because the request is dropped.
    DropAfter(usize),
}

/// How finely the scheduler interleaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// A step of a request, a call's being carried out and its answer are moves of their own.
    Fine,
    /// A call is carried out and answered in one move, and a request asks as late as it can. What the library does
    /// depends on the order of the calls alone, so that with these moves every order is one that matters, and the
    /// oracle is at its strictest.
    WholeCalls,
}

struct Scheduler<'p> {
    program: &'p Program,
    base: Base,
    shared: Shared,
    scene: SharedScene,
    running: Vec<Running>,
    clock: TestClock,
    history: History,
    /// Faults that may still happen.
    left: crate::program::Faults,
    grain: Grain,
    verbose: bool,
    waits: u32,
}

/// Runs a program once.
pub(crate) async fn run(
    program: &Program,
    base: &Base,
    chooser: &mut Chooser,
    (grain, verbose): (Grain, bool),
) -> History {
    // Delays between attempts are random; they are to be the same each time.
    fastrand::seed(7);
    let mut scheduler = Scheduler::new(program, base.clone(), grain, verbose);
    scheduler.prepare().await;
    scheduler.play(chooser).await;
    scheduler.finish().await
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).expect("ids of a run are legal")
}

impl<'p> Scheduler<'p> {
    fn new(program: &'p Program, base: Base, grain: Grain, verbose: bool) -> Self {
        let shared: Shared =
            Arc::new(Mutex::new(Board { outlive: program.faults.outlive, ..Board::default() }));
        let clock = TestClock::new();
        let configs = (0..2)
            .map(|_| configure(program, &base, &shared, &clock).build().expect("legal options"))
            .collect();
        let scene = Scene {
            configs,
            jars: Vec::new(),
            old: SessionConfig::new(OLD_SECRET).expect("legal options"),
            steps: vec![Vec::new(); program.requests.len()],
            gates: vec![Gate::Passed; program.requests.len()],
            called: vec![0; program.requests.len()],
            now: 0,
            offence: None,
            said: Vec::new(),
            verbose,
        };
        Self {
            program,
            base,
            shared,
            scene: Rc::new(RefCell::new(scene)),
            running: Vec::new(),
            clock,
            history: History::default(),
            left: program.faults,
            grain,
            verbose,
            waits: 0,
        }
    }

    /// What the store holds and the visitors carry before the first request.
    async fn prepare(&mut self) {
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

    async fn seed(&mut self, seeded: SmolStr, members: &str) {
        let max_age = if self.program.options.browser_session { None } else { Some(DAY) };
        let age = max_age.map_or("null".into(), |age| age.as_millis().to_string());
        let cookie = format!(r#"{{"originalMaxAge":{age},"expires":null,"httpOnly":true,"path":"/"}}"#);
        let json = format!(r#"{{"cookie":{cookie},{members}}}"#);
        let record = Record::from_json(json.as_str()).expect("a record");
        self.base.create(&id(&seeded), &record, DAY).await.expect("an empty store");
        lock(&self.shared).known.insert(seeded.clone());
        self.history.before.insert(seeded, Contents::of_json(&json).expect("a record"));
    }

    async fn play(&mut self, chooser: &mut Chooser) {
        for _ in 0..MOVES {
            self.settle().await;
            let (progress, faults) = self.moves();
            if progress.is_empty() && self.running.iter().all(|running| running.future.is_none()) {
                return;
            }
            if self.history.offence.is_some() {
                return;
            }
            if progress.is_empty() && faults.is_empty() || matches!(progress[..], [Move::Wait]) {
                self.waits += 1;
                if self.waits > WAITS {
                    self.offend("stuck", "a request waits for ever");
                    return;
                }
                tokio::time::sleep(WAIT).await;
                continue;
            }
            let choice = chooser.choose(progress.len(), faults.len());
            let all: Vec<_> = progress.into_iter().chain(faults).collect();
            self.make(all[choice]).await;
        }
        self.offend("stuck", "a run does not end");
    }

    fn offend(&mut self, kind: &'static str, what: impl Into<String>) {
        self.history.offence.get_or_insert(Violation::new(kind, what));
    }

    /// Lets everybody go on until nobody can without a move.
    async fn settle(&mut self) {
        let mut quiet = 0;
        loop {
            let before = lock(&self.shared).activity;
            let mut polled = false;
            for at in 0..self.running.len() {
                self.open_gate(at);
                if self.running[at].woken.0.swap(false, Ordering::Relaxed) {
                    polled |= self.poll(at);
                }
            }
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            if !polled && (tasks == 0 || quiet > 3) {
                break;
            }
            // The library's own tasks run now.
            tokio::task::yield_now().await;
            quiet = if polled || lock(&self.shared).activity != before { 0 } else { quiet + 1 };
        }
        if let Some(what) = lock(&self.shared).offence.take() {
            self.history.offence.get_or_insert(Violation::new("foreign id written", what));
        }
        if let Some(offence) = self.scene.borrow_mut().offence.take() {
            self.history.offence.get_or_insert(offence);
        }
    }

    /// With whole calls, a request waits for nothing but its begin and its calls.
    fn open_gate(&mut self, at: usize) {
        let mut scene = self.scene.borrow_mut();
        let begun = !scene.steps[at].is_empty();
        if self.grain == Grain::WholeCalls && begun && scene.gates[at] == Gate::Closed {
            scene.gates[at] = Gate::Open;
            self.running[at].woken.0.store(true, Ordering::Relaxed);
        }
    }

    fn poll(&mut self, at: usize) -> bool {
        let running = &mut self.running[at];
        let Some(future) = &mut running.future else { return false };
        lock(&self.shared).current = at;
        let waker = Waker::from(Arc::clone(&running.woken));
        let mut context = Context::from_waker(&waker);
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(())) => running.future = None,
            Err(panic) => {
                running.future = None;
                let what = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let what = what.or_else(|| panic.downcast_ref::<String>().cloned());
                self.offend("panic", what.unwrap_or_default());
            }
        }
        let said = std::mem::take(&mut self.scene.borrow_mut().said);
        self.history.events.extend(said.into_iter().map(|text| Event { actor: Some(at), text }));
        true
    }

    /// The moves that are possible: first those of whoever moved last, then the others'; and the faults.
    fn moves(&self) -> (Vec<Move>, Vec<Move>) {
        let board = lock(&self.shared);
        let scene = self.scene.borrow();
        let (mut progress, mut faults) = (Vec::new(), Vec::new());
        let requests = self.running.len();
        let mut blocked = false;
        for actor in (0..requests).map(|at| (board.current + at) % requests) {
            let live = self.running[actor].future.is_some();
            let mut moves = live && scene.gates[actor] == Gate::Closed;
            if moves {
                progress.push(Move::Step(actor));
            }
            for (ticket, entry) in board.calls.iter().enumerate() {
                if entry.actor != actor || entry.abandoned {
                    continue;
                }
                match entry.stage {
                    Stage::Waiting => {
                        progress.push(Move::CarryOut(ticket));
                        moves = true;
                        if self.left.fail > 0 {
                            faults.push(Move::Fail(ticket));
                        }
                        if self.left.late > 0 && !matches!(entry.call, Call::Get(_)) {
                            faults.push(Move::FailLate(ticket));
                        }
                        if self.grain == Grain::WholeCalls && self.left.lose > 0 {
                            faults.push(Move::LoseAnswer(ticket));
                        }
                        if self.grain == Grain::WholeCalls && self.left.drop > 0 {
                            faults.push(Move::DropAfter(ticket));
                        }
                    }
                    Stage::CarriedOut(_) => {
                        progress.push(Move::Answer(ticket));
                        moves = true;
                        if self.left.lose > 0 {
                            faults.push(Move::LoseAnswer(ticket));
                        }
                    }
                    Stage::Answered(_) | Stage::Over => {}
                }
            }
            if live && self.left.drop > 0 && !matches!(scene.steps[actor][..], []) {
                faults.push(Move::Drop(actor));
            }
            blocked |= live && !moves;
        }
        let abandoned = |entry: &Entry| entry.abandoned && matches!(entry.stage, Stage::Waiting);
        for (ticket, _) in board.calls.iter().enumerate().filter(|(_, entry)| abandoned(entry)) {
            progress.push(Move::CarryOut(ticket));
            progress.push(Move::Discard(ticket));
        }
        // Who waits for something else may wait for time to pass. With whole calls, time passes where nothing else can.
        if blocked && progress.is_empty() {
            progress.push(Move::Wait);
        } else if blocked && self.grain == Grain::Fine {
            faults.push(Move::Wait);
        }
        (progress, faults)
    }

    async fn make(&mut self, chosen: Move) {
        match chosen {
            Move::Step(at) => {
                lock(&self.shared).current = at;
                self.scene.borrow_mut().gates[at] = Gate::Open;
                self.running[at].woken.0.store(true, Ordering::Relaxed);
            }
            Move::CarryOut(ticket) => {
                self.carry_out(ticket).await;
                if self.grain == Grain::WholeCalls {
                    self.answer(ticket);
                }
            }
            Move::Answer(ticket) => self.answer(ticket),
            Move::Wait => {
                self.waits += 1;
                tokio::time::sleep(WAIT).await;
            }
            Move::Discard(ticket) => {
                self.say_call(ticket, "is never carried out");
                lock(&self.shared).calls[ticket].stage = Stage::Over;
            }
            Move::Fail(ticket) => {
                self.left.fail -= 1;
                self.say_call(ticket, "FAILS before it is carried out");
                self.refuse(ticket, "the scheduler failed this call");
            }
            Move::LoseAnswer(ticket) => {
                self.left.lose -= 1;
                if self.grain == Grain::WholeCalls {
                    self.carry_out(ticket).await;
                }
                self.say_call(ticket, "is answered with an ERROR, though it was carried out");
                self.refuse(ticket, "the scheduler lost this answer");
            }
            Move::FailLate(ticket) => {
                self.left.late -= 1;
                self.say_call(ticket, "is answered with an ERROR, and may be carried out later");
                self.refuse(ticket, "the scheduler lost this call");
                let mut board = lock(&self.shared);
                let (actor, call) = (board.calls[ticket].actor, board.calls[ticket].call.clone());
                board.calls.push(Entry::abandoned(actor, call));
            }
            Move::Drop(at) => self.drop_request(at),
            Move::DropAfter(ticket) => {
                self.carry_out(ticket).await;
                let actor = lock(&self.shared).calls[ticket].actor;
                self.drop_request(actor);
                // Where a task of the library made the call, it goes on.
                self.answer(ticket);
            }
        }
    }

    fn drop_request(&mut self, at: usize) {
        self.left.drop -= 1;
        lock(&self.shared).current = at;
        self.running[at].future = None;
        self.scene.borrow_mut().gates[at] = Gate::Passed;
        self.say(Some(at), || "is DROPPED".into());
    }

    fn answer(&mut self, ticket: usize) {
        let mut board = lock(&self.shared);
        board.current = board.calls[ticket].actor;
        match std::mem::replace(&mut board.calls[ticket].stage, Stage::Over) {
            Stage::CarriedOut(reply) => board.answer(ticket, reply),
            stage => board.calls[ticket].stage = stage,
        }
    }

    /// The caller is told that the store could not do it.
    fn refuse(&mut self, ticket: usize, why: &'static str) {
        let at = self.scene.borrow_mut().tick();
        let mut board = lock(&self.shared);
        let entry = &board.calls[ticket];
        let actor = entry.actor;
        let id = SmolStr::from(entry.call.id().as_str());
        self.history.effects.push(Effect { at, actor, kind: EffectKind::Unanswered, id });
        board.current = actor;
        board.answer(ticket, Err(StoreError::unavailable(why)));
    }

    async fn carry_out(&mut self, ticket: usize) {
        if self.grain == Grain::WholeCalls {
            let actor = lock(&self.shared).calls[ticket].actor;
            self.scene.borrow_mut().asks_now(actor);
        }
        let (actor, call) = {
            let mut board = lock(&self.shared);
            let (actor, call) = (board.calls[ticket].actor, board.calls[ticket].call.clone());
            board.current = actor;
            (actor, call)
        };
        if self.program.options.clock_moves {
            self.clock.advance(Duration::from_secs(1));
        }
        let undecodable = lock(&self.shared).undecodable.contains(call.id().as_str());
        let before = match call {
            Call::Set(..) | Call::Create(..) | Call::Destroy(_) if !undecodable => {
                self.base.get(call.id()).await.ok().flatten().is_some()
            }
            _ => false,
        };
        let reply = match call {
            Call::Get(_) if undecodable => Err(StoreError::corrupt("the scheduler's own")),
            _ => call.carry_out(&self.base).await,
        };
        let at = self.scene.borrow_mut().tick();
        let kind = match (&call, &reply) {
            (_, Err(error)) if !error.is_corrupt() => {
                self.offend("store", format!("{} failed by itself: {error}", call.name()));
                None
            }
            (Call::Destroy(_), _) if before => Some(EffectKind::Destroyed),
            (Call::DestroyIf(..), Ok(Reply::Replaced(Replaced::Done(_)))) => Some(EffectKind::Moved),
            (Call::Create(..), Ok(Reply::Bool(true))) => Some(EffectKind::Created),
            (Call::Set(..), _) if !before => Some(EffectKind::Created),
            _ => None,
        };
        let id = SmolStr::from(call.id().as_str());
        self.history.effects.extend(kind.map(|kind| Effect { at, actor, kind, id }));
        self.say_done(&call, actor, ticket, &reply);
        let mut board = lock(&self.shared);
        board.activity += 1;
        let entry = &mut board.calls[ticket];
        entry.stage = if entry.abandoned { Stage::Over } else { Stage::CarriedOut(reply) };
    }

    /// What is in the store at last.
    async fn finish(mut self) -> History {
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

    fn say(&mut self, actor: Option<usize>, text: impl FnOnce() -> String) {
        if self.verbose {
            self.history.events.push(Event { actor, text: text() });
        }
    }

    fn say_call(&mut self, ticket: usize, what: &str) {
        if self.verbose {
            let (actor, name, id) = {
                let board = lock(&self.shared);
                let entry = &board.calls[ticket];
                (entry.actor, entry.call.name(), entry.call.id().as_str().to_owned())
            };
            self.say(Some(actor), || format!("  its {name} of {id} {what}"));
        }
    }

    fn say_done(&mut self, call: &Call, actor: usize, ticket: usize, reply: &Result<Reply, StoreError>) {
        if !self.verbose {
            return;
        }
        let late = lock(&self.shared).calls[ticket].abandoned;
        let contents = |record: &Record| Contents::of_json(record.as_json()).unwrap_or_default();
        let reply = match reply {
            Ok(Reply::Stored(Some(stored))) => show(&contents(&stored.record)),
            Ok(Reply::Stored(None)) => "absent".into(),
            Ok(Reply::Done) => "done".into(),
            Ok(Reply::Bool(answer)) => answer.to_string(),
            Ok(Reply::Replaced(Replaced::Done(_))) => "done".into(),
            Ok(Reply::Replaced(Replaced::Conflict(stored))) => {
                format!("conflict with {}", show(&contents(&stored.record)))
            }
            Ok(Reply::Replaced(Replaced::Gone)) => "gone".into(),
            Err(error) => error.to_string(),
        };
        let written = call.record().map(|record| format!(" {}", show(&contents(record))));
        let late = if late { " (whose caller is gone)" } else { "" };
        let text = format!(
            "  its {} of {}{}{late} is carried out: {reply}",
            call.name(),
            call.id().as_str(),
            written.unwrap_or_default()
        );
        self.say(Some(actor), || text);
    }
}

fn configure(program: &Program, base: &Base, shared: &Shared, clock: &TestClock) -> SessionConfigBuilder {
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
fn mint(shared: &Shared, taken: &[u32]) -> SessionId {
    let mut board = lock(shared);
    let number = board.minted.len();
    let text =
        if taken.contains(&(number as u32)) { BYSTANDER.into() } else { format_smolstr!("minted-{number}") };
    board.minted.push(text.clone());
    board.known.insert(text.clone());
    id(&text)
}

/// A run as readable steps.
pub(crate) fn narrate(history: &History) -> String {
    let mut text = String::new();
    for event in &history.events {
        match event.actor {
            Some(actor) => text.push_str(&format!("  request {actor} {}\n", event.text)),
            None => text.push_str(&format!("  {}\n", event.text)),
        }
    }
    text
}
