//! One request: what a handler does with its session, step by step, and what it was told.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, UNIX_EPOCH};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use sessile::testing::TestClock;
use sessile::{Clock as _, Login, Session, SessionConfig, SessionError};
use smol_str::SmolStr;

use crate::gates::{Shared, lock};
use crate::history::{
    After, Contents, CookieSeen, Failure, LoadedSession, Sent, Signed, Step, Told, UsersTold, Violation,
};
use crate::program::{Op, Planted, Request, Target, UNKNOWN_ID, Update, seeded_id};
use crate::users::{USERS, handle_of};

/// What the requests of one run share.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) shared: Shared,
    /// One configuration for each process.
    pub(crate) configs: Vec<SessionConfig>,
    /// The cookies that the visitors hold.
    pub(crate) jars: Vec<Option<Sent>>,
    /// Signs as the older secret does.
    pub(crate) old: SessionConfig,
    pub(crate) steps: Vec<Vec<Step>>,
    /// Whose next step may begin.
    pub(crate) gates: Vec<Gate>,
    /// The step in which a request's last call was carried out.
    pub(crate) called: Vec<usize>,
    pub(crate) clock: TestClock,
    /// Every step and answer has a time of its own.
    pub(crate) now: u64,
    pub(crate) offence: Option<Violation>,
    /// What a reader of the run is to know, since it was taken last.
    pub(crate) said: Vec<String>,
    /// Whether somebody reads it.
    pub(crate) verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// The request is not at a gate.
    Passed,
    Closed,
    Open,
}

impl Scene {
    /// Notes something for the reader of the run, if there is one.
    fn say(&mut self, text: impl FnOnce() -> String) {
        if self.verbose {
            self.said.push(text());
        }
    }

    /// The call that is carried out now is the first of a request's step: the step might as well have begun
    /// now.
    pub(crate) fn asks_now(&mut self, at: usize) {
        let now = self.tick();
        let (steps, called) = (self.steps[at].len(), &mut self.called[at]);
        if *called == steps {
            return;
        }
        *called = steps;
        if let Some(
            Step::Load { asked, answered: None, .. }
            | Step::Store { asked, answered: None, .. }
            | Step::Users { asked, answered: None, .. },
        ) = self.steps[at].last_mut()
        {
            *asked = now;
        }
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    /// The ids of all sessions that there may be.
    fn ids(&self) -> Vec<SmolStr> {
        let seeded = (0..self.jars.len()).map(seeded_id);
        seeded.chain(lock(&self.shared).minted.iter().cloned()).collect()
    }

    fn header(&self, sent: &Sent, config: &SessionConfig) -> String {
        let id = sessile::SessionId::new(sent.id.as_str()).expect("ids of a run are legal");
        match sent.signature {
            Signed::Not => format!("connect.sid={}", sent.id),
            Signed::ByOldSecret => format!("connect.sid={}", self.old.sign(&id)),
            Signed::Well => format!("connect.sid={}", config.sign(&id)),
        }
    }
}

pub(crate) type SharedScene = Rc<RefCell<Scene>>;

/// Waits until the scheduler lets the request begin its next step.
async fn pass(scene: &SharedScene, at: usize) {
    scene.borrow_mut().gates[at] = Gate::Closed;
    poll_fn(|_| match scene.borrow_mut().gates[at] {
        Gate::Open => Poll::Ready(()),
        Gate::Closed | Gate::Passed => Poll::Pending,
    })
    .await;
    scene.borrow_mut().gates[at] = Gate::Passed;
}

/// The whole request.
pub(crate) async fn run(scene: SharedScene, request: Request, at: usize) {
    pass(&scene, at).await;
    let (config, sent) = begin(&scene, &request, at);
    let headers = {
        let scene = scene.borrow();
        let lines: Vec<_> = sent.iter().map(|cookie| scene.header(cookie, &config)).collect();
        let mut headers = HeaderMap::new();
        if !lines.is_empty() {
            headers.insert(COOKIE, HeaderValue::try_from(lines.join("; ")).expect("a header"));
        }
        headers
    };
    let loaded = config.session_from_headers(&headers).await;
    let answer = loaded.as_ref().ok().map(|session| LoadedSession {
        origin: session.origin(),
        contents: Contents::seen(session, scene.borrow().clock.now()),
    });
    {
        let mut scene = scene.borrow_mut();
        scene.say(|| match &answer {
            Some(answer) => format!("loaded: {:?} {}", answer.origin, show(&answer.contents)),
            None => "rejected".into(),
        });
        let now = scene.tick();
        if let Some(Step::Load { answered, loaded, .. }) = scene.steps[at].last_mut() {
            *answered = Some(now);
            *loaded = answer;
        }
    }
    let Ok(session) = loaded else { return };
    if request.optional && session.origin() != sessile::Origin::Loaded {
        return;
    }
    let handler = Handler { scene: &scene, request: &request, at, session: &session, config: &config };
    let guard = handler.run().await;
    respond(&scene, &request, guard);
}

/// Notes that the request begins, and says what it carries.
fn begin(scene: &SharedScene, request: &Request, at: usize) -> (SessionConfig, Vec<Sent>) {
    let mut scene = scene.borrow_mut();
    let planted = request.planted.iter().map(|planted| match planted {
        Planted::Junk => Sent { id: "s%3Ajunk.bad".into(), signature: Signed::Not },
        Planted::Unknown => Sent { id: UNKNOWN_ID.into(), signature: Signed::Well },
        Planted::Of(visitor) => Sent { id: seeded_id(*visitor), signature: Signed::Well },
    });
    let sent: Vec<_> = planted.chain(scene.jars[request.visitor].clone()).collect();
    let asked = scene.tick();
    scene.steps[at].push(Step::Load { asked, answered: None, sent: sent.clone(), loaded: None });
    scene.say(|| {
        let cookies: Vec<_> = sent.iter().map(|cookie| cookie.id.as_str()).collect();
        format!("begins with [{}]", cookies.join(", "))
    });
    (scene.configs[usize::from(request.process)].clone(), sent)
}

/// The answer reaches the browser.
fn respond(scene: &SharedScene, request: &Request, cookie: Option<CookieSeen>) {
    let mut scene = scene.borrow_mut();
    match cookie {
        Some(CookieSeen::Set(id)) => {
            scene.jars[request.visitor] = Some(Sent { id, signature: Signed::Well });
        }
        Some(CookieSeen::Expired) => scene.jars[request.visitor] = None,
        Some(CookieSeen::None) | None => {}
    }
    scene.say(|| "responds".into());
}

/// What a handler works with.
struct Handler<'r> {
    scene: &'r SharedScene,
    request: &'r Request,
    at: usize,
    session: &'r Session,
    config: &'r SessionConfig,
}

