//! What a user's session has to hold, request by request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use sessile_interop::http_client::{Answer, HttpClient};
use sessile_interop::servers::{SECRET, Servers, Side, id_in};
use tokio::sync::{Mutex, RwLock};

use super::{Act, Rules, Statuses, Step};

/// What a step writes: it tells where it came from, and has text that a mistake in escaping would show in.
pub fn value(step: Step) -> Value {
    let Step { number, user, side, act } = step;
    let pad = format!("é\u{2028}\"\\/\u{1}😀{}", "x".repeat(number % 50));
    json!({ "step": number, "user": user, "side": format!("{side:?}"), "act": format!("{act:?}"), "pad": pad })
}

/// One user, who logs in anew after each logout.
pub struct User {
    servers: Arc<Servers>,
    /// Held for reading by requests that may overlap, for writing by one that is alone.
    seat: RwLock<Seat>,
}

/// A user's present session.
pub struct Seat {
    pub client: HttpClient,
    id: String,
    expected: Mutex<Expected>,
    under_way: AtomicUsize,
}

/// What the session has to hold by now.
#[derive(Default)]
struct Expected {
    /// What stood under each key when the session was compared last.
    settled: BTreeMap<String, Option<String>>,
    /// What was written since, and when.
    written: BTreeMap<String, Vec<Written>>,
    clock: u64,
    count: u64,
    flash: Vec<String>,
    logged_out: bool,
}

/// A write that was answered with success: it took effect between its begin and its end.
struct Written {
    began: u64,
    ended: u64,
    value: Option<String>,
}

/// What came of a load.
#[derive(Default)]
pub struct Tally {
    statuses: Statuses,
    failures: Vec<String>,
    sessions: usize,
    /// Requests that began while another one of the same session was under way.
    pub together: usize,
    /// Values that were compared with what was written.
    pub checked: usize,
    pub lost: usize,
    logouts: usize,
}

impl Tally {
    pub fn print(&self, title: &str) {
        let Self { statuses, sessions, together, checked, lost, logouts, .. } = self;
        println!(
            "{title}: {sessions} comparisons of a session, {logouts} logouts, {together} requests beside another of their session"
        );
        for ((side, status), times) in statuses {
            println!("  {side} answered {status}: {times}");
        }
        println!("  {checked} values compared, {lost} of them gone or older than the last write");
    }

    pub fn assert_no_failure(&self, planned: usize) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        for side in ["Express", "Axum"] {
            let requests: usize =
                self.statuses.iter().filter(|((at, _), _)| *at == side).map(|(_, n)| n).sum();
            assert!(requests > planned / 4, "{side} got {requests} requests only");
        }
    }
}

impl User {
    pub async fn new(servers: &Arc<Servers>) -> Self {
        Self { servers: Arc::clone(servers), seat: RwLock::new(Seat::new(servers).await) }
    }

    /// Does a step of the plan.
    pub async fn take(&self, step: Step, rules: Rules, tally: &Mutex<Tally>) {
        if rules == Rules::ExpressWritesAlone && step.is_alone() {
            let mut seat = self.seat.write().await;
            self.renew(&mut seat, rules, tally).await;
            seat.take(step, rules, tally).await;
            if step.act == Act::NewId || step.act == Act::LogIn {
                seat.id = seat.current_id();
            }
        } else {
            if rules == Rules::None && self.seat.read().await.expected.lock().await.logged_out {
                self.compare_alone(rules, tally).await;
            }
            self.seat.read().await.take(step, rules, tally).await;
        }
    }

    /// Compares what is stored with what was written, with the session for itself.
    pub async fn compare_alone(&self, rules: Rules, tally: &Mutex<Tally>) {
        let mut seat = self.seat.write().await;
        self.renew(&mut seat, rules, tally).await;
    }

    /// Compares, and gives a user who was logged out a new session.
    async fn renew(&self, seat: &mut Seat, rules: Rules, tally: &Mutex<Tally>) {
        let mut tally = tally.lock().await;
        seat.compare(&self.servers, rules, &mut tally).await;
        if seat.expected.get_mut().logged_out {
            *seat = Seat::new(&self.servers).await;
        }
    }
}

impl Seat {
    async fn new(servers: &Arc<Servers>) -> Self {
        let client = HttpClient::new(servers);
        let id = client.log_in(Side::Express).await;
        Self { client, id, expected: Mutex::default(), under_way: AtomicUsize::new(0) }
    }

    fn current_id(&self) -> String {
        self.client.cookie().and_then(|cookie| id_in(&cookie, SECRET)).unwrap_or_default()
    }

