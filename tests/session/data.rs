//! The session as a map: reads, writes, and what counts as a modification.

use std::collections::{BTreeMap, HashMap};

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, builder, id, router};
use serde::{Deserialize, Serialize};
use sessile::{MemoryStore, Origin, Session, SessionConfig, SessionError, SessionKey};

fn setup() -> (SessionConfig, RecordingStore) {
    let store = RecordingStore::default();
    let config = builder().browser_session().store(store.clone()).build().unwrap();
    (config, store)
}

/// A visitor whose stored session holds what `fill` puts there.
async fn visitor(config: &SessionConfig, fill: impl Fn(&Session)) -> TestClient {
    let mut client = TestClient::new();
    let session = client.open(config).await;
    fill(&session);
    client.commit(&session).await;
    client
}

#[tokio::test]
async fn a_new_session_is_empty() {
    let (config, _) = setup();
    let session = TestClient::new().open(&config).await;
    assert!(session.is_new() && session.is_empty() && !session.is_modified());
    assert_eq!((session.len(), session.keys()), (0, vec![]));
    assert_eq!(session.get::<String>("absent").unwrap(), None);
    assert!(!session.contains_key("absent"));
    assert_eq!(session.id(), session.id(), "the id is minted once");
}

#[tokio::test]
async fn values_are_read_back_at_once_and_after_a_commit() {
    let (config, _) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    session.insert("text", "é\"\\\u{2028}").unwrap();
    session.insert("number", u64::MAX).unwrap();
    session.insert("list", [1, 2, 3]).unwrap();
    session.insert("nothing", ()).unwrap();
    let check = |session: &Session| {
        assert_eq!(session.get::<String>("text").unwrap().as_deref(), Some("é\"\\\u{2028}"));
        assert_eq!(session.get::<u64>("number").unwrap(), Some(u64::MAX));
        assert_eq!(session.get::<Vec<u8>>("list").unwrap(), Some(vec![1, 2, 3]));
        assert_eq!(session.get::<Option<u8>>("nothing").unwrap(), Some(None), "null is a value");
        assert_eq!(session.keys(), ["text", "number", "list", "nothing"]);
        assert_eq!(session.len(), 4);
        assert!(!session.is_empty() && session.contains_key("nothing"));
    };
    check(&session);
    assert!(session.is_new() && session.is_modified());
    client.commit(&session).await;
    check(&session);
    assert!(!session.is_new() && !session.is_modified());
    let session = client.open(&config).await;
    check(&session);
    assert!(!session.is_new() && !session.is_modified());
}

#[tokio::test]
async fn a_wrong_type_is_an_error_and_loses_nothing() {
    let (config, store) = setup();
    let mut client = visitor(&config, |session| session.insert("n", "seven").unwrap()).await;
    let session = client.open(&config).await;
    let named = |error: SessionError| match error {
        SessionError::Decode { key, .. } => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(named(session.get::<u64>("n").unwrap_err()), "n");
    assert_eq!(named(session.remove::<u64>("n").unwrap_err()), "n");
    assert_eq!(named(session.update("n", |n: Option<u64>| n).unwrap_err()), "n");
    assert!(!session.is_modified());
    store.calls();
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0]);
    assert_eq!(session.get::<String>("n").unwrap().as_deref(), Some("seven"));
}

#[tokio::test]
async fn what_cannot_be_encoded_is_an_error_and_changes_nothing() {
    let (config, _) = setup();
    let session = TestClient::new().open(&config).await;
    session.insert("map", 1).unwrap();
    // JSON's keys are texts.
    let map = HashMap::from([(vec![1], 2)]);
    let error = session.insert("map", &map).unwrap_err();
    assert!(matches!(&error, SessionError::Encode { key, .. } if key == "map"), "{error:?}");
    assert_eq!(session.get::<u8>("map").unwrap(), Some(1));
}

#[tokio::test]
async fn the_keys_of_express_are_reserved() {
    let (config, _) = setup();
    let client = visitor(&config, |session| session.flash("info", "x").unwrap()).await;
    let session = client.open(&config).await;
    for key in ["cookie", "flash", "__lastAccess"] {
        let refused = [session.insert(key, 1), session.update(key, |n: Option<u8>| n).map(drop)];
        for result in refused {
            let error = result.unwrap_err();
            assert!(matches!(&error, SessionError::Encode { key: at, .. } if at == key), "{error:?}");
        }
        assert_eq!(session.remove::<serde_json::Value>(key).unwrap(), None);
        assert_eq!(session.get::<serde_json::Value>(key).unwrap(), None);
        assert!(!session.contains_key(key));
    }
    assert!(session.is_empty() && session.keys().is_empty() && !session.is_modified());
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["x"]);
    for key in ["Cookie", "FLASH", "", "cookies", "__proto__", "save", "__lastaccess"] {
        session.insert(key, 1).unwrap();
    }
}