impl Handler<'_> {
    /// Returns what its guard does to the cookie, unless it failed.
    async fn run(&self) -> Option<CookieSeen> {
        let mut cookie = None;
        let mut of_users = OfUsers::default();
        if self.session.origin() == sessile::Origin::Loaded {
            of_users.own = Some(self.session.id().as_str().into());
        }
        for op in &self.request.ops {
            let failed = if op.is_of_users() {
                self.ask_for_users(op, &mut of_users).await.is_err()
            } else if op.is_async() {
                match self.ask(op).await {
                    Ok((seen, id)) => {
                        cookie = seen.or(cookie);
                        of_users.own = id.or(of_users.own);
                        false
                    }
                    Err(_) => {
                        cookie = None;
                        true
                    }
                }
            } else {
                self.call(op, &mut of_users)
            };
            if failed && self.request.stop_on_error {
                return None;
            }
        }
        cookie
    }

    /// A call that asks no store. Returns whether it failed.
    fn call(&self, op: &Op, of_users: &mut OfUsers) -> bool {
        let mut scene = self.scene.borrow_mut();
        let now = scene.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let told = call(self.session, op, of_users, now.as_millis() as u64);
        scene.say(|| match &told {
            // The clock's time is another one in each run.
            Told::At(_) => format!("{op} -> the time"),
            told => format!("{op} -> {told:?}"),
        });
        let failed = matches!(told, Told::Failed(_));
        scene.steps[self.at].push(Step::Local { op: op.clone(), told });
        failed
    }

    /// A commit, save or reload. Returns what the guard does to the cookie, and the session's id.
    async fn ask(&self, op: &Op) -> Result<(Option<CookieSeen>, Option<SmolStr>), Failure> {
        let Self { scene, at, session, .. } = *self;
        pass(scene, at).await;
        {
            let mut scene = scene.borrow_mut();
            let asked = scene.tick();
            scene.say(|| op.to_string());
            scene.steps[at].push(Step::Store {
                op: op.clone(),
                asked,
                answered: None,
                result: None,
                contents: None,
            });
        }
        let result = match op {
            Op::Save => session.save().await.map(|()| None),
            Op::Reload => session.reload().await.map(|()| None),
            _ => session.commit().await.map(Some),
        };
        note(scene, at, result, session, self.config)
    }

    /// A call of `sessions_of`.
    async fn ask_for_users(&self, op: &Op, of_users: &mut OfUsers) -> Result<(), Failure> {
        let Self { scene, at, session, config, .. } = *self;
        let target = match op {
            Op::End(_, Target::Own) => of_users.own.clone(),
            Op::End(_, Target::First(visitor)) => Some(seeded_id(*visitor)),
            Op::End(_, Target::Listed(number)) => of_users.listed.get(usize::from(*number)).cloned(),
            _ => None,
        };
        if matches!(op, Op::End(..)) && target.is_none() {
            return Ok(());
        }
        pass(scene, at).await;
        {
            let mut scene = scene.borrow_mut();
            let asked = scene.tick();
            scene.say(|| op.to_string());
            let (op, target) = (op.clone(), target.clone());
            scene.steps[at].push(Step::Users { op, asked, answered: None, target, result: None });
        }
        let (Op::BeginLogin(user)
        | Op::List(user)
        | Op::Count(user)
        | Op::End(user, _)
        | Op::EndOthers(user)
        | Op::EndAll(user)) = op
        else {
            return Ok(());
        };
        let sessions = config.sessions_of(USERS[*user]);
        let told = match op {
            Op::BeginLogin(_) => sessions.begin_login().await.map(|login| {
                of_users.begun = Some((*user, login));
                UsersTold::Began
            }),
            Op::List(_) => sessions.list().await.map(|list| {
                let mut minted = scene.borrow().ids();
                minted.retain(|id| list.iter().any(|one| one.handle() == handle_of(id)));
                of_users.listed.clone_from(&minted);
                UsersTold::Listed(minted)
            }),
            Op::Count(_) => sessions.count().await.map(UsersTold::Counted),
            Op::EndOthers(_) => sessions.end_others(session).await.map(UsersTold::EndedSome),
            Op::EndAll(_) => sessions.end_all().await.map(UsersTold::EndedSome),
            _ => {
                let handle = handle_of(target.as_ref().map_or("", SmolStr::as_str));
                sessions.end(&handle).await.map(UsersTold::Ended)
            }
        };
        let told = told.map_err(|error| Failure::from(&error));
        let mut scene = scene.borrow_mut();
        let now = scene.tick();
        scene.say(|| format!("  {told:?}"));
        if let Some(Step::Users { answered, result, .. }) = scene.steps[at].last_mut() {
            *answered = Some(now);
            *result = Some(told.clone());
        }
        told.map(drop)
    }
}

