//! Two real processes: one logs a user in again and again, and the other one ends all of the user's sessions.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sessile::testing::Visitor;
use sessile::{Origin, Record, SessionConfig, SessionError, SessionId, SessionStore, StoreError};

use crate::faults::config;

/// Set in a child: what it does.
const TASK: &str = "SESSILE_TEST_USERS_IN_TWO";

const ROUNDS: usize = 15;
/// How many logins are under way at the same time.
const WORKERS: u32 = 3;
/// How many logins are acknowledged while the other process ends all, and how many after it has stopped.
const BESIDE: usize = 30;
const AFTER: usize = 5;

/// Nanoseconds of a clock that all processes of the machine share, and that is never set.
fn moment() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A login, as the process tells it that has made it.
struct Told {
    /// When it was begun, and from when on an end of all sessions must reach it.
    begun: u64,
    known: u64,
    /// When its outcome was known.
    until: u64,
    /// The ids that its session had, the last of which it has; none: the login was refused.
    ids: Vec<SessionId>,
}

impl Told {
    fn line(&self) -> String {
        let ids: Vec<_> = self.ids.iter().map(SessionId::as_str).collect();
        format!("{} {} {} {}", self.begun, self.known, self.until, ids.join(" "))
    }

    fn parse(line: &str) -> Self {
        let mut words = line.split_whitespace();
        let mut time = || words.next().unwrap().parse().unwrap();
        let (begun, known, until) = (time(), time(), time());
        Self { begun, known, until, ids: words.map(|id| SessionId::new(id).unwrap()).collect() }
    }
}

async fn is_alive(config: &SessionConfig, id: &SessionId) -> bool {
    Visitor::with_id(config, id).open().await.unwrap().origin() == Origin::Loaded
}

/// `test` is the test that calls this, and `variable` tells a child where the server is.
///
/// No session lives whose login was acknowledged before an end of all sessions began, or began before it with
/// `begin_login`. Each login after the last end lives, and the list has the sessions that live.
pub(crate) async fn log_in_and_end_all(test: &str, (variable, url): (&str, &str), store: impl SessionStore) {
    if let Ok(task) = std::env::var(TASK) {
        return serve(&config(Halting(store)), &task).await;
    }
    let config = config(store);
    let start = |task| Process::start(test, (variable, url), task);
    let (mut logins, mut ends) = (start("log_in"), start("end_all"));
    let (mut ended, mut refused, mut between, mut after) = (0, 0, 0, 0);
    for round in 0..ROUNDS {
        let user = SessionId::random();
        // Both have read the line long before, and begin at this moment.
        let begin = format!("{} {}", user.as_str(), moment() + 5_000_000);
        logins.tell(&begin);
        ends.tell(&begin);
        let mut told: Vec<_> = (0..BESIDE).map(|_| Told::parse(&logins.says())).collect();
        // It ends all once more, and then says when each end began and was answered.
        ends.tell(STOP);
        let times: Vec<u64> = ends.says().split(' ').map(|time| time.parse().unwrap()).collect();
        let times: Vec<(u64, u64)> = times.chunks(2).map(|times| (times[0], times[1])).collect();
        told.extend((0..AFTER).map(|_| Told::parse(&logins.says())));
        logins.tell(STOP);
        while let Some(last) = Some(logins.says()).filter(|said| said != DONE) {
            told.push(Told::parse(&last));
        }
        let last = *times.last().unwrap();
        let mut alive = Vec::new();
        for login in &told {
            let is_over = times.iter().any(|(asked, _)| login.known < *asked);
            let may_be_over = times.iter().any(|(asked, end)| login.begun < *end && *asked < login.until);
            let Some((own, older)) = login.ids.split_last() else {
                assert!(may_be_over, "round {round}: a login was refused, and nobody ended anything");
                refused += 1;
                continue;
            };
            for id in older {
                assert!(!is_alive(&config, id).await, "round {round}: an id of before is alive");
            }
            let lives = is_alive(&config, own).await;
            assert!(!(lives && is_over), "round {round}: an end of all has missed a login");
            assert!(lives || is_over || may_be_over, "round {round}: nobody has ended this session");
            match lives {
                true if login.begun > last.1 => after += 1,
                true => between += 1,
                false => ended += 1,
            }
            alive.extend(lives.then_some(own));
        }
        let sessions = config.sessions_of(user.as_str());
        let list = sessions.list().await.unwrap();
        assert_eq!(list.len(), alive.len(), "round {round}: the list is not what lives");
        for id in &alive {
            let session = Visitor::with_id(&config, id).open().await.unwrap();
            let listed = list.iter().filter(|listed| listed.is(&session)).count();
            assert_eq!(listed, 1, "round {round}: a session that lives is in the list {listed} times");
        }
        assert_eq!(sessions.end_all().await.unwrap(), alive.len(), "round {round}");
        for id in alive {
            assert!(!is_alive(&config, id).await, "round {round}: a session outlives the last end");
        }
    }
    println!("{ended} logins ended, {refused} refused, {between} beside the last end live, {after} after it");
    assert!(ended >= ROUNDS && after >= ROUNDS, "this tested nothing: {ended} ended, {after} live");
}

