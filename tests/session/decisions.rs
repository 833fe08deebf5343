//! The commit table: for each kind of session, the calls the store sees and what becomes of the cookie.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use sessile::testing::{Answer, Op, Probe, Visitor};
use sessile::{MemoryStore, Session, SessionConfig, SessionConfigBuilder, SessionError};

const SECRET: &str = "a secret of at least 32 bytes, for tests";
const OLD_SECRET: &str = "an old secret of at least 32 bytes, for tests";
const OPS: [Op; 7] = [Op::Get, Op::Set, Op::Destroy, Op::Touch, Op::Create, Op::Replace, Op::DestroyIf];

type Options = fn(SessionConfigBuilder) -> SessionConfigBuilder;
type Act = fn(&Session);

/// Who comes along.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// Without a cookie.
    Stranger,
    /// With a cookie nobody signed.
    Forger,
    /// With a stored session.
    User,
    /// With a stored session, under the old secret.
    OldUser,
}
use Who::{Forger, OldUser, Stranger, User};

struct Row {
    name: &'static str,
    who: Who,
    options: Options,
    act: Act,
    calls: &'static [Op],
    answer: Answer,
}

fn plain(builder: SessionConfigBuilder) -> SessionConfigBuilder {
    builder
}

fn lazy(builder: SessionConfigBuilder) -> SessionConfigBuilder {
    builder.save_uninitialized(false)
}

fn no_max_age(builder: SessionConfigBuilder) -> SessionConfigBuilder {
    builder.browser_session()
}

fn nothing(_: &Session) {}

fn write(session: &Session) {
    session.insert("n", 2).unwrap();
}

async fn run(row: &Row) {
    let Row { name, who, options, act, calls, answer } = row;
    let probe = Probe::new(MemoryStore::new());
    let build = |secrets: &[&str]| {
        let builder =
            SessionConfig::builder(secrets).store(probe.clone()).touch_after(Duration::from_secs(3600));
        options(builder).build().unwrap()
    };
    let config = build(&[SECRET, OLD_SECRET]);
    let mut visitor = Visitor::new(&config);
    if matches!(who, User | OldUser) {
        let born = if *who == OldUser { build(&[OLD_SECRET]) } else { build(&[SECRET]) };
        let mut parent = Visitor::new(&born);
        let session = parent.open().await.unwrap();
        session.insert("n", 1).unwrap();
        parent.commit(&session).await.unwrap();
        visitor = parent;
    }
    let mut headers = visitor.headers();
    if *who == Forger {
        headers.insert("cookie", HeaderValue::from_static("connect.sid=forged"));
    }
    probe.reset();
    let session = config.session_from_headers(&headers).await.unwrap();
    act(&session);
    let got = visitor.receive(session.commit().await.unwrap_or_else(|error| panic!("{name}: {error}")));
    assert_eq!(got, *answer, "{name}: the cookie");
    let mut expected: Vec<Op> = if matches!(who, User | OldUser) { vec![Op::Get] } else { vec![] };
    expected.extend(*calls);
    for op in OPS {
        let wanted = expected.iter().filter(|wanted| **wanted == op).count() as u64;
        assert_eq!(probe.calls(op), wanted, "{name}: calls of {op:?}");
    }
    // Nothing new: nothing happens, and the guard says the same.
    let total = probe.total();
    let again = visitor.receive(session.commit().await.unwrap());
    assert_eq!((again, probe.total()), (got, total), "{name}: a second commit");
}