/// What a request has got from `sessions_of`.
#[derive(Default)]
struct OfUsers {
    /// And of whom.
    begun: Option<(usize, Login)>,
    listed: Vec<SmolStr>,
    /// The id of its own record.
    own: Option<SmolStr>,
}

/// Notes what a commit, save or reload came to.
fn note(
    scene: &SharedScene,
    at: usize,
    result: Result<Option<sessile::SessionGuard>, SessionError>,
    session: &Session,
    config: &SessionConfig,
) -> Result<(Option<CookieSeen>, Option<SmolStr>), Failure> {
    let mut scene = scene.borrow_mut();
    let contents = Contents::seen(session, scene.clock.now());
    let now = scene.tick();
    let result = match result {
        Ok(guard) => {
            let cookie = match guard.map(|guard| CookieSeen::of(guard, config)).transpose() {
                Ok(cookie) => cookie,
                Err(what) => {
                    scene.offence.get_or_insert(Violation::new("cookie malformed", what));
                    None
                }
            };
            let is_new = session.is_new();
            // Asking a session that has no id for one would give it one.
            let stored = matches!(cookie, Some(CookieSeen::Set(_))) || !is_new;
            let id = stored.then(|| SmolStr::from(session.id().as_str()));
            Ok(After { cookie, is_new, id, contents: contents.clone() })
        }
        Err(error) => Err(Failure::from(&error)),
    };
    scene.say(|| match &result {
        Ok(after) => format!(
            "  ok: cookie {:?}, id {:?}, new {}, {}",
            after.cookie,
            after.id,
            after.is_new,
            show(&after.contents)
        ),
        Err(failure) => format!("  error {failure:?}, {}", show(&contents)),
    });
    let told = result.as_ref().map(|after| (after.cookie.clone(), after.id.clone()));
    let told = told.map_err(|failure| *failure);
    if let Some(Step::Store { answered, result: noted, contents: left, .. }) = scene.steps[at].last_mut() {
        *answered = Some(now);
        *noted = Some(result);
        *left = Some(contents);
    }
    told
}

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).expect("values of programs are JSON")
}

