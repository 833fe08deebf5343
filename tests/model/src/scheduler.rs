//! The scheduler: polls the requests, opens the gates of store calls one at a time, and lets faults happen.
//!
//! Everything runs on one thread. Between two moves the scheduler waits until nobody can go on by itself, so
//! that the order of the moves decides everything.

mod moves;
mod narration;
mod stage;

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
use sessile::{SessionConfig, SessionId};

use crate::chooser::Chooser;
use crate::gates::{Board, Shared, lock};
use crate::history::{Event, History, Violation};
use crate::program::Program;
use crate::request::{Gate, Scene, SharedScene};
use crate::stores::Base;
use crate::users::OLD_SECRET;
use moves::Move;
use stage::configure;

pub(crate) use narration::narrate;

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

/// How finely the scheduler interleaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grain {
    /// A step of a request, a call's being carried out and its answer are moves of their own.
    Fine,
    /// A call is carried out and answered in one move, and a request asks as late as it can. What the library
    /// does depends on the order of the calls alone, so that with these moves every order is one that
    /// matters, and the oracle is at its strictest.
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
    let mut scheduler = Scheduler::new(program, base.fresh(), grain, verbose);
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
            shared: Arc::clone(&shared),
            configs,
            jars: Vec::new(),
            old: SessionConfig::new(OLD_SECRET).expect("legal options"),
            // One more for who drains.
            steps: vec![Vec::new(); program.requests.len() + 1],
            gates: vec![Gate::Passed; program.requests.len() + 1],
            called: vec![0; program.requests.len() + 1],
            clock: clock.clone(),
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
}
