//! Checks of a store alone, each for a duty that the documentation of [`SessionStore`] lists.
//!
//! A check panics and says what it found. A check that is marked "atomic stores" passes without a test if the
//! store's `get` returns no version.

use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::id::SessionId;
use crate::record::Record;
use crate::store::version::Version;
use crate::store::{Replaced, SessionStore, Stored};

/// A time to live that outlasts every check.
pub(super) const TTL: Duration = Duration::from_secs(3600);
/// The shortest time to live that every store can represent: some stores count in whole seconds.
const SHORT: Duration = Duration::from_secs(1);
/// How much longer than [`SHORT`] a record may be readable: the rest of a whole second, and time for a busy
/// machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many tasks compete in a race.
const RIVALS: usize = 32;

/// A record with these members beside its `cookie` object.
pub(super) fn record(data: &str) -> Record {
    let cookie = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
    let comma = if data.is_empty() { "" } else { "," };
    Record::from_json(format!(r#"{{"cookie":{cookie}{comma}{data}}}"#)).expect("the kit's own record")
}

async fn read<S: SessionStore>(store: &S, id: &SessionId) -> Option<Stored> {
    store.get(id).await.expect("get answers")
}

async fn text<S: SessionStore>(store: &S, id: &SessionId) -> Option<String> {
    read(store, id).await.map(|stored| stored.record.as_json().to_owned())
}

/// The version that a session passes to `replace` after it has loaded this answer.
fn version(stored: &Stored) -> Version {
    stored.current_version()
}

/// Whether the store says that each of its methods is one atomic step: whether `get` returns a version.
async fn is_atomic<S: SessionStore>(store: &S) -> bool {
    let id = SessionId::random();
    store.set(&id, &record(""), TTL).await.expect("set answers");
    let atomic = read(store, &id).await.expect("what was set is there").version.is_some();
    store.destroy(&id).await.expect("destroy answers");
    atomic
}

/// Waits until the record is absent, and panics if it is readable for too long.
async fn expect_gone<S: SessionStore>(store: &S, id: &SessionId, what: &str) {
    let began = Instant::now();
    while read(store, id).await.is_some() {
        assert!(began.elapsed() < SHORT + PATIENCE, "{what}: the record is readable long after its expiry");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// An absent record is an answer and not an error, for every method; only `set` and `create` make a record.
pub async fn absent_is_no_error<S: SessionStore>(store: S) {
    let id = SessionId::random();
    let expected = Version::of(&record(""));
    assert!(read(&store, &id).await.is_none());
    store.destroy(&id).await.expect("destroying what is not there is no error");
    assert!(!store.touch(&id, TTL).await.expect("touch answers"));
    let replaced = store.replace(&id, &expected, &record(""), TTL).await.expect("replace answers");
    assert!(matches!(replaced, Replaced::Gone), "replace of an absent record: {replaced:?}");
    let destroyed = store.destroy_if(&id, &expected).await.expect("destroy_if answers");
    assert!(matches!(destroyed, Replaced::Gone), "destroy_if of an absent record: {destroyed:?}");
    assert!(read(&store, &id).await.is_none(), "a method other than `set` and `create` made a record");
}

/// `set` overwrites a record, `destroy` removes it, and `expires_in`, if the store returns it, is right.
pub async fn what_is_set_is_read<S: SessionStore>(store: S) {
    let id = SessionId::random();
    for data in [r#""n":1"#, r#""n":2,"m":[]"#, ""] {
        store.set(&id, &record(data), TTL).await.expect("set answers");
        let stored = read(&store, &id).await.expect("what was set is there");
        assert_eq!(stored.record.as_json(), record(data).as_json());
        if let Some(left) = stored.expires_in {
            let range = TTL - Duration::from_secs(10)..=TTL + Duration::from_secs(1);
            assert!(range.contains(&left), "`ttl` was {TTL:?}, but `expires_in` is {left:?}");
        }
    }
    store.destroy(&id).await.expect("destroy answers");
    assert!(read(&store, &id).await.is_none());
}

/// A record is returned byte for byte, and `touch` leaves its data as it is.
pub async fn bytes_survive<S: SessionStore>(store: S) {
    let id = SessionId::random();
    let data = concat!(
        r#""int":9007199254740993,"float":1.0,"huge":1e400,"lone":"\ud800","sep":"#,
        "\"\u{2028}\u{e9}\u{1f600}\"",
        r#","esc":"\"\\\/\u0001\u0000","__proto__":{"a":1},"constructor":null,"":[],"a b":{"z":1,"a":2}"#,
    );
    let record = record(data);
    store.set(&id, &record, TTL).await.expect("set answers");
    assert_eq!(text(&store, &id).await.as_deref(), Some(record.as_json()));
    store.touch(&id, TTL).await.expect("touch answers");
    let after = text(&store, &id).await.expect("still there");
    assert!(after.contains(data), "touch changed the data");
}

/// Two ids are two records, however similar they look.
pub async fn distinct_ids_never_meet<S: SessionStore>(store: S) {
    let seed = SessionId::random();
    let seed = seed.as_str();
    let mut ids: Vec<String> =
        ["a", "A", "é", "e\u{301}", "É", "ß", "ss", "a ", " a", "a.", "a/b", "../a", "a%2Fb"]
            .iter()
            .chain(&[
                "a\\b", "a*", "a?", "[a]", "a:b", "a{b}", "a'b", "a\"b", "a;b", "con", "a_b", "axb", "a%b",
            ])
            .map(|end| format!("{seed}{end}"))
            .collect();
    ids.push(seed.to_owned() + &"x".repeat(256 - seed.len()));
    ids.push(seed.to_owned() + &"x".repeat(255 - seed.len()));
    let ids: Vec<_> = ids.into_iter().map(|id| SessionId::new(id).expect("a legal id")).collect();
    for (n, id) in ids.iter().enumerate() {
        assert!(
            store.create(id, &record(&format!(r#""n":{n}"#)), TTL).await.expect("create answers"),
            "id {n} is taken"
        );
    }
    for (n, id) in ids.iter().enumerate() {
        let expected = record(&format!(r#""n":{n}"#));
        assert_eq!(text(&store, id).await.as_deref(), Some(expected.as_json()), "id {n}");
        store.destroy(id).await.expect("destroy answers");
    }
    for (n, id) in ids.iter().enumerate() {
        assert!(read(&store, id).await.is_none(), "id {n} is still there after `destroy`");
    }
}

/// A record of a megabyte is returned whole.
pub async fn a_large_record_fits<S: SessionStore>(store: S) {
    let id = SessionId::random();
    let record = record(&format!(r#""big":"{}""#, "x".repeat(1 << 20)));
    store.set(&id, &record, TTL).await.expect("set answers");
    assert!(
        text(&store, &id).await.as_deref() == Some(record.as_json()),
        "a record of 1 MiB came back changed"
    );
    store.destroy(&id).await.expect("destroy answers");
}

/// `create` never overwrites a live record, and replaces an expired one.
pub async fn create_is_exclusive<S: SessionStore>(store: S) {
    let id = SessionId::random();
    assert!(store.create(&id, &record(r#""n":1"#), SHORT).await.expect("create answers"));
    assert!(!store.create(&id, &record(r#""n":2"#), TTL).await.expect("create answers"));
    assert_eq!(text(&store, &id).await.as_deref(), Some(record(r#""n":1"#).as_json()));
    expect_gone(&store, &id, "create").await;
    assert!(
        store.create(&id, &record(r#""n":3"#), TTL).await.expect("create answers"),
        "an expired id stays taken"
    );
    assert_eq!(text(&store, &id).await.as_deref(), Some(record(r#""n":3"#).as_json()));
}

/// Of many simultaneous `create`s of one id, exactly one succeeds (atomic stores).
pub async fn one_of_many_creates<S: SessionStore>(store: S) {
    let store = Arc::new(store);
    if !is_atomic(&store).await {
        return;
    }
    let id = SessionId::random();
    let mut rivals = JoinSet::new();
    for n in 0..RIVALS {
        let (store, id) = (store.clone(), id.clone());
        rivals.spawn(async move {
            let won = store.create(&id, &record(&format!(r#""n":{n}"#)), TTL).await.expect("create answers");
            won.then_some(n)
        });
    }
    let winners: Vec<_> = rivals.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{} rivals created one id", winners.len());
    assert_eq!(text(&store, &id).await.as_deref(), Some(record(&format!(r#""n":{}"#, winners[0])).as_json()));
}

/// `replace` writes over the version that it was given, and returns the current record if the store holds
/// another.
pub async fn replace_compares<S: SessionStore>(store: S) {
    let id = SessionId::random();
    store.set(&id, &record(r#""n":1"#), TTL).await.expect("set answers");
    let first = version(&read(&store, &id).await.expect("it is there"));
    let done = store.replace(&id, &first, &record(r#""n":2"#), TTL).await.expect("replace answers");
    let Replaced::Done(second) = done else { panic!("replace of the loaded version: {done:?}") };
    // The version that `replace` returned is good for the next `replace`.
    let done = store.replace(&id, &second, &record(r#""n":3"#), TTL).await.expect("replace answers");
    assert!(matches!(done, Replaced::Done(_)), "replace of the written version: {done:?}");
    let stale = store.replace(&id, &first, &record(r#""n":4"#), TTL).await.expect("replace answers");
    let Replaced::Conflict(current) = stale else { panic!("replace of a stale version: {stale:?}") };
    assert_eq!(current.record.as_json(), record(r#""n":3"#).as_json());
    // The version in a conflict is good for the next attempt.
    let done =
        store.replace(&id, &version(&current), &record(r#""n":5"#), TTL).await.expect("replace answers");
    assert!(matches!(done, Replaced::Done(_)), "replace of the version in a conflict: {done:?}");
    assert_eq!(text(&store, &id).await.as_deref(), Some(record(r#""n":5"#).as_json()));
    store.destroy(&id).await.expect("destroy answers");
    let gone = store.replace(&id, &first, &record(r#""n":6"#), TTL).await.expect("replace answers");
    assert!(matches!(gone, Replaced::Gone), "replace after destroy: {gone:?}");
    assert!(read(&store, &id).await.is_none(), "replace brought a destroyed record back");
}

/// Of many simultaneous `replace`s of one version, exactly one succeeds (atomic stores).
pub async fn one_of_many_replaces<S: SessionStore>(store: S) {
    let store = Arc::new(store);
    if !is_atomic(&store).await {
        return;
    }
    let id = SessionId::random();
    store.set(&id, &record(""), TTL).await.expect("set answers");
    let expected = version(&read(&store, &id).await.expect("it is there"));
    let mut rivals = JoinSet::new();
    for n in 0..RIVALS {
        let (store, id, expected) = (store.clone(), id.clone(), expected.clone());
        rivals.spawn(async move {
            store
                .replace(&id, &expected, &record(&format!(r#""n":{n}"#)), TTL)
                .await
                .expect("replace answers")
        });
    }
    let answers = rivals.join_all().await;
    let won = answers.iter().filter(|answer| matches!(answer, Replaced::Done(_))).count();
    let lost = answers.iter().filter(|answer| matches!(answer, Replaced::Conflict(_))).count();
    assert_eq!((won, lost), (1, RIVALS - 1), "rivals that replaced one version, and that got a conflict");
}

/// `destroy_if` removes the version that it was given, and returns the current record if the store holds
/// another.
pub async fn destroy_if_compares<S: SessionStore>(store: S) {
    let id = SessionId::random();
    store.set(&id, &record(r#""n":1"#), TTL).await.expect("set answers");
    let first = version(&read(&store, &id).await.expect("it is there"));
    store.set(&id, &record(r#""n":2"#), TTL).await.expect("set answers");
    let stale = store.destroy_if(&id, &first).await.expect("destroy_if answers");
    let Replaced::Conflict(current) = stale else { panic!("destroy_if of a stale version: {stale:?}") };
    assert_eq!(current.record.as_json(), record(r#""n":2"#).as_json());
    let done = store.destroy_if(&id, &version(&current)).await.expect("destroy_if answers");
    assert!(matches!(done, Replaced::Done(_)), "destroy_if of the current version: {done:?}");
    assert!(read(&store, &id).await.is_none());
    // A version of the record that was removed is none of the next one under its id.
    assert!(store.create(&id, &record(r#""n":3"#), TTL).await.expect("create answers"));
    let stale = store.destroy_if(&id, &first).await.expect("destroy_if answers");
    assert!(matches!(stale, Replaced::Conflict(_)), "destroy_if of a version that was removed: {stale:?}");
}

/// After a `destroy` no record is left, however a `replace` and a `touch` interleave with it (atomic stores).
pub async fn destroy_beats_replace<S: SessionStore>(store: S) {
    let store = Arc::new(store);
    if !is_atomic(&store).await {
        return;
    }
    for round in 0..50 {
        let id = SessionId::random();
        store.set(&id, &record(""), TTL).await.expect("set answers");
        let expected = version(&read(&store, &id).await.expect("it is there"));
        let mut rivals = JoinSet::new();
        let (writer, at) = (store.clone(), id.clone());
        rivals.spawn(async move { drop(writer.replace(&at, &expected, &record(r#""n":1"#), TTL).await) });
        let (toucher, at) = (store.clone(), id.clone());
        rivals.spawn(async move { drop(toucher.touch(&at, TTL).await) });
        let (destroyer, at) = (store.clone(), id.clone());
        rivals.spawn(async move { destroyer.destroy(&at).await.expect("destroy answers") });
        rivals.join_all().await;
        assert!(read(&store, &id).await.is_none(), "round {round}: a destroyed record came back");
    }
}

/// `touch` extends the expiry and leaves the data as it is.
pub async fn touch_changes_expiry_only<S: SessionStore>(store: S) {
    let id = SessionId::random();
    store.set(&id, &record(r#""n":1"#), SHORT).await.expect("set answers");
    assert!(store.touch(&id, TTL).await.expect("touch answers"));
    tokio::time::sleep(SHORT + Duration::from_millis(500)).await;
    let stored = read(&store, &id).await.expect("touch extended the expiry");
    assert!(stored.record.as_json().contains(r#""n":1"#));
    if let Some(left) = stored.expires_in {
        assert!(left > TTL - Duration::from_secs(20), "after a touch of {TTL:?} only {left:?} are left");
    }
}

/// A record expires after its `ttl`, whichever method set it.
pub async fn every_writer_sets_an_expiry<S: SessionStore>(store: S) {
    let [set, created, replaced, touched] = std::array::from_fn(|_| SessionId::random());
    store.set(&set, &record(""), SHORT).await.expect("set answers");
    assert!(store.create(&created, &record(""), SHORT).await.expect("create answers"));
    store.set(&replaced, &record(""), TTL).await.expect("set answers");
    let expected = version(&read(&store, &replaced).await.expect("it is there"));
    let done =
        store.replace(&replaced, &expected, &record(r#""n":1"#), SHORT).await.expect("replace answers");
    assert!(matches!(done, Replaced::Done(_)));
    store.set(&touched, &record(""), TTL).await.expect("set answers");
    assert!(store.touch(&touched, SHORT).await.expect("touch answers"));
    expect_gone(&store, &set, "set").await;
    expect_gone(&store, &created, "create").await;
    expect_gone(&store, &replaced, "replace").await;
    expect_gone(&store, &touched, "touch").await;
}

/// No method finds or revives an expired record, even if it has not been removed yet.
pub async fn touch_revives_nothing<S: SessionStore>(store: S) {
    let id = SessionId::random();
    store.set(&id, &record(""), SHORT).await.expect("set answers");
    let expected = version(&read(&store, &id).await.expect("it is there"));
    expect_gone(&store, &id, "set").await;
    assert!(!store.touch(&id, TTL).await.expect("touch answers"), "touch found an expired record");
    let replaced = store.replace(&id, &expected, &record(""), TTL).await.expect("replace answers");
    assert!(matches!(replaced, Replaced::Gone), "replace of an expired record: {replaced:?}");
    let destroyed = store.destroy_if(&id, &expected).await.expect("destroy_if answers");
    assert!(matches!(destroyed, Replaced::Gone), "destroy_if of an expired record: {destroyed:?}");
    assert!(read(&store, &id).await.is_none(), "an expired record came back");
}

/// A `replace` that is dropped before it completes leaves the record either as it was or as it was to be.
pub async fn a_dropped_write_is_whole<S: SessionStore>(store: S) {
    let (old, new) = (record(r#""n":1"#), record(&format!(r#""n":2,"pad":"{}""#, "x".repeat(1 << 16))));
    for polls in 0..8 {
        let id = SessionId::random();
        store.set(&id, &old, TTL).await.expect("set answers");
        let expected = version(&read(&store, &id).await.expect("it is there"));
        poll_only(polls, store.replace(&id, &expected, &new, TTL)).await;
        let left = text(&store, &id).await.expect("a dropped replace removed the record");
        assert!(left == old.as_json() || left == new.as_json(), "after {polls} polls the record is neither");
    }
}

/// Polls a future at most this many times and then drops it. Returns `None` if it had not completed.
pub(super) async fn poll_only<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