    async fn take(&self, step: Step, rules: Rules, tally: &Mutex<Tally>) {
        let beside = self.under_way.fetch_add(1, Ordering::SeqCst);
        let (was_logged_out, began) = {
            let mut expected = self.expected.lock().await;
            (expected.logged_out, expected.begin(step))
        };
        let answer = step.send(self).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let mut expected = self.expected.lock().await;
        let mut tally = tally.lock().await;
        tally.together += usize::from(beside > 0);
        tally.logouts += usize::from(step.act == Act::LogOut && !was_logged_out);
        let side = if step.side == Side::Express { "Express" } else { "Axum" };
        *tally.statuses.entry((side, answer.status)).or_default() += 1;
        // A request that a logout or a new id overtakes is told so.
        let overtaken = expected.logged_out || rules == Rules::None;
        let told = answer.status == 409 && step.side == Side::Axum && overtaken;
        if answer.status != 200 && !told {
            tally.failures.push(format!("{step:?}: {answer:?}"));
        }
        expected.end(step, began, &answer, &mut tally);
    }

    /// What is stored, against what was written.
    async fn compare(&mut self, servers: &Servers, rules: Rules, tally: &mut Tally) {
        if rules == Rules::None {
            self.id = self.current_id();
        }
        let expected = self.expected.get_mut();
        let raw = servers.store.raw(&self.id).await;
        if expected.logged_out && rules == Rules::ExpressWritesAlone {
            tally.checked += 1;
            if raw.is_some() {
                tally.failures.push(format!("a session that was logged out is stored again: {raw:?}"));
            }
            return;
        }
        let Some(raw) = raw else {
            if rules == Rules::ExpressWritesAlone {
                tally.failures.push("a session that nobody ended is gone".into());
            }
            return;
        };
        tally.sessions += 1;
        let record: Value = match serde_json::from_str(&raw) {
            Ok(record) => record,
            Err(error) => return tally.failures.push(format!("{error}: {raw}")),
        };
        let is_alice = record["passport"] == json!({ "user": 42 }) || rules == Rules::None;
        if record["cookie"]["originalMaxAge"].as_f64().is_none() || !is_alice {
            tally.failures.push(format!("{raw} has lost its cookie or its user"));
        }
        for key in (0..super::KEYS).map(|key| format!("k{key}")) {
            let now = record.get(&key).map(Value::to_string);
            tally.checked += 1;
            tally.lost += usize::from(!expected.may_hold(&key, now.as_ref()));
            expected.settled.insert(key, now);
        }
        expected.written.clear();
        tally.checked += 2;
        let count = record["count"].as_u64().unwrap_or(0);
        tally.lost += usize::from(count != expected.count);
        expected.count = count;
        let mut flash: Vec<_> =
            record["flash"]["info"].as_array().into_iter().flatten().map(Value::to_string).collect();
        flash.sort();
        expected.flash.sort();
        tally.lost += usize::from(flash != expected.flash);
        expected.flash = flash;
        for value in record.as_object().into_iter().flatten().filter(|(key, _)| key.starts_with('k')) {
            check_whole(value.1, tally);
        }
    }
}

/// A value is one that a step wrote, to the last letter.
fn check_whole(value: &Value, tally: &mut Tally) {
    let number = value["step"].as_u64().unwrap_or_default() as usize;
    let whole = value["pad"]
        .as_str()
        .is_some_and(|pad| pad == format!("é\u{2028}\"\\/\u{1}😀{}", "x".repeat(number % 50)));
    if !whole {
        tally.failures.push(format!("a value nobody wrote: {value}"));
    }
}

impl Expected {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Whether this can stand under a key: the value of a write that no later one began after.
    fn may_hold(&self, key: &str, now: Option<&String>) -> bool {
        match self.written.get(key) {
            None => self.settled.get(key).and_then(Option::as_ref) == now,
            Some(written) => written.iter().any(|write| {
                write.value.as_ref() == now && written.iter().all(|other| other.began <= write.ended)
            }),
        }
    }

    /// When the step begins.
    fn begin(&mut self, step: Step) -> u64 {
        self.logged_out |= step.act == Act::LogOut;
        self.tick()
    }

    fn end(&mut self, step: Step, began: u64, answer: &Answer, tally: &mut Tally) {
        let ended = self.tick();
        if answer.status != 200 {
            return;
        }
        let mut wrote = |key, value| {
            let written = Written { began, ended, value };
            self.written.entry(format!("k{key}")).or_default().push(written);
        };
        match step.act {
            Act::Write(key) => wrote(key, Some(value(step).to_string())),
            Act::Remove(key) => wrote(key, None),
            Act::Count => self.count += 1,
            Act::PushFlash => self.flash.push(value(step).to_string()),
            Act::DrainFlash => {
                let drained = answer.body.as_array().into_iter().flatten();
                let drained = drained.inspect(|message| check_whole(message, tally));
                let mut drained: Vec<_> = drained.map(Value::to_string).collect();
                drained.sort();
                self.flash.sort();
                tally.checked += 1;
                tally.lost += usize::from(drained != self.flash);
                self.flash.clear();
            }
            Act::Read => {
                let data = answer.body["data"].as_object().into_iter().flatten();
                data.filter(|(key, _)| key.starts_with('k')).for_each(|(_, value)| check_whole(value, tally));
            }
            Act::NewId | Act::LogIn | Act::LogOut => {}
        }
    }
}
