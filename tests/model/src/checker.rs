//! Runs programs over one store, and judges them.

use std::fmt;

use fastrand::Rng;
use sessile::{FileStore, MemoryStore};
use tokio::runtime::Runtime;

use crate::chooser::Chooser;
use crate::history::{History, Violation};
use crate::oracle::judge;
use crate::program::Program;
use crate::scheduler::{Grain, narrate, run};
use crate::shrink::shrink;
use crate::stores::{Base, MapStore, StoreKind, TwoStores};

/// A store, and what it takes to run programs over it.
pub struct Checker {
    kind: StoreKind,
    base: Base,
    runtime: Runtime,
    _folder: Option<tempfile::TempDir>,
    #[cfg(feature = "redis")]
    _server: Option<sessile_test_servers::Server>,
}

/// A run that broke a promise.
#[derive(Debug, Clone)]
pub struct Found {
    /// What was broken.
    pub violation: Violation,
    /// What was run.
    pub program: Program,
    /// The scheduler's choices.
    pub(crate) choices: Vec<u16>,
    /// What happened, step by step.
    pub steps: String,
}

impl Checker {
    /// A checker of this store; an empty one. `None`, with a message, where the store is not to be had here.
    #[must_use]
    pub fn new(kind: StoreKind) -> Option<Self> {
        let remote = matches!(kind, StoreKind::Redis | StoreKind::Sqlite);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        // A server needs real time; elsewhere nobody waits for it.
        let runtime = builder.enable_all().start_paused(!remote).build().expect("a runtime");
        let mut folder = None;
        #[cfg(feature = "redis")]
        let mut server = None;
        let base = match kind {
            StoreKind::Memory | StoreKind::WrappedMemory => Base::Memory(MemoryStore::new()),
            StoreKind::Versioned | StoreKind::PassingWrapper => Base::Map(MapStore::new(true)),
            StoreKind::ThreeMethods => Base::Map(MapStore::new(false)),
            StoreKind::Moving => Base::Moving(TwoStores::new()),
            StoreKind::File => {
                let path = folder.insert(tempfile::tempdir().expect("a temporary folder")).path();
                let builder = FileStore::builder(path.join("sessions"));
                let builder = builder.durability(sessile::Durability::None);
                Base::File(builder.build().expect("a folder for sessions"))
            }
            #[cfg(feature = "redis")]
            StoreKind::Redis => {
                let address = match std::env::var("REDIS_URL") {
                    Ok(address) => address,
                    Err(_) => {
                        let started = server.insert(sessile_test_servers::redis(&[])?);
                        format!("redis://127.0.0.1:{}", started.port)
                    }
                };
                let connected = runtime.block_on(sessile::RedisStore::connect(address));
                Base::Redis(connected.expect("the server answers").prefix("sessile-model:"))
            }
            #[cfg(feature = "sqlite")]
            StoreKind::Sqlite => {
                let path = folder.insert(tempfile::tempdir().expect("a temporary folder")).path();
                let opened = runtime.block_on(async {
                    let store = sessile::SqliteStore::open(path.join("sessions.sqlite")).await?;
                    store.migrate().await?;
                    Ok::<_, sessile::StoreError>(store)
                });
                Base::Sqlite(opened.expect("a new database"))
            }
            #[cfg(not(all(feature = "redis", feature = "sqlite")))]
            _ => {
                eprintln!("skipped: {kind} needs its feature");
                return None;
            }
        };
        Some(Self {
            kind,
            base,
            runtime,
            _folder: folder,
            #[cfg(feature = "redis")]
            _server: server,
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> StoreKind {
        self.kind
    }

    /// Runs the program of a seed once, in the order of the seed.
    pub fn check(&self, seed: u64) -> Option<Found> {
        self.check_unless(seed, |_| false)?
    }

    /// The same, unless the program is one to be left out: then `None`.
    pub fn check_unless(&self, seed: u64, left_out: impl Fn(&Program) -> bool) -> Option<Option<Found>> {
        let mut rng = Rng::with_seed(seed);
        let program = Program::random(self.kind, &mut rng);
        if left_out(&program) {
            return None;
        }
        let mut chooser = Chooser::random(rng);
        let (_, violation) = self.judged(&program, &mut chooser, (Grain::Fine, false));
        let choices = choices(&chooser);
        Some(violation.map(|violation| self.found(program, violation, (Grain::Fine, choices))))
    }

    /// The run of a seed, whatever comes of it.
    #[must_use]
    pub fn narrate(&self, seed: u64) -> String {
        let mut rng = Rng::with_seed(seed);
        let program = Program::random(self.kind, &mut rng);
        let (history, violation) = self.judged(&program, &mut Chooser::random(rng), (Grain::Fine, true));
        let verdict = violation.map_or("every promise holds".into(), |found| found.to_string());
        format!("{program}{}=> {verdict}\n", narrate(&history))
    }

    /// The smallest program that was found to break the same promise.
    pub fn shrink(&self, found: &Found) -> Found {
        shrink(self, found)
    }

    pub(crate) fn judged(
        &self,
        program: &Program,
        chooser: &mut Chooser,
        how: (Grain, bool),
    ) -> (History, Option<Violation>) {
        let history = self.runtime.block_on(run(program, &self.base, chooser, how));
        let violation = judge(program, &history);
        (history, violation)
    }

    /// Runs a program with these choices once more, for the reader.
    pub(crate) fn found(&self, program: Program, violation: Violation, order: (Grain, Vec<u16>)) -> Found {
        let (grain, choices) = order;
        let (history, again) = self.judged(&program, &mut Chooser::replay(choices.clone()), (grain, true));
        let mut steps = narrate(&history);
        if again.as_ref() != Some(&violation) {
            steps.push_str("  (this run was not the same when it was repeated)\n");
        }
        Found { violation, program, choices, steps }
    }
}

pub(crate) fn choices(chooser: &Chooser) -> Vec<u16> {
    chooser.made.iter().map(|(choice, _)| *choice).collect()
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checker").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}=> {}", self.program, self.steps, self.violation)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.what)
    }
}
