//! What the program is told of sessions.

use std::sync::{Arc, Mutex};

use sessile::testing::{Op, Probe, TestClock, Visitor};
use sessile::{
    AtLimit, EndReason, MemoryStore, RefusalReason, SessionConfig, SessionConfigBuilder, SessionError,
    SessionEventKind as Kind, SessionHandle,
};

use crate::{HOUR, SECRET, builder, log_in};

/// What was told of one thing that has happened.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    kind: Kind,
    handle: Option<SessionHandle>,
    old_handle: Option<SessionHandle>,
    user: Option<String>,
}

/// What was told, in its order.
#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Told>>>);

impl Journal {
    fn kept_by(&self, builder: SessionConfigBuilder) -> SessionConfigBuilder {
        let journal = self.clone();
        builder.on_event(move |event| {
            journal.0.lock().unwrap().push(Told {
                kind: event.kind(),
                handle: event.handle(),
                old_handle: event.old_handle(),
                user: event.user().map(str::to_owned),
            });
        })
    }

    /// What was told since the last call.
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn kinds(&self) -> Vec<Kind> {
        self.take().iter().map(|told| told.kind).collect()
    }
}

const fn ended(reason: EndReason, sessions: usize) -> Kind {
    Kind::Ended { reason, sessions }
}

#[tokio::test]
async fn a_life_is_told_step_by_step() {
    let journal = Journal::default();
    let config = journal.kept_by(builder(&TestClock::new())).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    visitor.commit(&session).await.unwrap();
    assert_eq!(journal.take(), [], "nothing was stored");

    session.insert("cart", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    let guest = session.handle();
    let told = |kind, handle, old_handle| Told { kind, handle, old_handle, user: None };
    assert_eq!(journal.take(), [told(Kind::Created, Some(guest), None)]);

    // Reads and plain writes are no events.
    let session = visitor.open().await.unwrap();
    session.insert("cart", 2).unwrap();
    visitor.commit(&session).await.unwrap();
    assert_eq!(journal.take(), []);

    session.log_in("ada").unwrap();
    visitor.commit(&session).await.unwrap();
    let logged_in = session.handle();
    let steps = journal.take();
    let user = steps[0].user.clone().expect("the user's hash");
    assert!(!user.contains("ada"));
    let told = |kind, handle, old_handle| Told { kind, handle, old_handle, user: Some(user.clone()) };
    assert_eq!(
        steps,
        [told(Kind::IdChanged, Some(logged_in), Some(guest)), told(Kind::LoggedIn, Some(logged_in), None),]
    );

    session.cycle_id();
    visitor.commit(&session).await.unwrap();
    let cycled = session.handle();
    assert_eq!(journal.take(), [told(Kind::IdChanged, Some(cycled), Some(logged_in))]);

    // Another user in the same browser: what the first one had ends.
    session.log_in("bob").unwrap();
    visitor.commit(&session).await.unwrap();
    let bobs = session.handle();
    let steps = journal.take();
    assert_eq!(steps[0], told(ended(EndReason::Regenerated, 1), Some(cycled), None));
    assert_eq!(steps[1..].iter().map(|step| step.kind).collect::<Vec<_>>(), [Kind::Created, Kind::LoggedIn]);
    assert_ne!(steps[1].user, Some(user));

    session.log_out();
    visitor.commit(&session).await.unwrap();
    let bob = steps[1].user.clone();
    let end = Told { kind: ended(EndReason::Destroyed, 1), handle: Some(bobs), old_handle: None, user: bob };
    assert_eq!(journal.take(), [end]);
}

#[tokio::test]
async fn what_begins_anew_is_told_as_an_end_and_a_beginning() {
    let journal = Journal::default();
    let config = journal.kept_by(builder(&TestClock::new())).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("n", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    journal.take();
    session.regenerate();
    visitor.commit(&session).await.unwrap();
    assert_eq!(journal.kinds(), [ended(EndReason::Regenerated, 1), Kind::Created]);
    session.destroy();
    session.insert("n", 2).unwrap();
    visitor.commit(&session).await.unwrap();
    assert_eq!(journal.kinds(), [ended(EndReason::Destroyed, 1), Kind::Created]);
    // A session that was never stored does not end.
    let session = Visitor::new(&config).open().await.unwrap();
    session.regenerate();
    drop(session.commit().await.unwrap());
    assert_eq!(journal.kinds(), [Kind::Created]);
}

#[tokio::test]
async fn who_ends_sessions_of_a_user_is_told_how_many() {
    let journal = Journal::default();
    let options = builder(&TestClock::new()).per_user(3, AtLimit::EndOldest);
    let config = journal.kept_by(options).build().unwrap();
    let mut visitors = Vec::new();
    for _ in 0..3 {
        visitors.push(log_in(&config, "ada").await.unwrap());
    }
    journal.take();
    let fourth = log_in(&config, "ada").await.unwrap();
    let mut kinds = journal.kinds();
    kinds.sort_by_key(|kind| kind.name());
    assert_eq!(kinds, [Kind::Created, ended(EndReason::Limit, 1), Kind::LoggedIn]);
    let handle = visitors[1].open().await.unwrap().handle();
    assert!(config.sessions_of("ada").end(&handle).await.unwrap());
    let told = journal.take();
    assert_eq!((told[0].kind, told[0].handle), (ended(EndReason::Listed, 1), Some(handle)));
    let session = fourth.open().await.unwrap();
    assert_eq!(config.sessions_of("ada").end_others(&session).await.unwrap(), 1);
    assert_eq!(journal.kinds(), [ended(EndReason::Listed, 1)]);
    log_in(&config, "ada").await.unwrap();
    journal.take();
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 2);
    assert_eq!(journal.kinds(), [ended(EndReason::Listed, 2)]);
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 0);
    assert_eq!(journal.kinds(), []);
}