/// Express would write and send a cookie for none of these either.
#[tokio::test]
async fn equal_values_are_no_modification() {
    #[derive(Serialize)]
    struct User {
        name: &'static str,
        tags: BTreeMap<&'static str, u8>,
    }
    let tags = |order: &[u8]| order.iter().map(|n| (NAMES[usize::from(*n)], *n)).collect::<BTreeMap<_, _>>();
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let user = |order: &[u8]| User { name: "bob", tags: tags(order) };
    let (config, store) = setup();
    let mut client = visitor(&config, |session| {
        session.insert("n", 1).unwrap();
        session.insert("user", user(&[0, 1, 2, 3, 4, 5, 6, 7])).unwrap();
        session.insert("list", vec![user(&[0, 1, 2]), user(&[3, 4, 5])]).unwrap();
    })
    .await;
    let session = client.open(&config).await;
    store.calls();
    session.insert("n", 1).unwrap();
    session.insert("user", user(&[7, 6, 5, 4, 3, 2, 1, 0])).unwrap();
    session.insert("list", vec![user(&[2, 1, 0]), user(&[5, 4, 3])]).unwrap();
    assert_eq!(session.remove::<u8>("absent").unwrap(), None);
    session.update("n", |n: Option<u8>| n).unwrap();
    session.update("absent", |n: Option<u8>| n).unwrap();
    assert!(!session.is_modified());
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn there_and_back_is_no_modification() {
    let (config, store) = setup();
    let mut client = visitor(&config, |session| session.insert("n", 1).unwrap()).await;
    let session = client.open(&config).await;
    store.calls();
    session.insert("n", 2).unwrap();
    assert!(session.is_modified());
    session.insert("n", 1).unwrap();
    session.insert("m", 1).unwrap();
    assert_eq!(session.remove::<u8>("m").unwrap(), Some(1));
    session.flash("info", "x").unwrap();
    assert_eq!(session.take_flash::<String>("info").unwrap(), ["x"]);
    session.set_max_age(Some(crate::common::stores::DAY));
    session.set_max_age(None);
    assert!(!session.is_modified());
    client.commit(&session).await;
    assert_eq!(store.calls(), [""; 0]);
}

/// A map whose keys keep their order.
struct InOrder([&'static str; 2]);

impl Serialize for InOrder {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.map(|key| (key, 1)))
    }
}

/// The columns of a table, say: it is their order that the user has chosen.
#[tokio::test]
async fn another_order_of_keys_is_stored_and_read() {
    let (config, store) = setup();
    let mut browser =
        visitor(&config, |session| session.insert("columns", InOrder(["date", "name"])).unwrap()).await;
    let session = browser.open(&config).await;
    session.insert("columns", InOrder(["name", "date"])).unwrap();
    assert!(session.is_modified());
    let text = session.get::<Box<serde_json::value::RawValue>>("columns").unwrap().unwrap();
    assert_eq!(text.get(), r#"{"name":1,"date":1}"#);
    browser.commit(&session).await;
    assert!(store.text(&session.id()).await.unwrap().ends_with(r#""columns":{"name":1,"date":1}}"#));
}

/// After many changes an index tells whether there are any.
#[tokio::test]
async fn another_order_of_keys_is_a_change_among_many() {
    let (config, _) = setup();
    let keys: Vec<_> = (0..100).map(|n| format!("key-{n}")).collect();
    let browser = visitor(&config, |session| {
        keys.iter().for_each(|key| session.insert(key, 1).unwrap());
        session.insert("columns", InOrder(["date", "name"])).unwrap();
    })
    .await;
    let session = browser.open(&config).await;
    for key in &keys {
        session.remove::<u8>(key).unwrap();
        session.insert(key, 1).unwrap();
    }
    session.insert("columns", 1).unwrap();
    session.insert("columns", InOrder(["date", "name"])).unwrap();
    assert!(!session.is_modified());
    session.insert("columns", InOrder(["name", "date"])).unwrap();
    assert!(session.is_modified());
    let _ = session.reload().await;
}

#[tokio::test]
async fn different_values_are_modifications() {
    let (config, _) = setup();
    let client = visitor(&config, |session| {
        session.insert("n", 1).unwrap();
        session.insert("object", InOrder(["a", "b"])).unwrap();
    })
    .await;
    let changes: [fn(&Session); 8] = [
        |session| session.insert("n", 2).unwrap(),
        |session| session.insert("n", "1").unwrap(),
        |session| session.insert("n", 1.0).unwrap(),
        |session| session.insert("m", ()).unwrap(),
        |session| session.insert("object", serde_json::json!({"a": 1, "b": [2, 1]})).unwrap(),
        |session| session.insert("object", serde_json::json!({"a": 1, "c": [1, 2]})).unwrap(),
        |session| session.insert("object", InOrder(["b", "a"])).unwrap(),
        |session| session.clear(),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let session = client.open(&config).await;
        change(&session);
        assert!(session.is_modified(), "change {at}");
        let _ = session.reload().await;
    }
}

#[tokio::test]
async fn remove_takes_the_value() {
    let (config, store) = setup();
    let mut client = visitor(&config, |session| {
        session.insert("a", 1).unwrap();
        session.insert("b", 2).unwrap();
    })
    .await;
    let session = client.open(&config).await;
    assert_eq!(session.remove::<u8>("a").unwrap(), Some(1));
    assert_eq!(session.remove::<u8>("a").unwrap(), None);
    assert_eq!((session.keys(), session.len()), (vec!["b".to_owned()], 1));
    client.commit(&session).await;
    assert!(store.text(&session.id()).await.unwrap().ends_with("},\"b\":2}"));
}

/// A key that was removed and put in again goes to the end, as in a JavaScript object.
#[tokio::test]
async fn keys_come_in_the_order_they_are_stored_in() {
    type Act = fn(&Session);
    let put = |session: &Session, key: &str| session.insert(key, 2).unwrap();
    let acts: [(Act, &[&str]); 6] = [
        (|_| {}, &["a", "b", "c"]),
        (|session| assert_eq!(session.remove("a").unwrap(), Some(2)), &["b", "c"]),
        (|session| assert_eq!(session.update("b", |_: Option<u8>| None).unwrap(), None), &["a", "c"]),
        (|session| assert_eq!(session.update("d", |_| Some(1)).unwrap(), Some(1)), &["a", "b", "c", "d"]),
        (Session::clear, &[]),
        (|session| session.flash("info", "x").unwrap(), &["a", "b", "c"]),
    ];
    for (first, left) in acts {
        for again in ["b", "a", "new"] {
            let (config, _) = setup();
            let fill = |session: &Session| ["a", "b", "c"].iter().for_each(|key| put(session, key));
            let mut client = visitor(&config, fill).await;
            let session = client.open(&config).await;
            first(&session);
            assert_eq!(session.keys(), left);
            session.insert(again, 3).unwrap();
            let end = [again].into_iter().filter(|again| !left.contains(again));
            let expected: Vec<_> = left.iter().copied().chain(end).collect();
            assert_eq!(session.keys(), expected);
            client.commit(&session).await;
            assert_eq!(client.open(&config).await.keys(), expected, "what is stored");
        }
    }
}

#[tokio::test]
async fn update_returns_what_it_left() {
    let (config, _) = setup();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    let count = |n: Option<u64>| Some(n.map_or(1, |n| n + 1));
    assert_eq!(session.update("n", count).unwrap(), Some(1));
    assert_eq!(session.update("n", count).unwrap(), Some(2));
    assert_eq!(session.get::<u64>("n").unwrap(), Some(2));
    client.commit(&session).await;
    let session = client.open(&config).await;
    assert_eq!(session.update("n", count).unwrap(), Some(3));
    assert_eq!(session.update("n", |_: Option<u64>| None).unwrap(), None);
    assert!(!session.contains_key("n"));
    client.commit(&session).await;
    assert!(!client.open(&config).await.contains_key("n"));
}

/// Changing in place is an update: it begins with the default, and loses no step of another request.
#[tokio::test]
async fn modify_changes_the_value_in_place() {
    const CART: SessionKey<Vec<String>> = SessionKey::new("cart");
    let (config, _) = setup();
    let mut browser = TestClient::new();
    let session = browser.open(&config).await;
    assert_eq!(CART.modify(&session, |cart| cart.push("tea".into())).unwrap(), ["tea"]);
    browser.commit(&session).await;
    let (one, other) = (browser.open(&config).await, browser.open(&config).await);
    let item = "milk".to_owned();
    assert_eq!(CART.modify(&one, move |cart| cart.push(item.clone())).unwrap(), ["tea", "milk"]);
    assert_eq!(other.modify("cart", |cart: &mut Vec<String>| cart.push("pot".into())).unwrap().len(), 2);
    browser.commit(&one).await;
    browser.commit(&other).await;
    let session = browser.open(&config).await;
    assert_eq!(CART.get(&session).unwrap().unwrap(), ["tea", "milk", "pot"]);
    // An error of the wrong type changes nothing, and a reserved key is refused.
    assert!(matches!(session.modify("cart", |n: &mut u8| *n += 1), Err(SessionError::Decode { .. })));
    assert!(matches!(session.modify("flash", |n: &mut u8| *n += 1), Err(SessionError::Encode { .. })));
    assert!(!session.is_modified());
    // What JSON has no number for is no value for the next reader.
    assert_eq!(session.modify("ratio", |ratio: &mut f64| *ratio = f64::NAN).unwrap(), 0.0);
    session.insert("cart", ()).unwrap();
    assert_eq!(CART.modify(&session, |cart| cart.push("cup".into())).unwrap(), ["cup"]);
}

/// `req.session.user = null` is the logout of many an Express app.
#[tokio::test]
async fn null_is_no_value() {
    const USER: SessionKey<String> = SessionKey::new("user");
    let (config, store) = setup();
    let mut browser = visitor(&config, |session| session.insert("user", ()).unwrap()).await;
    let session = browser.open(&config).await;
    assert_eq!((USER.get(&session).unwrap(), session.get::<u64>("user").unwrap()), (None, None));
    assert!(session.contains_key("user") && !session.is_empty() && !session.is_modified());
    // A type that reads `null` gets it.
    assert_eq!(session.get::<Option<String>>("user").unwrap(), Some(None));
    assert_eq!(session.get::<serde_json::Value>("user").unwrap(), Some(serde_json::Value::Null));
    assert_eq!(session.get::<()>("user").unwrap(), Some(()));
    // No more than the text `null` is one.
    session.insert("user", "null").unwrap();
    assert!(matches!(session.get::<u64>("user"), Err(SessionError::Decode { .. })));
    session.insert("user", ()).unwrap();
    let set = |user: Option<String>| Some(user.map_or("nobody", |_| "somebody").to_owned());
    assert_eq!(USER.update(&session, set).unwrap().as_deref(), Some("nobody"));
    browser.commit(&session).await;
    assert!(store.text(&session.id()).await.unwrap().ends_with("\"user\":\"nobody\"}"));
    // To remove it is a change, though there was no value.
    session.insert("user", ()).unwrap();
    browser.commit(&session).await;
    let session = browser.open(&config).await;
    assert_eq!(USER.remove(&session).unwrap(), None);
    assert!(session.is_modified() && !session.contains_key("user"));
    browser.commit(&session).await;
    assert!(!browser.open(&config).await.contains_key("user"));
}

#[tokio::test]
async fn numbers_that_json_has_not_are_null() {
    let (config, _) = setup();
    let session = TestClient::new().open(&config).await;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        session.insert("n", number).unwrap();
        assert_eq!(session.get::<f64>("n").unwrap(), None);
        assert_eq!(session.get::<serde_json::Value>("n").unwrap(), Some(serde_json::Value::Null));
    }
    let _ = session.commit().await.unwrap();
}

/// The ways out that the documentation names for a value that a deployment has made unreadable.
#[tokio::test]
async fn a_value_of_an_older_type_can_be_replaced_or_removed() {
    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Settings {
        language: String,
        #[serde(default)]
        theme: String,
    }
    let (config, _) = setup();
    let browser = visitor(&config, |session| {
        session.insert("user", "ada").unwrap();
        session.insert("settings", serde_json::json!({"language": "en"})).unwrap();
    })
    .await;
    let session = browser.open(&config).await;
    assert!(session.get::<u64>("user").is_err());
    session.insert("user", 42).unwrap();
    assert_eq!(session.get::<u64>("user").unwrap(), Some(42));
    assert!(session.remove::<String>("user").is_err());
    assert!(session.remove::<serde::de::IgnoredAny>("user").unwrap().is_some());
    assert!(!session.contains_key("user"));
    assert_eq!(session.get::<Settings>("settings").unwrap().unwrap().theme, "");
    let _ = session.commit().await.unwrap();
}

#[tokio::test]
async fn update_runs_again_on_what_another_request_left() {
    let (config, _) = setup();
    let mut client = visitor(&config, |session| session.insert("n", 10).unwrap()).await;
    let (one, other) = (client.open(&config).await, client.open(&config).await);
    for session in [&one, &other] {
        assert_eq!(session.update("n", |n: Option<u64>| n.map(|n| n + 1)).unwrap(), Some(11));
    }
    one.insert("one", 1).unwrap();
    other.insert("other", 1).unwrap();
    client.commit(&one).await;
    client.commit(&other).await;
    assert_eq!(other.get::<u64>("n").unwrap(), Some(12), "the handle sees what it stored");
    let session = client.open(&config).await;
    assert_eq!(session.get::<u64>("n").unwrap(), Some(12));
    assert_eq!(session.keys(), ["n", "one", "other"]);
}

#[tokio::test]
async fn clear_empties_the_data_and_leaves_flash() {
    let (config, store) = setup();
    let mut client = visitor(&config, |session| {
        session.insert("n", 1).unwrap();
        session.flash("info", "x").unwrap();
    })
    .await;
    let session = client.open(&config).await;
    session.clear();
    assert!(session.is_empty() && session.is_modified());
    session.insert("m", 2).unwrap();
    client.commit(&session).await;
    assert!(store.text(&session.id()).await.unwrap().ends_with("},\"flash\":{\"info\":[\"x\"]},\"m\":2}"));
    let session = client.open(&config).await;
    assert_eq!(session.peek_flash::<String>("info").unwrap(), ["x"]);
    assert_eq!(session.id(), client.open(&config).await.id());
}

#[tokio::test]
async fn every_origin() {
    let (config, _) = setup();
    let client = visitor(&config, |session| session.insert("n", 1).unwrap()).await;
    assert_eq!(client.open(&config).await.origin(), Origin::Loaded);
    assert_eq!(TestClient::new().open(&config).await.origin(), Origin::NoCookie);
    let other = SessionConfig::new("another secret").unwrap();
    assert_eq!(TestClient::holding(&other, &id("a")).open(&config).await.origin(), Origin::BadSignature);
    assert_eq!(TestClient::holding(&config, &id("a")).open(&config).await.origin(), Origin::Unknown);
    let broken = builder().store(crate::common::stores::Texts::with("a", "{}")).build().unwrap();
    assert_eq!(TestClient::holding(&broken, &id("a")).open(&broken).await.origin(), Origin::Undecodable);
    // It says how the request began, whatever became of it.
    let session = client.open(&config).await;
    session.destroy();
    let _ = session.commit().await.unwrap();
    assert_eq!(session.origin(), Origin::Loaded);
}

/// Somebody who plants an id, signed or not, finds no session under it.
#[tokio::test]
async fn an_id_the_store_does_not_know_is_never_taken_over() {
    let (config, store) = setup();
    let mut client = TestClient::holding(&config, &id("planted"));
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    assert_ne!(session.id(), id("planted"));
    let promised = session.id();
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(config.verify(&cookie.value), Some(promised));
    assert!(!store.ids().contains(&id("planted")));
}

#[tokio::test]
async fn an_optional_session_creates_nothing() {
    let store = MemoryStore::new();
    let config = builder().store(store.clone()).build().unwrap();
    let app = router(&config, async |session: Option<Session>| match session {
        Some(session) => format!("{:?}", session.get::<u64>("n").unwrap()),
        None => "none".to_owned(),
    });
    let answer = TestClient::new().get(&app, "/").await;
    assert_eq!((&*answer.body, answer.cookie().is_some()), ("none", false));
    let answer = TestClient::holding(&config, &id("no such session")).get(&app, "/").await;
    assert_eq!((&*answer.body, answer.cookie().is_some()), ("none", false));
    assert!(store.is_empty());
    let mut client = visitor(&config, |session| session.insert("n", 1).unwrap()).await;
    assert_eq!(client.get(&app, "/").await.body, "Some(1)");
}

#[tokio::test]
async fn typed_keys() {
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct User {
        name: String,
    }
    const USER: SessionKey<User> = SessionKey::new("user");
    let (config, store) = setup();
    let bob = User { name: "bob".into() };
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    assert_eq!(USER.name(), "user");
    assert_eq!(USER.get(&session).unwrap(), None);
    USER.insert(&session, bob.clone()).unwrap();
    assert_eq!(USER.get(&session).unwrap(), Some(bob.clone()));
    let left = USER.update(&session, |user| user.map(|user| User { name: user.name + "by" })).unwrap();
    assert_eq!(left.unwrap().name, "bobby");
    client.commit(&session).await;
    assert!(store.text(&session.id()).await.unwrap().ends_with("},\"user\":{\"name\":\"bobby\"}}"));
    let session = client.open(&config).await;
    assert_eq!(USER.remove(&session).unwrap().unwrap().name, "bobby");
    assert_eq!(USER.get(&session).unwrap(), None);
    session.insert("user", 7).unwrap();
    assert!(matches!(USER.get(&session), Err(SessionError::Decode { .. })));
    let _ = session.commit().await.unwrap();
}
