//! Processes that are killed while they commit sessions to one folder: nothing that was acknowledged is lost,
//! nothing is half written, and nothing is left behind.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{FileStore, Origin, SessionConfig, SessionId};

/// How many processes are killed, if the variable `SESSILE_CRASHES` does not say so: two in each round.
const KILLS: usize = 100;
const CHILD: &str = "SESSILE_TEST_KILLED_CHILD";
const SHARED: &str = "shared-by-both";
/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn config(folder: &str) -> SessionConfig {
    let secret = "a secret of at least 32 bytes, for tests";
    SessionConfig::builder(secret).store(FileStore::new(folder).unwrap()).build().unwrap()
}

/// Counts in the session of both processes, and creates and destroys sessions of its own, until it is killed.
/// Each step is said once it is done. The removal of a session is also said before.
async fn work(folder: &str, who: &str) {
    let config = config(folder);
    let mut shared = Visitor::with_id(&config, &SessionId::new(SHARED).unwrap());
    let mut own = None::<Visitor>;
    let mut stdout = std::io::stdout();
    let mut say = |line: String| stdout.write_all(format!("\nsaid {line}\n").as_bytes()).unwrap();
    for n in 0_u64.. {
        let session = shared.open().await.unwrap();
        for key in [who, "both"] {
            session.update::<u64, _>(key, |count| Some(count.unwrap_or(0) + 1)).unwrap();
        }
        shared.commit(&session).await.unwrap();
        say(format!("counted {}", session.get::<u64>(who).unwrap().unwrap()));

        match own.take() {
            None => {
                let mut visitor = Visitor::new(&config);
                let session = visitor.open().await.unwrap();
                session.insert("n", n).unwrap();
                session.insert("pad", "x".repeat(n as usize % 7 * 1_000)).unwrap();
                visitor.commit(&session).await.unwrap();
                say(format!("created {} {n}", visitor.id().unwrap().as_str()));
                own = Some(visitor).filter(|_| n % 3 != 0);
            }
            Some(mut visitor) => {
                let id = visitor.id().unwrap();
                let session = visitor.open().await.unwrap();
                session.destroy();
                say(format!("destroying {}", id.as_str()));
                visitor.commit(&session).await.unwrap();
                say(format!("destroyed {}", id.as_str()));
            }
        }
    }
}

/// A process at work, and what it has said.
struct Worker {
    child: Child,
    lines: Receiver<String>,
    counted: u64,
    own: BTreeMap<String, Own>,
}

/// What is known of a session that a worker has created.
enum Own {
    Created(String),
    Destroying(String),
    Destroyed,
}

