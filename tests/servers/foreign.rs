//! What another program has put under a session's id and is no record: the request gets a new session, the
//! bytes stay as they are, and no error shows them.

use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{Origin, Record, Session, SessionError, SessionId, SessionStore, StoreError, Version};

use crate::faults::config;

const MINUTE: Duration = Duration::from_secs(60);

/// Stands in what is planted, where it can, and must stand in no error.
pub(crate) const SECRET: &str = "hunter2";

/// Checks every plant of a table. `plant` puts one in the place of the record under an id; `look` reads what
/// stands there, without its expiry.
pub(crate) async fn check<P>(
    store: impl SessionStore + Clone,
    plants: impl IntoIterator<Item = (&'static str, P)>,
    plant: impl AsyncFn(&SessionId, &P),
    look: impl AsyncFn(&SessionId) -> String,
) {
    for (name, foreign) in plants {
        println!("{name}");
        let id = planted(&store, &plant, &foreign).await;
        let before = look(&id).await;
        every_call(&store, &id).await;
        a_request(&store, &id).await;
        assert_eq!(look(&id).await, before, "{name} was written to");
        for (kind, act) in WRITES {
            let id = SessionId::random();
            store.set(&id, &Record::default(), MINUTE).await.unwrap();
            let session = Visitor::with_id(&config(store.clone()), &id).open().await.unwrap();
            assert_eq!(session.origin(), Origin::Loaded);
            act(&session);
            plant(&id, &foreign).await;
            let before = look(&id).await;
            let answer = session.commit().await;
            if kind == NEW_ID {
                // As for any session that is gone: a new one begins, with nothing of the old one.
                assert!(answer.is_ok(), "{name}, {kind}: {answer:?}");
                assert_ne!(session.id(), id);
            } else {
                assert!(matches!(&answer, Err(SessionError::Gone)), "{name}, {kind}: {answer:?}");
            }
            assert_eq!(look(&id).await, before, "{name} was overwritten by a commit: {kind}");
        }
        // These two write whatever stands there.
        store.set(&id, &Record::default(), MINUTE).await.unwrap();
        assert!(store.get(&id).await.unwrap().is_some());
        let id = planted(&store, &plant, &foreign).await;
        store.destroy(&id).await.unwrap();
        assert!(store.get(&id).await.unwrap().is_none());
    }
}

type Act = fn(&Session);

/// The commits that write to the record that the session was loaded from.
const WRITES: [(&str, Act); 3] = [
    ("a write", |session| session.insert("n", 1).unwrap()),
    ("an update", |session| {
        session.update("n", |n: Option<u64>| Some(n.unwrap_or(0) + 1)).unwrap();
    }),
    (NEW_ID, Session::cycle_id),
];

const NEW_ID: &str = "a new id";

async fn planted<P>(
    store: &impl SessionStore,
    plant: &impl AsyncFn(&SessionId, &P),
    foreign: &P,
) -> SessionId {
    let id = SessionId::random();
    store.set(&id, &Record::default(), MINUTE).await.unwrap();
    plant(&id, foreign).await;
    id
}

async fn every_call(store: &impl SessionStore, id: &SessionId) {
    let (record, expected) = (Record::default(), Version::of(&Record::default()));
    assert!(is_corrupt(&store.get(id).await.unwrap_err()));
    assert!(is_corrupt(&store.replace(id, &expected, &record, MINUTE).await.unwrap_err()));
    assert!(is_corrupt(&store.destroy_if(id, &expected).await.unwrap_err()));
    assert!(!store.create(id, &record, MINUTE).await.unwrap(), "the id is taken");
    store.touch(id, MINUTE).await.unwrap();
    let whole = SessionId::random();
    store.set(&whole, &record, MINUTE).await.unwrap();
    let many = store.get_many(&[id.clone(), whole, id.clone()]).await.unwrap();
    assert!(matches!(&*many, [None, Some(_), None]), "among many it is no record, and hides no other one");
}

async fn a_request(store: &(impl SessionStore + Clone), id: &SessionId) {
    let config = config(store.clone());
    let mut visitor = Visitor::with_id(&config, id);
    let session = visitor.open().await.expect("a new session and no 503");
    assert_eq!(session.origin(), Origin::Undecodable);
    session.insert("n", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    assert_ne!(session.id(), *id);
    assert_eq!(visitor.open().await.unwrap().get("n").unwrap(), Some(1));
}

/// Whether this is the right error, and shows nothing of what it is about.
fn is_corrupt(error: &StoreError) -> bool {
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        shown = format!("{shown} {error} {error:?}");
        source = error.source();
    }
    let numbers = format!("{:?}", SECRET.as_bytes());
    for secret in [SECRET, numbers.trim_matches(['[', ']'])] {
        assert!(!shown.contains(secret), "an error shows what is stored: {shown}");
    }
    assert!(error.is_corrupt(), "{shown}");
    true
}

/// Texts that are no record. Every store can hold them.
pub(crate) fn texts() -> Vec<(&'static str, String)> {
    [
        ("a text", "hunter2"),
        ("half a record", r#"{"cookie":{},"password":"hunter2"#),
        ("a list", r#"["hunter2"]"#),
        ("a number", "5"),
        ("a string", r#""hunter2""#),
        ("an object without `cookie`", r#"{"password":"hunter2"}"#),
        ("an object with another `cookie`", r#"{"cookie":"hunter2"}"#),
    ]
    .map(|(name, text)| (name, text.to_owned()))
    .into()
}

/// Bytes that are no text.
pub(crate) fn bytes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("Latin-1", b"{\"cookie\":{},\"password\":\"hunter2 \xe9\"}".to_vec()),
        ("msgpack", b"\x81\xa8password\xa7hunter2\xc0".to_vec()),
        ("pickle", b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x07hunter2\x94s.".to_vec()),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03hunter2".to_vec()),
        ("a record with a byte too many", b"{\"cookie\":{},\"password\":\"hunter2\"}\xff".to_vec()),
    ]
}
