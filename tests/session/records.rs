//! Records that others wrote: what a commit leaves alone byte for byte, and what is no record.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::common::stores::{DAY, RecordingStore, Texts};
use crate::common::{TestClient, builder, id};
use serde::Deserialize;
use serde_json::Value;
use sessile::{Origin, Record, Session, SessionConfig, SessionError};

const COOKIE: &str = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

fn setup(text: impl Into<String>) -> (SessionConfig, Texts, TestClient) {
    let store = Texts::with("apple", text);
    let config = builder().browser_session().store(store.clone()).build().unwrap();
    let client = TestClient::holding(&config, &id("apple"));
    (config, store, client)
}

/// What stands after the cookie object once another key was set.
async fn beside_another_key(data: &str) -> String {
    let (config, store, mut client) = setup(format!("{{{COOKIE},{data}}}"));
    let session = client.open(&config).await;
    assert_eq!(session.origin(), Origin::Loaded, "{data}");
    session.insert("added", 1).unwrap();
    client.commit(&session).await;
    let text = store.text("apple").unwrap();
    Record::from_json(text.as_str()).expect("what is written can be read");
    let rest = text.strip_prefix(&format!("{{{COOKIE},")).unwrap_or_else(|| panic!("{text}"));
    rest.strip_suffix(",\"added\":1}").unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn untouched_values_go_back_byte_for_byte() {
    for data in [
        r#""n":9007199254740993"#,
        r#""n":18446744073709551616,"m":-9223372036854775809"#,
        r#""n":1.0,"m":-0,"e":1E5,"f":1e400,"g":0.1000000000000000055511151231257827"#,
        r#""t":"\ud800","u":"\udc00\ud800","v":["\ud83d"]"#,
        r#""t":"\u0041\/\b","u":"é","v":"\u2028""#,
        r#""__proto__":{"a":1},"constructor":1,"toString":2,"hasOwnProperty":3,"save":4"#,
        r#""\u0061bc":1,"a\"b":2,"a\\":3,"a\nb":4"#,
        r#""\ud800":1,"\udfff":2"#,
        r#""":0,"é☃😀":1,"日本語":2"#,
        r#""o":{"b":1,"a":2,"b":3},"l":[ 1 , 2 ],"s": "spaced" "#,
        r#""nested":{"cookie":{"originalMaxAge":"x"},"flash":5}"#,
        r#""passport":{"user":42},"flash":{"error":["bad <b>"],"info":[]},"csrfSecret":"x","__lastAccess":1795514922619"#,
    ] {
        let spaces = |text: &str| text.replace(": \"spaced\" ", ":\"spaced\"");
        assert_eq!(beside_another_key(data).await, spaces(data));
    }
}

#[tokio::test]
async fn of_equal_keys_the_last_counts_as_in_javascript() {
    let data = r#""a":1,"b":2,"a":3.0,"\u0061":"four""#;
    let (config, _, client) = setup(format!("{{{COOKIE},{data}}}"));
    let session = client.open(&config).await;
    assert_eq!((session.keys(), session.len()), (vec!["a".to_owned(), "b".to_owned()], 2));
    assert_eq!(session.get::<String>("a").unwrap().as_deref(), Some("four"));
    assert_eq!(beside_another_key(data).await, r#""a":"four","b":2"#);
    assert_eq!(beside_another_key(r#""\u0061":1,"b":2,"a":3"#).await, r#""\u0061":3,"b":2"#);
}

#[tokio::test]
async fn an_empty_list_as_long_as_null_is_another_value() {
    let (config, store, mut client) = setup(format!("{{{COOKIE},\"a\":[  ],\"b\":null}}"));
    let session = client.open(&config).await;
    session.insert("b", ()).unwrap();
    assert!(!session.is_modified());
    session.insert("a", ()).unwrap();
    client.commit(&session).await;
    assert!(store.text("apple").unwrap().ends_with(r#","a":null,"b":null}"#), "{:?}", store.text("apple"));
}

#[tokio::test]
async fn an_escaped_key_is_the_key_it_spells() {
    let (config, store, mut client) = setup(format!(r#"{{{COOKIE},"\u0061":1,"b\"":2}}"#));
    let session = client.open(&config).await;
    assert_eq!(session.keys(), ["a", "b\""]);
    assert_eq!((session.get::<u8>("a").unwrap(), session.get::<u8>("b\"").unwrap()), (Some(1), Some(2)));
    session.insert("a", 5).unwrap();
    assert_eq!(session.remove::<u8>("b\"").unwrap(), Some(2));
    client.commit(&session).await;
    assert!(store.text("apple").unwrap().ends_with(r#""},"\u0061":5}"#), "{:?}", store.text("apple"));
}

#[tokio::test]
async fn big_numbers_are_read_whole() {
    let (config, _, client) =
        setup(format!("{{{COOKIE},\"n\":9007199254740993,\"m\":18446744073709551615,\"f\":1.0}}"));
    let session = client.open(&config).await;
    assert_eq!(session.get::<u64>("n").unwrap(), Some(9_007_199_254_740_993));
    assert_eq!(session.get::<u64>("m").unwrap(), Some(u64::MAX));
    assert_eq!(session.get::<f64>("f").unwrap(), Some(1.0));
    assert!(matches!(session.get::<u64>("f"), Err(SessionError::Decode { .. })));
}

/// JavaScript writes half of a character; Rust has no text for it.
#[tokio::test]
async fn what_rust_cannot_hold_is_an_error_for_that_key_alone() {
    let (config, _, client) = setup(format!(r#"{{{COOKIE},"half":"\ud800","n":1}}"#));
    let session = client.open(&config).await;
    assert!(matches!(session.get::<String>("half"), Err(SessionError::Decode { key, .. }) if key == "half"));
    assert!(session.contains_key("half"));
    assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Deep(#[allow(dead_code, reason = "it is never read so far")] Vec<Deep>);

#[tokio::test]
async fn a_value_100_000_levels_deep_survives() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(beside_another_key(&format!("\"deep\":{deep}")).await, format!("\"deep\":{deep}"));
    let objects = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    let data = format!("\"deep\":{objects},\"flash\":{{\"info\":[{deep}]}}");
    assert_eq!(beside_another_key(&data).await, data);
    let (config, _, client) = setup(format!("{{{COOKIE},{data}}}"));
    let session = client.open(&config).await;
    assert!(matches!(session.get::<Value>("deep"), Err(SessionError::Decode { .. })));
    assert!(matches!(session.get::<BTreeMap<String, Value>>("deep"), Err(SessionError::Decode { .. })));
    assert!(matches!(session.get::<Deep>("deep"), Err(SessionError::Decode { .. })));
    assert!(matches!(session.take_flash::<Deep>("info"), Err(SessionError::Decode { .. })));
    assert!(session.take_all_flash().is_empty());
    // Compared with what stands there, and written.
    session.insert("deep", Value::from(1)).unwrap();
    session.flash("info", "x").unwrap();
    let _ = session.commit().await.unwrap();
}

fn broken() -> Vec<(&'static str, String)> {
    let good = format!("{{{COOKIE},\"n\":1}}");
    let mut broken: Vec<_> = (0..good.len()).map(|len| ("cut short", good[..len].to_owned())).collect();
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    broken.extend([
        ("no cookie", "{\"n\":1}".into()),
        ("cookie null", "{\"cookie\":null,\"n\":1}".into()),
        ("cookie a text", "{\"cookie\":\"x\"}".into()),
        ("cookie a list", "{\"cookie\":[]}".into()),
        ("a list", "[]".into()),
        ("a text", "\"text\"".into()),
        ("a number", "5".into()),
        ("null", "null".into()),
        ("no JSON", "O:8:\"stdClass\"".into()),
        ("a NUL", "\0".into()),
        ("something after", format!("{good}x")),
        ("two records", format!("{good}{good}")),
        ("a trailing comma", format!("{{{COOKIE},\"n\":1,}}")),
        ("a bare word", format!("{{{COOKIE},\"n\":undefined}}")),
        ("single quotes", good.replace('"', "'")),
        ("a control character in a text", format!("{{{COOKIE},\"n\":\"a\nb\"}}")),
        ("a control character in a key", format!("{{{COOKIE},\"a\nb\":1}}")),
        ("an illegal escape in a key", format!("{{{COOKIE},\"\\x\":1}}")),
        ("a broken cookie", "{\"cookie\":{\"path\":},\"n\":1}".into()),
        ("100,000 lists", deep("[", "]")),
        ("100,000 open lists", "[".repeat(100_000)),
        ("100,000 open objects", "{\"cookie\":".repeat(100_000)),
        ("an open value 100,000 levels deep", format!("{{{COOKIE},\"n\":{}", "[".repeat(100_000))),
    ]);
    broken
}

/// Nobody is shown an error for it, and whoever has to look into it finds the bytes.
#[tokio::test]
async fn what_is_no_record_is_a_new_session_and_stays_as_it_is() {
    for (case, text) in broken() {
        let (config, store, mut client) = setup(text.as_str());
        let session = client.open(&config).await;
        let short = &text[..text.floor_char_boundary(80)];
        assert_eq!(session.origin(), Origin::Undecodable, "{case}: {short}");
        assert!(session.is_new() && session.is_empty(), "{case}");
        session.insert("n", 2).unwrap();
        let cookie = client.commit(&session).await.cookie().unwrap();
        assert_ne!(config.verify(&cookie.value), Some(id("apple")), "{case}");
        assert_eq!((store.text("apple"), store.len()), (Some(text), 2), "{case}");
        assert_eq!(client.open(&config).await.get::<u8>("n").unwrap(), Some(2), "{case}");
    }
}

#[tokio::test]
async fn destroying_what_cannot_be_decoded_leaves_the_bytes() {
    let (config, store, mut client) = setup("{}");
    let session = client.open(&config).await;
    session.destroy();
    assert_eq!(client.commit(&session).await.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert_eq!(store.text("apple").as_deref(), Some("{}"));
}

async fn open(cookie: &str) -> Session {
    let (config, ..) = setup(format!("{{\"cookie\":{cookie},\"n\":1}}"));
    TestClient::holding(&config, &id("apple")).open(&config).await
}

/// What Express makes of cookie objects that others wrote: the max-age alone counts.
#[tokio::test]
async fn cookie_objects_of_others() {
    for (cookie, max_age) in [
        ("{}", None),
        (r#"{"originalMaxAge":null,"expires":null}"#, None),
        (r#"{"expires":"2099-01-01T00:00:00.000Z"}"#, None),
        (r#"{"originalMaxAge":60000}"#, Some(60_000)),
        (r#"{"originalMaxAge":60000,"expires":"1999-01-01T00:00:00.000Z"}"#, Some(60_000)),
        (r#"{"originalMaxAge":60000,"expires":1795514922619}"#, Some(60_000)),
        (r#"{"originalMaxAge":60000.7,"expires":"garbage"}"#, Some(60_000)),
        (r#"{"originalMaxAge":"60000","expires":null}"#, None),
        (r#"{"originalMaxAge":false,"expires":false}"#, None),
        (r#"{"originalMaxAge":6e4}"#, Some(60_000)),
        (r#"{"originalMaxAge":-5}"#, Some(0)),
        // Where a JavaScript Date ends.
        (r#"{"originalMaxAge":1e300}"#, Some(8_640_000_000_000_000)),
        (r#"{"originalMaxAge":1e400}"#, None),
    ] {
        let session = open(cookie).await;
        assert_eq!(session.origin(), Origin::Loaded, "{cookie}");
        assert_eq!(session.max_age(), max_age.map(Duration::from_millis), "{cookie}");
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1));
    }
}

/// Live records routinely carry a past `expires`: a touch extends the life in the store and leaves the text
/// alone.
#[tokio::test]
async fn a_past_expires_is_no_expiry() {
    let store = RecordingStore::default();
    let text = r#"{"cookie":{"originalMaxAge":60000,"expires":"2001-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},"n":1}"#;
    store.plant(&id("apple"), text).await;
    let config = builder().store(store.clone()).build().unwrap();
    assert_eq!(TestClient::holding(&config, &id("apple")).open(&config).await.origin(), Origin::Loaded);
}

/// The cookie object of a live session is its own, whatever the options say now; its times alone move.
#[tokio::test]
async fn the_cookie_object_keeps_what_it_says() {
    for (before, after) in [
        (
            r#"{"originalMaxAge":60000,"partitioned":true,"expires":"2001-01-01T00:00:00.000Z","secure":"auto","path":"/x"}"#,
            r#"{"originalMaxAge":60000,"partitioned":true,"expires":@,"secure":"auto","path":"/x"}"#,
        ),
        (
            r#"{"path":"/x","sameSite":true}"#,
            r#"{"originalMaxAge":null,"expires":null,"path":"/x","sameSite":true}"#,
        ),
        (r#"{ "expires" : null , "originalMaxAge" : 5000 }"#, r#"{"originalMaxAge":5000,"expires":@}"#),
        (
            r#"{"original\u004daxAge":60000,"expires":false,"\ud800":[1.0]}"#,
            r#"{"original\u004daxAge":60000,"expires":@,"\ud800":[1.0]}"#,
        ),
    ] {
        let (config, store, mut client) = setup(format!("{{\"cookie\":{before},\"n\":1}}"));
        let session = client.open(&config).await;
        session.insert("n", 2).unwrap();
        client.commit(&session).await;
        let text = store.text("apple").unwrap();
        let record = Record::from_json(text.as_str()).unwrap();
        let after = match record.cookie_expires() {
            Some(at) => {
                let left = at.duration_since(SystemTime::now()).unwrap();
                assert!(left <= record.max_age().unwrap() && left > Duration::ZERO);
                let (start, _) = after.split_once('@').unwrap();
                let at = 10 + start.len();
                after.replace('@', &text[at..at + 26])
            }
            None => after.to_owned(),
        };
        assert_eq!(text, format!("{{\"cookie\":{after},\"n\":2}}"));
    }
}

/// The first key of an Express record is `cookie`; another writer may put it anywhere.
#[tokio::test]
async fn cookie_may_stand_anywhere_and_under_an_escaped_key() {
    let (config, store, mut client) =
        setup(format!("{{\"n\":1.0,{},\"m\":2}}", COOKIE.replace("cookie", "c\\u006fokie")));
    let session = client.open(&config).await;
    assert_eq!(session.keys(), ["n", "m"]);
    session.insert("m", 3).unwrap();
    client.commit(&session).await;
    let cookie = COOKIE.replace("cookie", "c\\u006fokie");
    let text = format!("{{\"n\":1.0,{cookie},\"m\":3}}");
    assert_eq!(store.text("apple").unwrap(), text, "a value as long as the one before takes its place");
    session.insert("m", 33).unwrap();
    client.commit(&session).await;
    assert_eq!(store.text("apple").unwrap(), format!("{{{COOKIE},\"n\":1.0,\"m\":33}}"));
}

#[tokio::test]
async fn the_record_of_express_s_example_goes_through() {
    let text = "{\"cookie\":{\"originalMaxAge\":3600000,\"expires\":\"2026-01-02T04:04:05.678Z\",\"secure\":false,\"httpOnly\":true,\"path\":\"/\",\"sameSite\":\"lax\"},\"passport\":{\"user\":42},\"flash\":{\"error\":[\"bad <b>\"],\"info\":[]},\"views\":{\"/foo\":1},\"t\":\"é\u{2028}\\\"\\\\/\\u0001\",\"f\":1.5,\"z\":null}";
    assert_eq!(text.len(), 255);
    let record = Record::from_json(text).unwrap();
    assert_eq!((record.as_json(), record.max_age()), (text, Some(DAY / 24)));
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
    assert_eq!(serde_json::from_str::<Record>(text).unwrap().as_json(), text);
    let expires = record.cookie_expires().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(expires.as_millis(), 1_767_326_645_678);
    let (config, _, client) = setup(text);
    let session = client.open(&config).await;
    assert_eq!(session.get::<String>("t").unwrap().as_deref(), Some("é\u{2028}\"\\/\u{1}"));
    assert_eq!(session.get::<Option<u8>>("z").unwrap(), Some(None));
    assert_eq!(session.peek_flash::<String>("error").unwrap(), ["bad <b>"]);
}

/// A time far away is still a time.
#[test]
fn expires_of_any_year_is_read() {
    for (text, seconds) in [
        ("2999-12-31T23:59:59.000Z", 32_503_679_999),
        ("9999-12-31T23:59:59.000Z", 253_402_300_799),
        ("0001-01-01T00:00:00.000Z", 0),
        ("1970-01-01T01:00:00.000+01:00", 0),
    ] {
        let record = Record::from_json(format!("{{\"cookie\":{{\"expires\":\"{text}\"}}}}")).unwrap();
        let since = record.cookie_expires().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), seconds, "{text}");
    }
    for text in [
        "null",
        "5",
        "\"\"",
        "\"yesterday\"",
        "\"+010000-01-01T00:00:00.000Z\"",
        "\"2026-13-01T00:00:00.000Z\"",
    ] {
        let record = Record::from_json(format!("{{\"cookie\":{{\"expires\":{text}}}}}")).unwrap();
        assert_eq!(record.cookie_expires(), None, "{text}");
    }
}

/// A key that is no text in Rust is data all the same.
#[tokio::test]
async fn clear_removes_what_has_no_name_in_rust() {
    let (config, store, mut client) = setup(format!(r#"{{{COOKIE},"\ud800":1}}"#));
    let session = client.open(&config).await;
    session.clear();
    assert!(session.is_modified());
    client.commit(&session).await;
    assert_eq!(store.text("apple").unwrap(), format!("{{{COOKIE}}}"));
}
