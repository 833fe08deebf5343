//! Flash messages: a queue for each kind, stored as connect-flash stores it.

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, builder, id};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sessile::{FlashKey, Session, SessionConfig, SessionError};

fn setup() -> (SessionConfig, RecordingStore) {
    let store = RecordingStore::default();
    let config = builder().browser_session().no_same_site().store(store.clone()).build().unwrap();
    (config, store)
}

const COOKIE: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

/// A session with this `flash` in its record.
async fn planted(config: &SessionConfig, store: &RecordingStore, flash: &str) -> TestClient {
    store.plant(&id("apple"), &format!("{COOKIE},\"n\":1,\"flash\":{flash}}}")).await;
    TestClient::holding(config, &id("apple"))
}

/// What is stored after the `cookie` object.
async fn stored(store: &RecordingStore, session: &Session) -> String {
    let text = store.text(&session.id()).await.unwrap();
    text.strip_prefix(COOKIE).unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn the_shape_of_connect_flash() {
    let (config, store) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.flash("info", "hello").unwrap();
    client.commit(&session).await;
    assert_eq!(stored(&store, &session).await, r#","flash":{"info":["hello"]}}"#);
    let session = client.open(&config).await;
    assert_eq!(session.take_flash::<String>("info").unwrap(), ["hello"]);
    client.commit(&session).await;
    assert_eq!(stored(&store, &session).await, r#","flash":{}}"#);
    let session = client.open(&config).await;
    assert!(session.take_flash::<String>("info").unwrap().is_empty());
    assert!(!session.is_modified());
}

#[tokio::test]
async fn oldest_first_and_once() {
    let (config, _) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    for message in ["one", "two", "two"] {
        session.flash("info", message).unwrap();
    }
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["one", "two", "two"]);
    client.commit(&session).await;
    let session = client.open(&config).await;
    session.flash("info", "three").unwrap();
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["one", "two", "two", "three"]);
    assert_eq!(session.take_flash::<String>("info").unwrap(), ["one", "two", "two", "three"]);
    assert_eq!(session.take_flash::<String>("info").unwrap(), [""; 0]);
    session.flash("info", "four").unwrap();
    client.commit(&session).await;
    assert_eq!(client.open(&config).await.peek_flash::<String>("info").unwrap(), ["four"]);
}

#[tokio::test]
async fn peeking_changes_nothing() {
    let (config, store) = setup();
    let mut client = planted(&config, &store, r#"{"info":["a"]}"#).await;
    let session = client.open(&config).await;
    store.calls();
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["a"]);
    assert_eq!(session.peek_flash::<String>("absent").unwrap(), [""; 0]);
    assert_eq!(session.take_flash::<String>("absent").unwrap(), [""; 0]);
    assert!(!session.is_modified());
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn a_message_is_any_value() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct FormError {
        field: String,
        code: u16,
    }
    const ERRORS: FlashKey<FormError> = FlashKey::new("error");
    let error = |code| FormError { field: "name".into(), code };
    let (config, store) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    assert_eq!(ERRORS.kind(), "error");
    ERRORS.push(&session, error(1)).unwrap();
    ERRORS.push(&session, error(2)).unwrap();
    session.flash("list", [1, 2]).unwrap();
    client.commit(&session).await;
    assert_eq!(
        stored(&store, &session).await,
        r#","flash":{"error":[{"field":"name","code":1},{"field":"name","code":2}],"list":[[1,2]]}}"#
    );
    let session = client.open(&config).await;
    assert_eq!(ERRORS.peek(&session).unwrap(), [error(1), error(2)]);
    assert_eq!(ERRORS.take(&session).unwrap(), [error(1), error(2)]);
    assert_eq!(ERRORS.take(&session).unwrap(), []);
    assert_eq!(session.take_flash::<Vec<u8>>("list").unwrap(), [[1, 2]]);
    client.commit(&session).await;
    assert_eq!(stored(&store, &session).await, r#","flash":{}}"#);
}

#[tokio::test]
async fn all_at_once() {
    let (config, store) = setup();
    let mut client = planted(&config, &store, r#"{"info":["a","b"],"error":[{"code":1}],"empty":[]}"#).await;
    let session = client.open(&config).await;
    session.flash("warn", "w").unwrap();
    session.flash("info", "c").unwrap();
    let flashes = session.take_all_flash();
    assert_eq!((flashes.len(), flashes.is_empty()), (5, false));
    assert_eq!(flashes.get("info"), [json!("a"), json!("b"), json!("c")]);
    assert_eq!(flashes.get("absent"), [Value::Null; 0]);
    let pairs = [
        ("info", json!("a")),
        ("info", json!("b")),
        ("info", json!("c")),
        ("error", json!({"code": 1})),
        ("warn", json!("w")),
    ];
    assert_eq!(flashes.iter().map(|(kind, message)| (kind, message.clone())).collect::<Vec<_>>(), pairs);
    assert_eq!(
        serde_json::to_string(&flashes).unwrap(),
        r#"{"info":["a","b","c"],"error":[{"code":1}],"warn":["w"]}"#
    );
    let owned: Vec<_> = flashes.into_iter().collect();
    assert_eq!(owned, pairs.map(|(kind, message)| (kind.to_owned(), message)));
    assert!(session.take_all_flash().is_empty());
    assert_eq!(serde_json::to_string(&session.take_all_flash()).unwrap(), "{}");
    client.commit(&session).await;
    let left = stored(&store, &session).await;
    assert_eq!(left, r#","n":1,"flash":{"empty":[]}}"#, "no message was there to take");
}

#[tokio::test]
async fn flash_is_no_data() {
    let (config, _) = setup();
    let session = TestClient::new().open(&config).await;
    session.flash("info", "x").unwrap();
    assert!(session.is_modified() && session.is_empty());
    assert_eq!((session.len(), session.keys()), (0, vec![]));
    let _ = session.commit().await.unwrap();
}

#[tokio::test]
async fn a_message_of_another_type_is_an_error_and_all_stay() {
    let (config, store) = setup();
    let mut client = planted(&config, &store, r#"{"info":["a",5,"b"]}"#).await;
    let session = client.open(&config).await;
    for error in [session.take_flash::<String>("info"), session.peek_flash("info")].map(Result::unwrap_err) {
        assert!(matches!(&error, SessionError::Decode { key, .. } if key == "flash.info"), "{error:?}");
    }
    assert!(!session.is_modified());
    store.calls();
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0]);
    assert_eq!(session.take_flash::<Value>("info").unwrap(), [json!("a"), json!(5), json!("b")]);
}

/// Something else than connect-flash wrote there: it is neither read as messages nor written over.
#[tokio::test]
async fn foreign_shapes_are_errors_and_stay() {
    let (config, store) = setup();
    for flash in [
        "5",
        "\"text\"",
        "[\"a\"]",
        r#"[{"type":"info","message":"a"}]"#,
        "true",
        r#"{"info":"text"}"#,
        r#"{"info":{"a":1}}"#,
        r#"{"info":7}"#,
    ] {
        let mut client = planted(&config, &store, flash).await;
        let session = client.open(&config).await;
        let results = [
            session.flash("info", "x").err(),
            session.take_flash::<Value>("info").err(),
            session.peek_flash::<Value>("info").err(),
        ];
        for error in results {
            assert!(
                matches!(&error, Some(SessionError::Decode { key, .. }) if key.starts_with("flash")),
                "{flash}: {error:?}"
            );
        }
        assert!(session.take_all_flash().is_empty(), "{flash}");
        assert!(!session.is_modified(), "{flash}");
        session.insert("n", 2).unwrap();
        client.commit(&session).await;
        assert_eq!(stored(&store, &session).await, format!(r#","n":2,"flash":{flash}}}"#));
    }
}

/// JavaScript's `||` makes an empty object, or list, of it.
#[tokio::test]
async fn null_is_no_messages() {
    let (config, store) = setup();
    for (before, after) in [
        ("null", r#"{"info":["x"]}"#),
        // The package `flash` puts this into every session.
        ("[]", r#"{"info":["x"]}"#),
        ("[ ]", r#"{"info":["x"]}"#),
        (r#"{"info":null,"b":null}"#, r#"{"info":["x"],"b":null}"#),
    ] {
        let mut client = planted(&config, &store, before).await;
        let session = client.open(&config).await;
        assert_eq!(session.take_flash::<String>("info").unwrap(), [""; 0]);
        assert!(session.take_all_flash().is_empty() && !session.is_modified());
        session.insert("n", 2).unwrap();
        client.commit(&session).await;
        assert_eq!(stored(&store, &session).await, format!(r#","n":2,"flash":{before}}}"#));
        session.insert("n", 1).unwrap();
        session.flash("info", "x").unwrap();
        assert_eq!(session.peek_flash::<String>("info").unwrap(), ["x"]);
        client.commit(&session).await;
        assert_eq!(stored(&store, &session).await, format!(r#","n":1,"flash":{after}}}"#));
    }
}

/// The kinds a request leaves alone go back byte for byte, as do the messages of the one it adds to.
#[tokio::test]
async fn other_kinds_are_untouched() {
    let (config, store) = setup();
    let flash =
        r#"{ "a\u0062": [ 1.0, 9007199254740993 ], "odd": "text", "info": ["\ud800", 1.0], "\ud801": [2] }"#;
    let mut client = planted(&config, &store, flash).await;
    let session = client.open(&config).await;
    session.flash("info", "new").unwrap();
    session.flash("more", 1).unwrap();
    client.commit(&session).await;
    assert_eq!(
        stored(&store, &session).await,
        r#","n":1,"flash":{"a\u0062":[ 1.0, 9007199254740993 ],"odd":"text","info":["\ud800",1.0,"new"],"\ud801":[2],"more":[1]}}"#
    );
    let session = client.open(&config).await;
    assert_eq!(session.peek_flash::<Value>("ab").unwrap(), [json!(1.0), json!(9_007_199_254_740_993_u64)]);
    // What Rust cannot hold stays; the rest is taken.
    let flashes = session.take_all_flash();
    assert_eq!(flashes.get("info"), [json!(1.0), json!("new")]);
    client.commit(&session).await;
    assert_eq!(
        stored(&store, &session).await,
        r#","n":1,"flash":{"odd":"text","info":["\ud800"],"\ud801":[2]}}"#
    );
}

/// A message that another request queued meanwhile was not read by this one.
#[tokio::test]
async fn draining_takes_only_what_was_read() {
    let (config, store) = setup();
    let mut client = planted(&config, &store, r#"{"info":["a","a"]}"#).await;
    let (reader, writer) = (client.open(&config).await, client.open(&config).await);
    assert_eq!(reader.take_flash::<String>("info").unwrap(), ["a", "a"]);
    writer.flash("info", "a").unwrap();
    writer.flash("info", "b").unwrap();
    client.commit(&writer).await;
    client.commit(&reader).await;
    assert_eq!(client.open(&config).await.peek_flash::<String>("info").unwrap(), ["a", "b"]);
}

/// Of two requests that take at the same time, the later removes what the earlier left of what it read.
#[tokio::test]
async fn two_that_take_leave_what_neither_read() {
    let (config, store) = setup();
    let mut client = planted(&config, &store, r#"{"info":["a","b","a","c"]}"#).await;
    let slow = client.open(&config).await;
    assert_eq!(slow.take_flash::<String>("info").unwrap(), ["a", "b", "a", "c"]);
    store
        .plant(&id("apple"), &format!("{COOKIE},\"flash\":{{\"info\":[\"b\",\"a\",\"d\",\"a\",\"a\"]}}}}"))
        .await;
    client.commit(&slow).await;
    assert_eq!(stored(&store, &slow).await, r#","flash":{"info":["d","a"]}}"#);
}

#[tokio::test]
async fn kinds_may_be_any_text() {
    let (config, _) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    for kind in ["", "__proto__", "a\"b\\c\n", "é☃", "constructor"] {
        session.flash(kind, kind).unwrap();
    }
    client.commit(&session).await;
    let session = client.open(&config).await;
    for kind in ["", "__proto__", "a\"b\\c\n", "é☃", "constructor"] {
        assert_eq!(session.take_flash::<String>(kind).unwrap(), [kind]);
    }
    client.commit(&session).await;
    assert!(client.open(&config).await.take_all_flash().is_empty());
}

/// Messages that no page shows do not make a session grow without end.
#[tokio::test]
async fn the_oldest_messages_of_a_kind_go_past_the_limit() {
    let (config, store) = setup();
    let mut browser = TestClient::new();
    let session = browser.open(&config).await;
    (0..101).for_each(|n| session.flash("info", n).unwrap());
    session.flash("other", 0).unwrap();
    let hundred: Vec<_> = (1..101).collect();
    assert_eq!(session.peek_flash::<u64>("info").unwrap(), hundred, "100 by default");
    browser.commit(&session).await;
    let session = browser.open(&config).await;
    assert_eq!(session.peek_flash::<u64>("info").unwrap(), hundred);
    assert_eq!(session.peek_flash::<u64>("other").unwrap(), [0], "each kind by itself");

    let config =
        builder().browser_session().no_same_site().max_flash(2).store(store.clone()).build().unwrap();
    // What another program left stays until one more is pushed.
    let mut browser = planted(&config, &store, r#"{"info":[1,2,3],"other":[1,2,3]}"#).await;
    let session = browser.open(&config).await;
    assert_eq!(session.peek_flash::<u64>("info").unwrap(), [1, 2, 3]);
    session.flash("info", 4).unwrap();
    assert_eq!(session.peek_flash::<u64>("info").unwrap(), [3, 4]);
    browser.commit(&session).await;
    assert_eq!(stored(&store, &session).await, r#","n":1,"flash":{"info":[3,4],"other":[1,2,3]}}"#);

    // So it is over what other requests have pushed meanwhile.
    let (one, other) = (browser.open(&config).await, browser.open(&config).await);
    one.flash("info", 5).unwrap();
    other.flash("info", 6).unwrap();
    other.flash("info", 7).unwrap();
    browser.commit(&other).await;
    browser.commit(&one).await;
    assert_eq!(browser.open(&config).await.peek_flash::<u64>("info").unwrap(), [7, 5]);
}

/// Two equal messages cannot be told apart: the one that was queued between two that take is lost, as it is
/// documented.
#[tokio::test]
async fn an_equal_message_between_two_that_take_goes_with_them() {
    let (config, store) = setup();
    let mut browser = planted(&config, &store, r#"{"info":["Saved."]}"#).await;
    let (one, other) = (browser.open(&config).await, browser.open(&config).await);
    for session in [&one, &other] {
        assert_eq!(session.take_flash::<String>("info").unwrap(), ["Saved."]);
    }
    browser.commit(&one).await;
    let writer = browser.open(&config).await;
    writer.flash("info", "Saved.").unwrap();
    browser.commit(&writer).await;
    browser.commit(&other).await;
    assert_eq!(browser.open(&config).await.peek_flash::<String>("info").unwrap(), [""; 0]);
}
