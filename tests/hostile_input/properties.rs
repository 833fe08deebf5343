//! Properties of the two parsers that read what others wrote: the cookie's and the record's.

use crate::common::builder;
use axum::http::HeaderValue;
use axum::http::header::COOKIE;
use proptest::prelude::*;
use serde_json::Value;
use sessile::{Record, SessionConfig, SessionId};

fn config() -> SessionConfig {
    builder().build().unwrap()
}

/// Text near what a cookie of ours looks like, so that the generator gets past the first check.
fn nearly_a_cookie() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            Just("s%3A".to_owned()),
            Just("s:".to_owned()),
            Just(".".to_owned()),
            Just("%".to_owned()),
            Just("\"".to_owned()),
            Just("%C3%A9".to_owned()),
            Just("%FF".to_owned()),
            Just("connect.sid=".to_owned()),
            Just(";".to_owned()),
            Just("A".repeat(43)),
            "[ -~]{0,20}",
        ],
        0..12,
    )
    .prop_map(|parts| parts.concat())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    // Failures are printed; no file of seeds is kept.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_sign_writes_verify_reads(text in "\\PC{1,64}") {
        if let Ok(id) = SessionId::new(text) {
            let config = config();
            let value = config.sign(&id);
            prop_assert!(value.is_ascii() && HeaderValue::from_str(&value).is_ok());
            prop_assert!(!value.contains([';', ',', ' ', '"', '\\']));
            prop_assert_eq!(config.verify(&value), Some(id));
        }
    }

    #[test]
    fn the_longest_ids_verify_too(letter in any::<char>()) {
        if let Ok(id) = SessionId::new(letter.to_string().repeat(256 / letter.len_utf8())) {
            let config = config();
            prop_assert_eq!(config.verify(&config.sign(&id)), Some(id));
        }
    }

    #[test]
    fn no_text_verifies_that_was_not_signed(value in nearly_a_cookie()) {
        prop_assert_eq!(config().verify(&value), None);
    }

    #[test]
    fn no_cookie_header_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in nearly_a_cookie()) {
        let lines = [bytes, text.into_bytes()].map(|line| HeaderValue::from_bytes(&line));
        let mut headers = axum::http::HeaderMap::new();
        for line in lines.into_iter().flatten() {
            headers.append(COOKIE, line);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let session = runtime.block_on(config().session_from_headers(&headers)).unwrap();
        prop_assert!(session.is_new());
    }

    #[test]
    fn no_text_panics_as_a_record(text in any::<String>(), tail in "[\\[\\]{}\",:\\\\a-z0-9]{0,40}") {
        let _ = Record::from_json(text.as_str());
        let _ = Record::from_json(format!("{{\"cookie\":{tail}"));
        let _ = Record::from_json(format!("{{\"cookie\":{{}},{tail}"));
        let _ = Record::from_json(format!("{{\"cookie\":{{\"originalMaxAge\":{tail}}}}}"));
    }

    #[test]
    fn a_record_reads_back_as_it_was_written(data in proptest::collection::hash_map(any::<String>(), json(), 0..6)) {
        let mut object: serde_json::Map<String, Value> = data.into_iter().collect();
        object.insert("cookie".into(), serde_json::json!({"originalMaxAge": null, "expires": null}));
        let text = serde_json::to_string(&object).unwrap();
        let record = Record::from_json(text.as_str()).unwrap();
        prop_assert_eq!(record.as_json(), &text);
        let through_serde: Record = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        prop_assert_eq!(through_serde.as_json(), text);
    }

    /// Whatever number stands for the max-age, a commit of such a session writes a record that reads back.
    #[test]
    fn no_max_age_of_a_record_panics(millis in any::<f64>().prop_filter("JSON", |number| number.is_finite())) {
        let text = format!("{{\"cookie\":{{\"originalMaxAge\":{millis:e},\"expires\":null}}}}");
        let store = crate::common::stores::Texts::with("a", text);
        let config = builder().store(store.clone()).build().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let session = crate::common::TestClient::holding(&config, &crate::common::id("a")).open(&config).await;
            session.insert("n", 1).unwrap();
            let _ = (session.expires(), session.cookie(), session.commit().await.unwrap());
        });
        prop_assert!(Record::from_json(store.text("a").unwrap()).is_ok());
    }
}
