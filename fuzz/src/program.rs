//! Programs over the public API: several browsers, one request after the other, every call of a session, and
//! a clock that moves. After each call the session is compared with a model, after each request the store.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use sessile::testing::TestClock;
use sessile::{
    Clock as _, MemoryStore, Origin, Session, SessionConfig, SessionError, SessionGuard, SessionId,
    SessionStore as _,
};

use super::model::{Contents, Cookie, Options, Request, SentCookie, Stage, Stored, Write};
use super::setup::{SECRET, run};

const KEYS: [&str; 5] = ["user", "n", "", "k\"\\é\u{1F36A}", "__lastAccess2"];
const KINDS: [&str; 3] = ["info", "", "err\"or"];
const BROWSERS: usize = 3;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LIVES: [Duration; 6] = [
    Duration::from_millis(1),
    Duration::from_millis(1_500),
    Duration::from_secs(60),
    Duration::from_secs(3600),
    DAY,
    Duration::from_secs(400 * 24 * 60 * 60),
];

/// Where each program starts, and where the store's clock began: earlier, so that the clock can go back.
struct World {
    clock: TestClock,
    store: MemoryStore,
}

impl World {
    fn new() -> Self {
        let clock = TestClock::new();
        clock.set(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        Self { clock, store }
    }
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));

/// Every answer of a session, every record and every cookie is what the model says.
pub fn program(input: &[u8]) {
    let mut world = WORLD.lock().unwrap_or_else(PoisonError::into_inner);
    // The clock never goes back, because the store's sweep may still be at work with the time it read.
    if world.clock.now() > UNIX_EPOCH + 50_000 * DAY {
        *world = World::new();
    }
    world.store.clear();
    Run::new(&world, input).run();
}

struct Run<'w, 'i> {
    world: &'w World,
    bytes: &'i [u8],
    options: Options,
    config: SessionConfig,
    browsers: [Option<Cookie>; BROWSERS],
    /// What the store should hold, expired records included.
    records: BTreeMap<String, Stored>,
    /// Every id that any session had.
    used: HashSet<String>,
    /// Counts the flash messages, so that no two are equal.
    messages: u64,
}