#[tokio::test]
async fn a_refused_cookie_is_told_with_its_reason() {
    let (journal, clock) = (Journal::default(), TestClock::new());
    let store = Arc::new(Probe::new(MemoryStore::builder().clock(clock.clone()).build()));
    let options = SessionConfig::builder(SECRET).store(store.clone()).clock(clock.clone());
    let options = options.save_uninitialized(false).absolute_timeout(HOUR).max_age(10 * HOUR);
    let config = journal.kept_by(options).build().unwrap();
    let refused = async |visitor: &Visitor, handle, reason| {
        let opened = visitor.open().await;
        assert_eq!(opened.is_err(), reason == RefusalReason::Failed);
        let kind = Kind::Refused(reason);
        assert_eq!(journal.take(), [Told { kind, handle, old_handle: None, user: None }]);
    };
    let forger = SessionConfig::new("another secret of at least 32 bytes for tests").unwrap();
    let visitor = log_in(&config, "ada").await.unwrap();
    let handle = Some(visitor.open().await.unwrap().handle());
    journal.take();

    let headers = Visitor::with_id(&forger, &visitor.id().unwrap()).headers();
    drop(config.session_from_headers(&headers).await.unwrap());
    let kind = Kind::Refused(RefusalReason::BadSignature);
    assert_eq!(journal.take(), [Told { kind, handle: None, old_handle: None, user: None }]);

    store.fail(Op::Get, 0);
    refused(&visitor, handle, RefusalReason::Failed).await;
    store.corrupt(0);
    refused(&visitor, handle, RefusalReason::Undecodable).await;
    clock.advance(2 * HOUR);
    refused(&visitor, handle, RefusalReason::Over).await;
    clock.advance(20 * HOUR);
    refused(&visitor, handle, RefusalReason::Unknown).await;
    // A request without a cookie is refused nothing.
    drop(Visitor::new(&config).open().await.unwrap());
    assert_eq!(journal.take(), []);
}

#[tokio::test]
async fn a_refused_commit_is_told_with_its_reason() {
    let (journal, clock) = (Journal::default(), TestClock::new());
    let store = Arc::new(Probe::new(MemoryStore::builder().clock(clock.clone()).build()));
    let options = SessionConfig::builder(SECRET).store(store.clone()).clock(clock.clone());
    let options = options.save_uninitialized(false).per_user(1, AtLimit::Refuse);
    let config = journal.kept_by(options).build().unwrap();
    let visitor = log_in(&config, "ada").await.unwrap();
    journal.take();

    assert!(matches!(log_in(&config, "ada").await, Err(SessionError::TooManySessions)));
    assert_eq!(journal.kinds(), [Kind::Refused(RefusalReason::TooManySessions)]);

    let session = visitor.open().await.unwrap();
    let (handle, user) = (session.handle(), session.insert("n", 1));
    user.unwrap();
    store.fail(Op::Replace, 0);
    assert!(matches!(session.commit().await, Err(SessionError::Store(_))));
    let told = journal.take();
    assert_eq!((told[0].kind, told[0].handle), (Kind::Refused(RefusalReason::Failed), Some(handle)));
    assert!(told[0].user.is_some());

    config.sessions_of("ada").end_all().await.unwrap();
    journal.take();
    assert!(matches!(session.commit().await, Err(SessionError::Gone)));
    assert_eq!(journal.kinds(), [Kind::Refused(RefusalReason::Gone)]);
}