/// A call that asks no store. `now` is in milliseconds since 1970.
fn call(session: &Session, op: &Op, of_users: &mut OfUsers, now: u64) -> Told {
    let hours = |hours| Duration::from_secs(3600 * hours);
    let text = |raw: Box<RawValue>| SmolStr::from(raw.get());
    let texts = |raws: Vec<Box<RawValue>>| Told::Messages(raws.into_iter().map(text).collect());
    let told = match op {
        Op::Get(key) => session.get::<Box<RawValue>>(key).map(|value| Told::Value(value.map(text))),
        Op::Insert(key, value) => session.insert(key, raw(value)).map(|()| Told::Nothing),
        Op::Remove(key) => session.remove::<Box<RawValue>>(key).map(|value| Told::Value(value.map(text))),
        Op::Update(key, Update::Modify) => {
            let left = session.modify::<u64, _>(key, |value| *value += 1);
            left.map(|left| Told::Value(Some(SmolStr::from(left.to_string()))))
        }
        Op::Update(key, update) => {
            let update = *update;
            let left = session.update::<u64, _>(key, move |value| update.apply(value));
            left.map(|left| Told::Value(left.map(|left| SmolStr::from(left.to_string()))))
        }
        Op::Flash(kind, message) => session.flash(kind, raw(message)).map(|()| Told::Nothing),
        Op::Take(kind) => session.take_flash::<Box<RawValue>>(kind).map(texts),
        Op::Peek(kind) => session.peek_flash::<Box<RawValue>>(kind).map(texts),
        Op::TakeAll => {
            let mut all = std::collections::BTreeMap::<SmolStr, Vec<SmolStr>>::new();
            for (kind, message) in session.take_all_flash() {
                all.entry(kind.into()).or_default().push(message.to_string().into());
            }
            Ok(Told::All(all))
        }
        Op::Id => Ok(Told::Id(session.id().as_str().into())),
        Op::Clear => nothing(|| session.clear()),
        Op::Regenerate => nothing(|| session.regenerate()),
        Op::Cycle => nothing(|| session.cycle_id()),
        Op::Destroy => nothing(|| session.destroy()),
        Op::Touch => nothing(|| session.touch()),
        Op::MaxAge(age) => nothing(|| session.set_max_age(age.map(hours))),
        Op::LogIn { user, begun, tag } => {
            let login = begun.then(|| of_users.begun.take_if(|(of, _)| of == user).map(|(_, login)| login));
            log_in(session, *user, login, tag)
        }
        Op::Confirm => {
            session.confirm();
            Ok(Told::At(now))
        }
        Op::Label => nothing(|| session.set_device_label("a device")),
        Op::Impersonate(user, tag) => {
            session.impersonate(USERS[*user]).and_then(|()| {
                if session.is_impersonated() {
                    session.insert("act", raw(tag)).map(|()| Told::Nothing)
                } else {
                    // Nobody acts as oneself.
                    Ok(Told::Value(None))
                }
            })
        }
        Op::StopImpersonating => {
            if session.is_impersonated() {
                session.stop_impersonating();
                session.remove::<Box<RawValue>>("act").map(|_| Told::Nothing)
            } else {
                nothing(|| session.stop_impersonating())
            }
        }
        // These ask the store.
        _ => Ok(Told::Nothing),
    };
    told.unwrap_or_else(|error| Told::Failed(Failure::from(&error)))
}

/// Logs in, and notes by a tag which login the session is of, and by a key whose data is in it. `begun` is
/// there where a login is to be made that was begun before.
fn log_in(
    session: &Session,
    user: usize,
    begun: Option<Option<Login>>,
    tag: &SmolStr,
) -> Result<Told, SessionError> {
    match begun {
        None => session.log_in(USERS[user])?,
        Some(Some(login)) => session.log_in_with(login)?,
        // Nothing was begun.
        Some(None) => return Ok(Told::Nothing),
    }
    session.insert("login", raw(tag))?;
    session.insert(&format!("of-{}", USERS[user]), 1)?;
    Ok(Told::Nothing)
}

fn nothing(work: impl FnOnce()) -> Result<Told, SessionError> {
    work();
    Ok(Told::Nothing)
}

/// A session's contents on one line.
pub(crate) fn show(contents: &Contents) -> String {
    let values: Vec<_> = contents.values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let mut text = format!("{{{}}}", values.join(" "));
    for (kind, messages) in &contents.flash {
        text.push_str(&format!(" {kind}{messages:?}"));
    }
    if let Some(user) = contents.user {
        text.push_str(if contents.acted { " as " } else { " of " });
        text.push_str(user);
    }
    if let Some(max_age) = contents.max_age {
        text.push_str(&format!(" {}h", max_age / 3_600_000));
    }
    text
}