/// A store of a process that is halted now and then before it creates a record. So whole ends come between
/// the steps of a login, as they do on a busy machine.
struct Halting<S>(S);

impl<S: SessionStore> SessionStore for Halting<S> {
    sessile::forward_store!(self => self.0, except create);

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        pause().await;
        self.0.create(id, record, ttl).await
    }
}

/// Up to four milliseconds.
async fn pause() {
    let random = u64::from(SessionId::random().as_str().as_bytes()[0]) * 8 % 251;
    tokio::time::sleep(Duration::from_micros(random * 16)).await;
}

const STOP: &str = "stop";
const DONE: &str = "done";

/// In a child: does its task for each user that it is told, until it is told no more.
async fn serve(config: &SessionConfig, task: &str) {
    let mut lines = BufReader::new(std::io::stdin()).lines();
    while let Some(begin) = lines.next() {
        let begin = begin.unwrap();
        let (user, start) = begin.split_once(' ').unwrap();
        let start: u64 = start.parse().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let listens = std::thread::spawn({
            let is_over = Arc::clone(&is_over);
            move || {
                assert_eq!(lines.next().unwrap().unwrap(), STOP);
                is_over.store(true, Ordering::SeqCst);
                lines
            }
        });
        while moment() < start {
            std::hint::spin_loop();
        }
        if task == "log_in" {
            let workers = (0..WORKERS).map(|n| log_in_until(config, user, n, &is_over));
            futures_util::future::join_all(workers).await;
            say(DONE);
        } else {
            end_all_until(config, user, &is_over).await;
        }
        lines = listens.join().unwrap();
    }
}

async fn log_in_until(config: &SessionConfig, user: &str, worker: u32, is_over: &AtomicBool) {
    let mut n = worker;
    while !is_over.load(Ordering::SeqCst) {
        n += 1;
        say(&log_in(config, user, n.is_multiple_of(2), n.is_multiple_of(3)).await.line());
    }
}

/// One login; `begins`: with `begin_login`. `moves`: the session changes its id after.
async fn log_in(config: &SessionConfig, user: &str, begins: bool, moves: bool) -> Told {
    let mut told = Told { begun: moment(), known: 0, until: 0, ids: Vec::new() };
    let begun = match begins {
        true => Some(config.sessions_of(user).begin_login().await.unwrap()),
        false => None,
    };
    told.known = moment();
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    match begun {
        Some(begun) => session.log_in_with(begun).unwrap(),
        None => session.log_in(user).unwrap(),
    }
    let answer = visitor.commit(&session).await;
    if !begins {
        told.known = moment();
    }
    told.until = moment();
    if !is_made(answer) {
        return told;
    }
    told.ids.push(visitor.id().unwrap());
    let session = visitor.open().await.unwrap();
    // An end may have come already.
    if moves && session.origin() == Origin::Loaded {
        session.cycle_id();
        if is_made(visitor.commit(&session).await) {
            told.ids.push(visitor.id().unwrap());
        }
    }
    told.until = moment();
    told
}

fn is_made<T>(answer: Result<T, SessionError>) -> bool {
    match answer {
        Ok(_) => true,
        Err(refused) => {
            assert!(matches!(refused, SessionError::Gone), "{refused:?}");
            false
        }
    }
}

async fn end_all_until(config: &SessionConfig, user: &str, is_over: &AtomicBool) {
    let mut times = Vec::new();
    loop {
        let is_last = is_over.load(Ordering::SeqCst);
        let asked = moment();
        config.sessions_of(user).end_all().await.unwrap();
        times.push(format!("{asked} {}", moment()));
        if is_last {
            return say(&times.join(" "));
        }
        pause().await;
    }
}

/// In one write, so that no half of it arrives.
fn say(what: &str) {
    std::io::stderr().write_all(format!("{SAYS}{what}\n").as_bytes()).unwrap();
}

const SAYS: &str = "says ";

struct Process {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStderr>>,
}

impl Process {
    fn start(test: &str, (variable, url): (&str, &str), task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(variable, url)
            .env(TASK, task)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { input: child.stdin.take().unwrap(), child, lines }
    }

    fn tell(&mut self, what: &str) {
        self.input.write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    /// The next line that it says.
    fn says(&mut self) -> String {
        let mut besides = String::new();
        loop {
            let Some(line) = self.lines.next() else { panic!("it ended by itself: {besides}") };
            let line = line.unwrap();
            match line.strip_prefix(SAYS) {
                Some(said) => return said.to_owned(),
                None => besides = format!("{besides}{line}\n"),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that fails leaves nobody behind.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