impl Worker {
    fn start(folder: &Path, who: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "file_kills::a_killed_process_loses_nothing"])
            .env(CHILD, who)
            .env("SESSILE_TEST_KILLED_FOLDER", folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdout, (sender, lines)) = (child.stdout.take().unwrap(), channel());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Some(said) = line.strip_prefix("said ") else { continue };
                let _ = sender.send(said.to_owned());
            }
        });
        Self { child, lines, counted: 0, own: BTreeMap::new() }
    }

    fn hear(&mut self, line: &str) {
        let (what, about) = line.split_once(' ').unwrap();
        match what {
            "counted" => self.counted = about.parse().unwrap(),
            "created" => {
                let (id, n) = about.split_once(' ').unwrap();
                self.own.insert(id.into(), Own::Created(n.into()));
            }
            "destroying" => {
                let Some(Own::Created(n)) = self.own.remove(about) else { panic!("{line}") };
                self.own.insert(about.into(), Own::Destroying(n));
            }
            "destroyed" => drop(self.own.insert(about.into(), Own::Destroyed)),
            _ => panic!("{line}"),
        }
    }

    /// Waits until it has done something more.
    fn next(&mut self) {
        let line = self.lines.recv_timeout(PATIENCE).expect("a process stands still or has failed");
        self.hear(&line);
    }

    /// Kills the process, as `kill -9` does, and hears what it has said until then.
    fn kill(&mut self) {
        assert!(self.child.try_wait().unwrap().is_none(), "a process has failed before it was killed");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        while let Ok(line) = self.lines.recv() {
            self.hear(&line);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A test that fails leaves nobody behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// How many files stand in the folder that are neither sessions nor locks.
fn leftovers(folder: &Path) -> usize {
    let names = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(names(&folder.join(".locks")).len(), 64, "there are as many lock files as ever");
    names(folder).iter().filter(|name| *name != ".locks" && !name.ends_with(".json")).count()
}

#[tokio::test]
async fn a_killed_process_loses_nothing() {
    if let Ok(who) = std::env::var(CHILD) {
        return work(&std::env::var("SESSILE_TEST_KILLED_FOLDER").unwrap(), &who).await;
    }
    let kills = std::env::var("SESSILE_CRASHES").map_or(KILLS, |kills| kills.parse().unwrap());
    let rounds = kills.div_ceil(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    {
        let config = config(path);
        let store = FileStore::new(path).unwrap();
        let record = sessile::Record::from_json(r#"{"cookie":{"originalMaxAge":null},"both":0}"#).unwrap();
        let id = SessionId::new(SHARED).unwrap();
        sessile::SessionStore::set(&store, &id, &record, 24 * 60 * PATIENCE).await.unwrap();
        assert_eq!(Visitor::with_id(&config, &id).open().await.unwrap().origin(), Origin::Loaded);
    }
    let (mut left, mut unacknowledged) = (0, 0);
    let mut before = [0; 2];
    for round in 0..rounds {
        let mut workers = ["one", "two"].map(|who| Worker::start(folder.path(), who));
        workers.iter_mut().for_each(Worker::next);
        // A few commits long, so that the kills meet every step of one.
        std::thread::sleep(Duration::from_micros(round as u64 * 7_919 % 10_000));
        let (first, second) = (round % 2, 1 - round % 2);
        workers[first].kill();
        // The other one is not held up by the locks of the dead one.
        for _ in 0..20 {
            workers[second].next();
        }
        workers[second].kill();

        left += leftovers(folder.path());
        let config = config(path);
        assert_eq!(leftovers(folder.path()), 0, "round {round}: a start leaves what a killed process left");
        let open = async |id: &str| {
            let visitor = Visitor::with_id(&config, &SessionId::new(id).unwrap());
            let session = visitor.open().await.unwrap();
            assert_ne!(session.origin(), Origin::Undecodable, "round {round}: a record is half written");
            session
        };
        let shared = open(SHARED).await;
        let stored = ["one", "two"].map(|who| shared.get::<u64>(who).unwrap().unwrap_or(0));
        assert_eq!(shared.get("both").unwrap(), Some(stored[0] + stored[1]), "round {round}");
        for (n, worker) in workers.iter().enumerate() {
            // The last step may have been done and not said.
            let said = worker.counted.max(before[n]);
            assert!((said..=said + 1).contains(&stored[n]), "round {round}: {} of {said}", stored[n]);
            unacknowledged += stored[n] - said;
            for (id, own) in &worker.own {
                let session = open(id).await;
                let there = session.get::<u64>("n").unwrap().map(|n| n.to_string());
                match own {
                    Own::Created(n) => assert_eq!(there.as_ref(), Some(n), "round {round}: lost"),
                    Own::Destroyed => assert_eq!(there, None, "round {round}: a logout was undone"),
                    Own::Destroying(n) => assert!(there.is_none_or(|there| there == *n), "round {round}"),
                }
            }
        }
        before = stored;
        // What was created and not destroyed: the folder stays small.
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let file = entry.unwrap().path();
            if file.is_file() && file.file_stem().unwrap() != SHARED {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
    println!(
        "{} kills, {} commits counted, {left} files left behind, {unacknowledged} commits done and not said",
        2 * rounds,
        before[0] + before[1],
    );
    assert!(left > 0, "no process was killed while it wrote: this tested nothing");
}