#[tokio::test]
async fn a_write_that_was_repeated_says_so() {
    let journal = Journal::default();
    let config = journal.kept_by(builder(&TestClock::new())).build().unwrap();
    let visitor = log_in(&config, "ada").await.unwrap();
    let (one, two) = (visitor.open().await.unwrap(), visitor.open().await.unwrap());
    one.insert("one", 1).unwrap();
    two.insert("two", 2).unwrap();
    drop(one.commit().await.unwrap());
    journal.take();
    drop(two.commit().await.unwrap());
    assert_eq!(journal.kinds(), [Kind::Conflict { retries: 1 }]);
}

/// The program's function may use other sessions: no lock of the session is held.
#[tokio::test]
async fn the_function_may_look_at_the_session_itself() {
    let seen = Arc::new(Mutex::new(None::<sessile::Session>));
    let inside = seen.clone();
    let config = builder(&TestClock::new())
        .on_event(move |_| {
            if let Some(session) = inside.lock().unwrap().as_ref() {
                session.insert("seen", true).unwrap();
            }
        })
        .build()
        .unwrap();
    let session = Visitor::new(&config).open().await.unwrap();
    *seen.lock().unwrap() = Some(session.clone());
    session.insert("n", 1).unwrap();
    drop(session.commit().await.unwrap());
    assert_eq!(session.get::<bool>("seen").unwrap(), Some(true));
}

#[test]
fn names_are_short_and_distinct() {
    let kinds = [
        (Kind::Created, "created", None),
        (Kind::LoggedIn, "logged_in", None),
        (Kind::IdChanged, "id_changed", None),
        (Kind::DeviceBound, "device_bound", None),
        (ended(EndReason::Listed, 2), "ended", Some("listed")),
        (Kind::Refused(RefusalReason::BadSignature), "refused", Some("bad_signature")),
        (Kind::Conflict { retries: 3 }, "conflict", None),
    ];
    for (kind, name, reason) in kinds {
        assert_eq!((kind.name(), kind.reason()), (name, reason));
    }
}

/// Notes the name and target of each span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Spans {
    fn on_new_span(
        &self,
        attributes: &tracing::span::Attributes<'_>,
        _: &tracing::span::Id,
        _: tracing_subscriber::layer::Context<'_, S>,
    ) {
        let metadata = attributes.metadata();
        let span = format!("{} {} {}", metadata.level(), metadata.target(), metadata.name());
        self.0.lock().unwrap().push(span);
    }
}

/// A store that is not in memory, so that it has to be waited for.
fn slow_store() -> Arc<Probe<MemoryStore>> {
    Arc::new(Probe::new(MemoryStore::new()))
}

#[tokio::test]
async fn a_load_and_a_commit_that_wait_for_the_store_have_spans() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let spans = Spans::default();
    // With one subscriber alone, tracing would ask that of another test's thread, which has none, whether a span
    // is wanted, and keep the answer for all threads.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
    let config = SessionConfig::builder(SECRET).store(slow_store()).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("n", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    drop(visitor.open().await.unwrap());
    let mut seen = spans.0.lock().unwrap().clone();
    seen.dedup();
    let (load, commit) =
        ("DEBUG sessile::config::observed session load", "DEBUG sessile::config::observed session commit");
    assert_eq!(
        seen.first().map(String::as_str),
        Some(commit),
        "{seen:?}: nothing is looked up without a cookie"
    );
    assert_eq!(seen[1..], [load]);
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn counters_and_times_are_exported() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let exported = recorder.handle();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let config = SessionConfig::builder(SECRET).store(slow_store()).build().unwrap();
    for _ in 0..3 {
        log_in(&config, "ada").await.unwrap();
    }
    config.sessions_of("ada").end_all().await.unwrap();
    let forged = SessionConfig::new("another secret of at least 32 bytes for tests").unwrap();
    let headers = Visitor::with_id(&forged, &sessile::SessionId::random()).headers();
    drop(config.session_from_headers(&headers).await.unwrap());
    let text = exported.render();
    for line in [
        r#"sessile_events_total{event="logged_in",reason="none"} 3"#,
        r#"sessile_events_total{event="ended",reason="listed"} 3"#,
        r#"sessile_events_total{event="refused",reason="bad_signature"} 1"#,
        r#"sessile_store_seconds_count{call="commit"} 3"#,
    ] {
        assert!(text.contains(line), "{line} is missing:\n{text}");
    }
}