#[tokio::test]
async fn the_table() {
    const NONE: &[Op] = &[];
    let rolling: Options = |builder| builder.rolling(true);
    let resave: Options = |builder| builder.resave(true);
    let both: Options = |builder| builder.rolling(true).resave(true);
    let row = |name, who, options, act, calls, answer| Row { name, who, options, act, calls, answer };
    let rows = [
        // destroyed
        row("destroyed, stored", User, plain, |s| s.destroy(), &[Op::Destroy], Answer::Expired),
        row(
            "destroyed, written before",
            User,
            plain,
            |s| {
                write(s);
                s.destroy()
            },
            &[Op::Destroy],
            Answer::Expired,
        ),
        row(
            "destroyed, cycled before",
            User,
            plain,
            |s| {
                s.cycle_id();
                s.destroy()
            },
            &[Op::Destroy],
            Answer::Expired,
        ),
        row("destroyed, a stray cookie", Forger, plain, |s| s.destroy(), NONE, Answer::Expired),
        row("destroyed, no cookie", Stranger, plain, |s| s.destroy(), NONE, Answer::NoCookie),
        // regenerated
        row("regenerated", User, lazy, |s| s.regenerate(), &[Op::Create, Op::Destroy], Answer::Set),
        row("regenerated, new", Stranger, lazy, |s| s.regenerate(), &[Op::Create], Answer::Set),
        // cycled
        row("cycled", User, lazy, |s| s.cycle_id(), &[Op::Create, Op::DestroyIf], Answer::Set),
        row("cycled, new", Stranger, lazy, |s| s.cycle_id(), &[Op::Create], Answer::Set),
        // new
        row("new, modified", Stranger, lazy, write, &[Op::Create], Answer::Set),
        row("new, flash only", Stranger, lazy, |s| s.flash("a", 1).unwrap(), &[Op::Create], Answer::Set),
        row("new, untouched, saving", Stranger, plain, nothing, &[Op::Create], Answer::Set),
        row("new, untouched", Stranger, lazy, nothing, NONE, Answer::NoCookie),
        row("new, forged, untouched", Forger, lazy, nothing, NONE, Answer::NoCookie),
        row("new, touch()", Stranger, lazy, |s| s.touch(), NONE, Answer::NoCookie),
        row("new, rolling and resave", Stranger, both_lazy, nothing, NONE, Answer::NoCookie),
        // existing, modified
        row("modified, max-age", User, plain, write, &[Op::Replace], Answer::Set),
        row("modified, no max-age", User, no_max_age, write, &[Op::Replace], Answer::NoCookie),
        row(
            "modified, no max-age, rolling",
            User,
            |b| b.browser_session().rolling(true),
            write,
            &[Op::Replace],
            Answer::Set,
        ),
        row(
            "max-age given",
            User,
            no_max_age,
            |s| s.set_max_age(Some(Duration::from_secs(9))),
            &[Op::Replace],
            Answer::Set,
        ),
        row("max-age taken", User, plain, |s| s.set_max_age(None), &[Op::Replace], Answer::Set),
        row(
            "max-age as before",
            User,
            plain,
            |s| s.set_max_age(Some(Duration::from_secs(86_400))),
            NONE,
            Answer::NoCookie,
        ),
        row("equal value", User, plain, |s| s.insert("n", 1).unwrap(), NONE, Answer::NoCookie),
        row(
            "written and put back",
            User,
            plain,
            |s| {
                write(s);
                s.insert("n", 1).unwrap()
            },
            NONE,
            Answer::NoCookie,
        ),
        row("cleared", User, plain, |s| s.clear(), &[Op::Replace], Answer::Set),
        // existing, untouched
        row("resave", User, resave, nothing, &[Op::Replace], Answer::NoCookie),
        row("resave, rolling", User, both, nothing, &[Op::Replace], Answer::Set),
        row("rolling", User, rolling, nothing, &[Op::Touch], Answer::Set),
        row("touch()", User, plain, |s| s.touch(), &[Op::Touch], Answer::NoCookie),
        row("untouched", User, plain, nothing, NONE, Answer::NoCookie),
        // an old secret
        row("old secret", OldUser, plain, nothing, &[Op::Touch], Answer::Set),
        row("old secret, no max-age, modified", OldUser, no_max_age, write, &[Op::Replace], Answer::Set),
        row("old secret, resave", OldUser, resave, nothing, &[Op::Replace], Answer::Set),
    ];
    for row in &rows {
        run(row).await;
    }
}

fn both_lazy(builder: SessionConfigBuilder) -> SessionConfigBuilder {
    builder.rolling(true).resave(true).save_uninitialized(false)
}

#[tokio::test]
async fn a_secure_cookie_over_plain_http_stores_nothing() {
    let probe = Probe::new(MemoryStore::new());
    let config =
        SessionConfig::builder(SECRET).store(probe.clone()).secure(true).trust_proxy(true).build().unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    for act in [write as Act, nothing, |session| session.regenerate(), |session| session.cycle_id()] {
        let session = config.session_from_headers(&headers).await.unwrap();
        act(&session);
        let guard = session.commit().await.unwrap();
        assert_eq!(Visitor::new(&config).receive(guard), Answer::NoCookie);
    }
    assert_eq!(probe.total(), 0);
}

