//! One request: what a handler does with its session, step by step, and what it was told.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use serde_json::value::RawValue;
use sessile::{Session, SessionConfig, SessionError};
use smol_str::SmolStr;

use crate::history::{
    After, Contents, CookieSeen, Failure, LoadedSession, Sent, Signed, Step, Told, Violation,
};
use crate::program::{Op, Planted, Request, UNKNOWN_ID, Update, seeded_id};

/// What the requests of one run share.
#[derive(Debug)]
pub(crate) struct Scene {
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

    /// The call that is carried out now is the first of a request's step: the step might as well have begun now.
    pub(crate) fn asks_now(&mut self, at: usize) {
        let now = self.tick();
        let (steps, called) = (self.steps[at].len(), &mut self.called[at]);
        if *called == steps {
            return;
        }
        *called = steps;
        if let Some(Step::Load { asked, answered: None, .. } | Step::Store { asked, answered: None, .. }) =
            self.steps[at].last_mut()
        {
            *asked = now;
        }
    }

    pub(crate) fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
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
    let answer = loaded
        .as_ref()
        .ok()
        .map(|session| LoadedSession { origin: session.origin(), contents: Contents::seen(session) });
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
    let guard = handle(&scene, &request, at, &session, &config).await;
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

/// The handler. Returns what its guard does to the cookie, unless it failed.
async fn handle(
    scene: &SharedScene,
    request: &Request,
    at: usize,
    session: &Session,
    config: &SessionConfig,
) -> Option<CookieSeen> {
    let mut cookie = None;
    for op in &request.ops {
        if !op.is_async() {
            let told = call(session, op);
            let mut scene = scene.borrow_mut();
            scene.say(|| format!("{op} -> {told:?}"));
            let failed = matches!(told, Told::Failed(_));
            scene.steps[at].push(Step::Local { op: op.clone(), told });
            if failed && request.stop_on_error {
                return None;
            }
            continue;
        }
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
        let result = note(scene, at, result, session, config);
        match result {
            Ok(Some(seen)) => cookie = Some(seen),
            Ok(None) => {}
            Err(_) => {
                cookie = None;
                if request.stop_on_error {
                    return None;
                }
            }
        }
    }
    cookie
}

/// Notes what a commit, save or reload came to.
fn note(
    scene: &SharedScene,
    at: usize,
    result: Result<Option<sessile::SessionGuard>, SessionError>,
    session: &Session,
    config: &SessionConfig,
) -> Result<Option<CookieSeen>, Failure> {
    let contents = Contents::seen(session);
    let mut scene = scene.borrow_mut();
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
    let told = result.as_ref().map(|after| after.cookie.clone()).map_err(|failure| *failure);
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

/// A call that asks no store.
fn call(session: &Session, op: &Op) -> Told {
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
        Op::Save | Op::Reload | Op::Commit => nothing(|| {}),
    };
    told.unwrap_or_else(|error| Told::Failed(Failure::from(&error)))
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
    if let Some(max_age) = contents.max_age {
        text.push_str(&format!(" {}h", max_age / 3_600_000));
    }
    text
}