impl<'w, 'i> Run<'w, 'i> {
    fn new(world: &'w World, input: &'i [u8]) -> Self {
        let [flags, times, bytes @ ..] = input else { return Self::new(world, &[0, 0]) };
        let flag = |bit: u8| flags & (1 << bit) != 0;
        let options = Options {
            save_uninitialized: flag(0),
            resave: flag(1),
            rolling: flag(2),
            max_age: (!flag(3)).then(|| LIVES[usize::from(times & 7) % LIVES.len()]),
            store_ttl: Duration::from_secs(7200),
            touch_after: [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3600)]
                [usize::from(times >> 4) % 3],
        };
        let builder = SessionConfig::builder(SECRET)
            .store(world.store.clone())
            .clock(world.clock.clone())
            .save_uninitialized(options.save_uninitialized)
            .resave(options.resave)
            .rolling(options.rolling)
            .store_ttl(options.store_ttl)
            .touch_after(options.touch_after);
        // The same ids in each run of a program, so that a failure can be repeated.
        let ids = AtomicU64::new(0);
        let next = move || format!("id-{}", ids.fetch_add(1, Ordering::Relaxed));
        let builder = builder.genid(move || SessionId::new(next()).expect("a legal id"));
        let builder = match options.max_age {
            Some(max_age) => builder.max_age(max_age),
            None => builder.browser_session(),
        };
        let config = builder.build().expect("the options are legal");
        let (records, used) = (BTreeMap::new(), HashSet::new());
        Self {
            world,
            bytes,
            options,
            config,
            browsers: [const { None }; BROWSERS],
            records,
            used,
            messages: 0,
        }
    }

    fn run(mut self) {
        while let Some(byte) = self.byte() {
            let browser = usize::from(byte >> 4) % BROWSERS;
            match byte & 15 {
                0 => self.move_clock(),
                // A stolen cookie, or a second tab.
                1 => self.browsers[browser] = self.browsers[(browser + 1) % BROWSERS].clone(),
                2 => self.browsers[browser] = None,
                junk => self.request(browser, usize::from(junk) % 4),
            }
            self.compare_store();
        }
    }

    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    /// One of `from`, as the next byte chooses; the first one when there is no more.
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte().unwrap_or(0)) % from.len()]
    }

    fn now(&self) -> SystemTime {
        self.world.clock.now()
    }

    fn move_clock(&mut self) {
        let step = self.pick(&LIVES);
        let milli = Duration::from_millis(1);
        match self.byte().unwrap_or(0) % 4 {
            0 => self.world.clock.advance(step),
            1 => self.world.clock.advance(step - milli),
            2 => self.world.clock.advance(step / 2 + milli),
            _ => self.world.clock.advance(milli),
        }
    }

    fn live(&self, id: &SessionId) -> Option<&Stored> {
        self.records.get(id.as_str()).filter(|stored| self.now() < stored.expires)
    }

    /// One request of a browser, with `junk` forged cookies before its own.
    fn request(&mut self, browser: usize, junk: usize) {
        let now = self.now();
        if self.browsers[browser]
            .as_ref()
            .is_some_and(|cookie| cookie.until.is_some_and(|until| until <= now))
        {
            self.browsers[browser] = None;
        }
        let own = self.browsers[browser].as_ref().map(|cookie| cookie.id.clone());
        let mut headers = HeaderMap::new();
        for _ in 0..junk {
            headers.append(COOKIE, HeaderValue::from_static("connect.sid=s%3Aforged.AAAA"));
        }
        if let Some(id) = &own {
            let pair = format!("connect.sid={}", self.config.sign(id));
            headers.append(COOKIE, HeaderValue::try_from(pair).expect("a signed cookie is a header value"));
        }
        let session =
            run(self.config.session_from_headers(&headers)).expect("the memory store is always there");

        let existing = own.clone().filter(|id| self.live(id).is_some());
        let origin = match (&existing, &own) {
            (Some(_), _) => Origin::Loaded,
            (None, Some(_)) => Origin::Unknown,
            (None, None) if junk > 0 => Origin::BadSignature,
            (None, None) => Origin::NoCookie,
        };
        assert_eq!(session.origin(), origin);
        let mut request = Request {
            stage: if existing.is_some() { Stage::Existing } else { Stage::New },
            view: match &existing {
                Some(id) => self.records[id.as_str()].contents.clone(),
                None => Contents::empty(self.options.max_age),
            },
            stored: existing,
            touched: false,
            carried: own.is_some() || junk > 0,
            cookie: None,
        };
        if let Some(id) = request.stored.clone() {
            self.touched_at_load(&id);
        }
        self.compare_session(&session, &request);
        while self.step(&session, &mut request, browser) {
            self.compare_session(&session, &request);
        }
    }

    /// A load extends a record that has gone untouched for longer than `touch_after` or half of its life.
    fn touched_at_load(&mut self, id: &SessionId) {
        let now = self.now();
        let options = self.options;
        let stored = self.records.get_mut(id.as_str()).expect("it is live");
        let ttl = options.ttl(stored.contents.max_age);
        let idle = ttl.saturating_sub(stored.expires.duration_since(now).unwrap_or_default());
        // With `rolling` a commit touches the record anyway, so that a load does so less often.
        let at_most = options.touch_after.max(Duration::from_secs(60));
        let actual = run(self.world.store.get(id)).expect("always there").expect("it is live");
        let expires = now + actual.expires_in.expect("the memory store tells it");
        if idle > at_most || idle + idle > ttl {
            assert_eq!(expires, now + ttl, "a touch was due");
        } else if idle <= options.touch_after && !options.touch_after.is_zero() {
            assert_eq!(expires, stored.expires, "no touch was due");
        } else {
            assert!(expires == stored.expires || expires == now + ttl);
        }
        stored.expires = expires;
    }

    /// One call of the session; `false`, when the request is over.
    fn step(&mut self, session: &Session, request: &mut Request, browser: usize) -> bool {
        let Some(byte) = self.byte() else { return false };
        // What a destroyed session does with later writes is in `tests/session`.
        let destroyed = request.stage == Stage::Destroyed;
        match byte % 20 {
            0 => return false,
            1 => self.commit(session, request, browser),
            2 | 3 => {
                self.commit(session, request, browser);
                return false;
            }
            4 => {
                session.destroy();
                request.stage = Stage::Destroyed;
                request.view = Contents::empty(self.options.max_age);
            }
            _ if destroyed => {}
            5 | 6 => {
                let key = self.pick(&KEYS);
                let value = match self.byte().unwrap_or(0) {
                    200 => json!([1, { "a": [null, "b"] }]),
                    201 => json!("te\u{0}xt \u{FFFF}"),
                    202 => json!(1.5),
                    203 => json!(u64::MAX),
                    n => json!(n % 4),
                };
                session.insert(key, &value).expect("it can be written");
                request.view.data.insert(key.into(), value);
            }
            7 => {
                let key = self.pick(&KEYS);
                assert_eq!(session.remove::<Value>(key).expect("it is JSON"), request.view.data.remove(key));
            }
            8 => {
                let key = self.pick(&KEYS);
                let now = request.view.data.get(key).cloned();
                let added = session.update(key, |n: Option<u8>| Some(n.unwrap_or(0).wrapping_add(1)));
                match now.map(serde_json::from_value::<u8>).transpose() {
                    Ok(n) => {
                        let n = n.unwrap_or(0).wrapping_add(1);
                        assert_eq!(added.expect("it is a number"), Some(n));
                        request.view.data.insert(key.into(), n.into());
                    }
                    Err(_) => assert!(matches!(added, Err(SessionError::Decode { .. }))),
                }
            }
            9 => {
                let key = self.pick(&KEYS);
                assert_eq!(session.update::<Value, _>(key, |_| None).expect("it is JSON"), None);
                request.view.data.remove(key);
            }
            10 => {
                session.clear();
                request.view.data.clear();
            }
            11 | 12 => {
                let kind = self.pick(&KINDS);
                // How many of a kind may wait is an option, which programs leave alone.
                if request.view.messages(kind).len() >= 50 {
                    return true;
                }
                self.messages += 1;
                session.flash(kind, self.messages).expect("it can be written");
                request.view.flash.entry(kind.into()).or_default().push(self.messages.into());
            }
            13 => {
                let kind = self.pick(&KINDS);
                let expected = request.view.flash.remove(kind).unwrap_or_default();
                assert_eq!(session.take_flash::<Value>(kind).expect("they are numbers"), expected);
            }
            14 => {
                let taken = session.take_all_flash();
                let expected = std::mem::take(&mut request.view.flash);
                assert_eq!(taken.len(), expected.values().map(Vec::len).sum::<usize>());
                for (kind, messages) in expected {
                    assert_eq!(taken.get(&kind), messages);
                }
            }
            15 => {
                let max_age = match self.byte().unwrap_or(0) {
                    255 => None,
                    n => Some(LIVES[usize::from(n) % LIVES.len()]),
                };
                session.set_max_age(max_age);
                request.view.max_age = max_age;
            }
            16 => {
                session.touch();
                request.touched = true;
            }
            17 => {
                session.regenerate();
                request.stage = Stage::NewId { keeps_data: false };
                request.view = Contents::empty(self.options.max_age);
            }
            18 => {
                session.cycle_id();
                let keeps_data = request.stage != Stage::NewId { keeps_data: false };
                request.stage = Stage::NewId { keeps_data };
            }
            _ => match self.byte().unwrap_or(0) % 3 {
                0 => {
                    run(session.save()).expect("nothing else writes to this store");
                    self.committed(session, request, true, None);
                }
                1 => self.reload(session, request),
                _ => {
                    let reserved = session.insert("cookie", 1).and(session.insert("flash", 1));
                    assert!(matches!(reserved, Err(SessionError::Encode { .. })));
                }
            },
        }
        true
    }

    fn reload(&mut self, session: &Session, request: &mut Request) {
        let reloaded = run(session.reload());
        match &request.stored {
            Some(id) => {
                reloaded.expect("the record is there");
                request.view = self.records[id.as_str()].contents.clone();
                request.stage = Stage::Existing;
            }
            None => assert!(matches!(reloaded, Err(SessionError::Gone))),
        }
    }

    fn commit(&mut self, session: &Session, request: &mut Request, browser: usize) {
        let guard = run(session.commit()).expect("nothing else writes to this store");
        let line = cookie_line(guard);
        self.committed(session, request, false, Some(line.is_some()));
        let Some(line) = line else {
            assert_eq!(request.cookie, None);
            return;
        };
        let value =
            line.split(';').next().and_then(|pair| pair.strip_prefix("connect.sid=")).expect("our cookie");
        let attribute =
            |name: &str| line.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        if value.is_empty() {
            assert_eq!((request.cookie, attribute("Max-Age")), (Some(SentCookie::Expired), Some("0")));
            self.browsers[browser] = None;
            return;
        }
        assert_eq!(request.cookie, Some(SentCookie::Set));
        let id = self.config.verify(value).expect("it is signed");
        assert_eq!(Some(&id), request.stored.as_ref());
        let max_age = self.records[id.as_str()].contents.max_age;
        let seconds = max_age.map(|max_age| max_age.as_millis().div_ceil(1000) as u64);
        assert_eq!(attribute("Max-Age"), seconds.map(|seconds| seconds.to_string()).as_deref());
        let until = seconds.map(|seconds| self.now() + Duration::from_secs(seconds));
        self.browsers[browser] = Some(Cookie { id, until });
    }

    /// Does to the model what a commit or a save should have done. `sent`: whether the commit sent a cookie.
    fn committed(&mut self, session: &Session, request: &mut Request, saving: bool, sent: Option<bool>) {
        let now = self.now();
        let (mut write, mut cookie) = request.decide(saving, &self.records, &self.options);
        if write == Write::PerhapsCreate {
            (write, cookie) = match sent {
                Some(true) => (Write::Create, Some(SentCookie::Set)),
                _ => (Write::Nothing, None),
            };
        }
        let contents = request.view.clone();
        let expires = now + self.options.ttl(contents.max_age);
        let stored = Stored { contents, written: now, expires, text: None };
        match write {
            Write::Nothing | Write::PerhapsCreate => {}
            Write::Create => {
                let id = session.id();
                assert!(!self.used.contains(id.as_str()), "an id was used twice");
                if let Some(old) = request.stored.replace(id.clone()) {
                    self.records.remove(old.as_str());
                }
                self.used.insert(id.as_str().to_owned());
                self.records.insert(id.as_str().to_owned(), stored);
                request.stage = Stage::Existing;
            }
            Write::Replace => {
                let id = request.stored.as_ref().expect("it exists");
                self.records.insert(id.as_str().to_owned(), stored);
            }
            Write::Touch => {
                let id = request.stored.as_ref().expect("it exists");
                self.records.get_mut(id.as_str()).expect("it is live").expires = expires;
            }
            Write::Destroy => {
                let id = request.stored.take().expect("it exists");
                self.records.remove(id.as_str());
            }
        }
        request.touched = false;
        request.cookie = cookie.or(request.cookie);
    }

    fn compare_session(&self, session: &Session, request: &Request) {
        let view = &request.view;
        let mut keys = session.keys();
        keys.sort();
        assert_eq!(keys, view.data.keys().cloned().collect::<Vec<_>>());
        assert_eq!((session.len(), session.is_empty()), (view.data.len(), view.data.is_empty()));
        for key in KEYS {
            assert_eq!(session.get::<Value>(key).expect("it is JSON").as_ref(), view.data.get(key));
            assert_eq!(session.contains_key(key), view.data.contains_key(key));
        }
        for kind in KINDS {
            assert_eq!(session.peek_flash::<Value>(kind).expect("they are numbers"), view.messages(kind));
        }
        if request.stage == Stage::Destroyed {
            return;
        }
        assert_eq!(session.max_age(), view.max_age);
        let is_new = request.stored.is_none() || request.stage == Stage::NewId { keeps_data: false };
        assert_eq!(session.is_new(), is_new);
        assert!(session.id() == session.id());
        match (request.stage, &request.stored) {
            (Stage::Existing, Some(id)) => {
                assert_eq!(session.id(), *id);
                let stored = &self.records[id.as_str()];
                let changed = view.max_age != stored.contents.max_age;
                let expires =
                    if changed { view.max_age.map(|age| self.now() + age) } else { Some(stored.expires) };
                assert_eq!(session.expires(), view.max_age.and(expires));
                assert_eq!(session.is_modified(), request.is_modified(&self.records, &self.options));
            }
            (Stage::New, _) => {
                assert_eq!(session.is_modified(), request.is_modified(&self.records, &self.options));
                assert!(!self.used.contains(session.id().as_str()));
            }
            (_, Some(id)) => assert_ne!(session.id(), *id),
            _ => {}
        }
    }

    /// The store holds what the model says, and each record says what Express would read.
    fn compare_store(&mut self) {
        let now = self.now();
        let mut ids: Vec<_> = self.world.store.all_ids().iter().map(|id| id.as_str().to_owned()).collect();
        ids.sort();
        let live: Vec<_> = self
            .records
            .iter()
            .filter(|(_, stored)| now < stored.expires)
            .map(|(id, _)| id.clone())
            .collect();
        assert_eq!(ids, live);
        for id in &live {
            let expected = self.records.get_mut(id).expect("it is live");
            let stored = run(self.world.store.get(&SessionId::new(&**id).expect("it was one")));
            let stored = stored.expect("always there").expect("it is live");
            assert_eq!(stored.expires_in, Some(expected.expires.duration_since(now).expect("it is live")));
            let text = stored.record.as_json();
            if let Some(seen) = &expected.text {
                assert_eq!(text, seen, "a record changed without a write");
                continue;
            }
            let mut json: serde_json::Map<String, Value> = serde_json::from_str(text).expect("JSON");
            let cookie = json.remove("cookie").expect("a cookie object");
            let max_age = expected.contents.max_age;
            assert_eq!(
                cookie["originalMaxAge"],
                max_age.map_or(Value::Null, |age| json!(age.as_millis() as u64))
            );
            let date =
                max_age.map(|age| humantime::format_rfc3339_millis(expected.written + age).to_string());
            assert_eq!(cookie["expires"], json!(date));
            let flash = json.remove("flash").unwrap_or_else(|| json!({}));
            assert_eq!(flash, json!(expected.contents.flash));
            assert_eq!(Value::Object(json), json!(expected.contents.data));
            expected.text = Some(text.to_owned());
        }
    }
}

/// The `Set-Cookie` line of a guard, if it sets one.
fn cookie_line(guard: SessionGuard) -> Option<String> {
    let response = guard.into_response();
    let mut lines = response.headers().get_all(SET_COOKIE).iter();
    let line = lines.next().map(|line| line.to_str().expect("text").to_owned());
    assert!(lines.next().is_none(), "more than one cookie");
    line
}