#[tokio::test]
async fn save_writes_now_and_leaves_the_cookie_to_commit() {
    let probe = Probe::new(MemoryStore::new());
    let config =
        SessionConfig::builder(SECRET).store(probe.clone()).save_uninitialized(false).build().unwrap();
    let mut visitor = Visitor::new(&config);

    let session = visitor.open().await.unwrap();
    session.save().await.unwrap();
    assert_eq!(probe.calls(Op::Create), 1, "an unchanged new session is stored");
    assert_eq!(visitor.commit(&session).await.unwrap(), Answer::Set);
    assert_eq!(probe.total(), 1, "the commit had nothing left to write");

    let session = visitor.open().await.unwrap();
    session.save().await.unwrap();
    assert_eq!(probe.calls(Op::Replace), 1, "an unchanged stored session is written");
    session.insert("n", 1).unwrap();
    session.save().await.unwrap();
    session.insert("m", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    assert_eq!(probe.calls(Op::Replace), 3);
    assert_eq!(visitor.open().await.unwrap().keys(), ["n", "m"]);

    session.destroy();
    assert!(matches!(session.save().await, Err(SessionError::Destroyed)));
}

#[tokio::test]
async fn what_is_done_while_a_commit_is_under_way_is_left_to_the_next() {
    let probe = Probe::new(MemoryStore::new());
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("user", "ada").unwrap();
    visitor.commit(&session).await.unwrap();

    let session = visitor.open().await.unwrap();
    session.update("count", |count: Option<u64>| Some(count.unwrap_or(0) + 1)).unwrap();
    session.insert("n", 1).unwrap();
    let hold = probe.hold(Op::Replace);
    let first = tokio::spawn({
        let session = session.clone();
        async move { session.commit().await.map(drop) }
    });
    hold.reached().await;
    assert_eq!(session.get::<u64>("count").unwrap(), Some(1), "reads see what is being written");
    session.update("count", |count: Option<u64>| Some(count.unwrap_or(0) + 1)).unwrap();
    session.insert("n", 2).unwrap();
    session.flash("info", "later").unwrap();
    drop(hold);
    first.await.unwrap().unwrap();
    assert!(session.is_modified());
    assert_eq!(visitor.open().await.unwrap().get::<u64>("count").unwrap(), Some(1));
    visitor.commit(&session).await.unwrap();
    let after = visitor.open().await.unwrap();
    assert_eq!((after.get::<u64>("count").unwrap(), after.get::<u64>("n").unwrap()), (Some(2), Some(2)));
    assert_eq!(after.peek_flash::<String>("info").unwrap(), ["later"]);
}

#[tokio::test]
async fn a_session_destroyed_while_its_commit_is_under_way_ends_with_the_next() {
    for act in [|session: &Session| session.destroy(), |session: &Session| session.cycle_id()] {
        let probe = Probe::new(MemoryStore::new());
        let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
        let session = config.session_from_headers(&HeaderMap::new()).await.unwrap();
        session.insert("n", 1).unwrap();
        let first_id = session.id();
        let hold = probe.hold(Op::Create);
        let first = tokio::spawn({
            let session = session.clone();
            async move { session.commit().await.map(drop) }
        });
        hold.reached().await;
        act(&session);
        drop(hold);
        first.await.unwrap().unwrap();
        assert_eq!(probe.inner().len(), 1);
        let _ = session.commit().await.unwrap();
        assert!(!probe.inner().all_ids().contains(&first_id), "the first id lives on");
    }
}

#[tokio::test]
async fn a_taken_id_is_replaced_by_a_fresh_one() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let minted = AtomicUsize::new(0);
    let config = SessionConfig::builder(SECRET)
        .genid(move || {
            // Every third id is a new one.
            let n = minted.fetch_add(1, Ordering::Relaxed) / 3;
            sessile::SessionId::new(format!("id-{n}")).unwrap()
        })
        .build()
        .unwrap();
    let mut visitors = Vec::new();
    for n in 0..4_u64 {
        let mut visitor = Visitor::new(&config);
        let session = visitor.open().await.unwrap();
        session.insert("n", n).unwrap();
        visitor.commit(&session).await.unwrap();
        visitors.push(visitor);
    }
    for (n, visitor) in visitors.iter().enumerate() {
        let session = visitor.open().await.unwrap();
        assert_eq!(session.get::<usize>("n").unwrap(), Some(n), "two visitors share a session");
    }
}

#[tokio::test]
async fn a_generator_that_repeats_itself_is_an_error_not_an_endless_loop() {
    let config =
        SessionConfig::builder(SECRET).genid(|| sessile::SessionId::new("same").unwrap()).build().unwrap();
    let headers = HeaderMap::new();
    let first = config.session_from_headers(&headers).await.unwrap();
    first.insert("owner", 1).unwrap();
    let _ = first.commit().await.unwrap();
    let second = config.session_from_headers(&headers).await.unwrap();
    assert!(matches!(second.commit().await, Err(SessionError::Conflict)));
}
