//! Which cookie values name a session: the list that express-session 1.19 accepts and rejects, and where this
//! crate differs on purpose.

use crate::common::stores::RecordingStore;
use crate::common::{cookie_lines, id};
use axum::http::HeaderMap;
use sessile::{Origin, Session, SessionConfig};

const GOOD: &str = "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";
const RAW: &str = "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU";
const URL_SAFE: &str = "s%3Aapple.D8Y-pkTAmeR0PobOhY4G97PRW-j7bUnP_5m6_On1MCU";
const BAD: &str = "s%3Aapple.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const STORED: [&str; 6] = ["apple", "pear", "user.42.v1", "a;b=c", "é☃😀", "%"];
const RECORD: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"n":1}"#;

async fn setup() -> (SessionConfig, RecordingStore) {
    let store = RecordingStore::default();
    for sid in STORED {
        store.plant(&id(sid), RECORD).await;
    }
    let config = SessionConfig::builder("keyboard cat").store(store.clone()).build().unwrap();
    (config, store)
}

async fn open(config: &SessionConfig, headers: &HeaderMap) -> Session {
    config.session_from_headers(headers).await.unwrap()
}

fn line(value: &str) -> Vec<String> {
    vec![format!("connect.sid={value}")]
}

#[tokio::test]
async fn accepted() {
    let (config, _) = setup().await;
    let sign = |sid: &str| line(&config.sign(&id(sid)));
    let cases: Vec<(&str, &str, Vec<String>)> = vec![
        ("canonical", "apple", line(GOOD)),
        ("lower-case escapes", "apple", line(&GOOD.replace("%3A", "%3a").replace("%2B", "%2b"))),
        ("no percent-encoding at all", "apple", line(RAW)),
        ("over-encoded letters", "apple", line(&GOOD.replace("apple", "%61%70%70%6c%65"))),
        (
            "everything encoded",
            "apple",
            line(&RAW.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()),
        ),
        ("double quotes", "apple", line(&format!("\"{GOOD}\""))),
        ("white space around =", "apple", vec![format!("connect.sid \t=\t {GOOD} ")]),
        ("other cookies around", "apple", vec![format!("a=1; connect.sid={GOOD}; z=2")]),
        ("no space after ;", "apple", vec![format!("a=1;connect.sid={GOOD};z=2")]),
        ("a junk pair before", "apple", vec![format!("junk; ;; connect.sid={GOOD}")]),
        ("a duplicate, the good one first", "apple", vec![format!("connect.sid={GOOD}; connect.sid={BAD}")]),
        (
            "a whole Set-Cookie line",
            "apple",
            vec![format!("connect.sid={GOOD}; Path=/; Expires=Tue, 24 Nov 2026 10:09:34 GMT; HttpOnly")],
        ),
        ("dots in the id", "user.42.v1", sign("user.42.v1")),
        ("; and = in the id", "a;b=c", sign("a;b=c")),
        ("Unicode in the id", "é☃😀", sign("é☃😀")),
        // What cannot be decoded is taken as it stands.
        ("a raw % in the id", "%", line("s:%.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa/OTZ01g")),
        ("a second Cookie line", "apple", vec!["a=1".into(), format!("connect.sid={GOOD}")]),
    ];
    for (case, sid, lines) in cases {
        let session = open(&config, &cookie_lines(&lines)).await;
        assert_eq!((session.origin(), session.id()), (Origin::Loaded, id(sid)), "{case}");
        assert_eq!(session.get::<u8>("n").unwrap(), Some(1), "{case}");
    }
}

#[tokio::test]
async fn rejected_without_asking_the_store() {
    let (config, store) = setup().await;
    let signature = RAW.rsplit_once('.').unwrap().1;
    let values: Vec<(&str, Vec<u8>)> = vec![
        ("opening quote only", format!("\"{GOOD}").into()),
        ("closing quote only", format!("{GOOD}\"").into()),
        ("two pairs of quotes", format!("\"\"{GOOD}\"\"").into()),
        ("no s:", GOOD.replace("s%3A", "").into()),
        ("S:", GOOD.replace("s%3A", "S%3A").into()),
        ("j:", GOOD.replace("s%3A", "j%3A").into()),
        ("no dot", "s%3Aapple".into()),
        ("an empty signature", "s%3Aapple.".into()),
        ("a bare id", "apple".into()),
        ("padding, encoded", format!("{GOOD}%3D").into()),
        ("padding", format!("{GOOD}=").into()),
        ("both base64 alphabets in one signature", URL_SAFE.replace("-pk", "%2Bpk").into()),
        ("a space for +", RAW.replace('+', " ").into()),
        ("an encoded space for +", GOOD.replace("%2B", "%20").into()),
        ("a trailing encoded space", format!("{GOOD}%20").into()),
        ("a leading encoded space", format!("%20{GOOD}").into()),
        ("truncated by one", GOOD[..GOOD.len() - 1].into()),
        ("truncated by three", GOOD[..GOOD.len() - 3].into()),
        ("one character too many", format!("{GOOD}A").into()),
        ("another id", GOOD.replace("apple", "pear").into()),
        ("an id cut short", GOOD.replace("apple", "appl").into()),
        ("an id in capitals", GOOD.replace("apple", "APPLE").into()),
        ("the same 32 bytes, spelt V", GOOD.replace("MCU", "MCV").into()),
        ("the same 32 bytes, spelt W", GOOD.replace("MCU", "MCW").into()),
        ("the same 32 bytes, spelt X", GOOD.replace("MCU", "MCX").into()),
        ("a bare % in the prefix", GOOD.replace("s%3A", "s%").into()),
        ("a bare % at the end", format!("{GOOD}%").into()),
        ("half an escape at the end", format!("{GOOD}%4").into()),
        ("a malformed escape in the id", GOOD.replace("apple", "apple%zz").into()),
        ("a malformed escape in raw text", RAW.replace("apple", "apple%").into()),
        ("an invalid UTF-8 escape", GOOD.replace("apple", "apple%FF").into()),
        ("an overlong UTF-8 escape", GOOD.replace("apple", "%C1%A1pple").into()),
        ("empty", "".into()),
        ("quotes around nothing", "\"\"".into()),
        ("a lone quote", "\"".into()),
        ("s: alone", "s%3A".into()),
        ("s: and a dot", "s%3A.".into()),
        (
            "a good signature over an empty id",
            "s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc".into(),
        ),
        ("raw UTF-8", "s:é☃😀.YGkKJLap2osZvokj8dBZyC1veafgJ+dULPICiDfdw38".into()),
        ("raw Latin-1", b"s:\xE9.YGkKJLap2osZvokj8dBZyC1veafgJ+dULPICiDfdw38".to_vec()),
        ("raw UTF-8 beside escapes", "s%3Aé☃😀.YGkKJLap2osZvokj8dBZyC1veafgJ%2BdULPICiDfdw38".into()),
        ("encoded twice", GOOD.replace('%', "%25").into()),
        ("HMAC-SHA1", "s%3Aapple.p%2FofqtWcf8M7wzzOinbVq8ypEOg".into()),
        ("the signature of another secret", "s%3Aapple.983qzGg26N4vCfnfyQ%2B05fJvRk8RzL8gdNJg11RbHNs".into()),
        ("the id and its signature the wrong way round", format!("s:{signature}.apple").into()),
        ("plain JSON", "{\"n\":1}".into()),
    ];
    for (case, value) in values {
        let line = [b"connect.sid=", &*value].concat();
        let session = open(&config, &cookie_lines([line])).await;
        assert_eq!(session.origin(), Origin::BadSignature, "{case}");
        assert!(session.is_new() && session.is_empty(), "{case}");
        assert!(!STORED.contains(&session.id().as_str()), "{case}");
        assert_eq!(store.calls(), [""; 0], "{case}");
    }
}

#[tokio::test]
async fn another_name_is_another_cookie() {
    let (config, store) = setup().await;
    for name in [
        "Connect.sid",
        "CONNECT.SID",
        "connect.sid2",
        "xconnect.sid",
        "\"connect.sid\"",
        "$connect.sid",
        "connect%2Esid",
    ] {
        let session = open(&config, &cookie_lines([format!("{name}={GOOD}")])).await;
        assert_eq!(session.origin(), Origin::NoCookie, "{name}");
    }
    // White space of Unicode is no white space of a cookie.
    let session = open(&config, &cookie_lines([format!("\u{2000}connect.sid={GOOD}")])).await;
    assert_eq!(session.origin(), Origin::NoCookie);
    let session = open(&config, &cookie_lines(["connect.sid", "; =", "", GOOD])).await;
    assert_eq!(session.origin(), Origin::NoCookie);
    assert_eq!(store.calls(), [""; 0]);
}

/// A duplicate that somebody planted on a parent domain or a longer path locks nobody out.
#[tokio::test]
async fn the_first_cookie_that_verifies_and_lives_is_taken() {
    let (config, store) = setup().await;
    let dead = config.sign(&id("no such session"));
    let pear = config.sign(&id("pear"));
    let cases = [
        ("bad, good", vec![BAD, GOOD], "apple", 1),
        ("good, bad", vec![GOOD, BAD], "apple", 1),
        ("dead, good", vec![&dead, GOOD], "apple", 2),
        ("good, good", vec![&pear, GOOD], "pear", 1),
        ("three bad ones", vec![BAD, "", "x", GOOD], "apple", 1),
        ("three dead ones", vec![&dead, &dead, &dead, GOOD], "apple", 4),
    ];
    for (case, values, sid, loads) in cases {
        let one_line = values.iter().map(|value| format!("connect.sid={value}")).collect::<Vec<_>>();
        for headers in [cookie_lines([one_line.join("; ")]), cookie_lines(&one_line)] {
            let session = open(&config, &headers).await;
            assert_eq!((session.origin(), session.id()), (Origin::Loaded, id(sid)), "{case}");
            assert_eq!(store.calls().iter().filter(|call| **call == "get").count(), loads, "{case}");
        }
    }
}

#[tokio::test]
async fn the_fifth_cookie_of_the_name_is_not_looked_at() {
    let (config, store) = setup().await;
    let bad = format!("connect.sid={BAD}; ").repeat(4);
    let session = open(&config, &cookie_lines([format!("{bad}connect.sid={GOOD}")])).await;
    assert_eq!(session.origin(), Origin::BadSignature);
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn the_origin_is_the_closest_miss() {
    let (config, _) = setup().await;
    let dead = config.sign(&id("no such session"));
    for values in [[BAD, &*dead], [&*dead, BAD]] {
        let lines = values.map(|value| format!("connect.sid={value}"));
        assert_eq!(open(&config, &cookie_lines(lines)).await.origin(), Origin::Unknown);
    }
}

/// bunWay writes signatures in the URL-safe alphabet.
#[tokio::test]
async fn url_safe_signatures_are_accepted() {
    let (config, _) = setup().await;
    assert_eq!(config.verify(URL_SAFE), Some(id("apple")));
    assert_eq!(open(&config, &cookie_lines(line(URL_SAFE))).await.origin(), Origin::Loaded);
    // What is written back is the standard one.
    assert_eq!(config.sign(&id("apple")), GOOD);
}

#[tokio::test]
async fn a_changed_byte_is_never_accepted() {
    let (config, store) = setup().await;
    for value in [GOOD, RAW, URL_SAFE] {
        for at in 0..value.len() {
            for mask in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
                let mut bytes = format!("connect.sid={value}").into_bytes();
                let flipped = bytes[12 + at] ^ mask;
                // `%3a` is `%3A`.
                if mask == 0x20 && value.as_bytes()[..at].iter().rev().take(2).any(|&byte| byte == b'%') {
                    continue;
                }
                bytes[12 + at] = flipped;
                let Ok(header) = axum::http::HeaderValue::from_bytes(&bytes) else { continue };
                let session = open(&config, &cookie_lines([header.as_bytes()])).await;
                assert!(session.is_new(), "{}", header.as_bytes().escape_ascii());
            }
        }
    }
    assert_eq!(store.calls(), [""; 0]);
}

#[tokio::test]
async fn huge_and_broken_headers_are_only_misses() {
    let (config, store) = setup().await;
    let huge = "x".repeat(64 * 1024);
    let thousand: String = (0..1000).map(|n| format!("c{n}=v; ")).collect();
    let invalid = [b"connect.sid=".to_vec(), (0x80..=0xFF).collect()].concat();
    let headers: Vec<(&str, Vec<u8>)> = vec![
        ("64 kB", format!("connect.sid={huge}").into()),
        ("64 kB signed", format!("connect.sid=s%3A{huge}.{}", &GOOD[11..]).into()),
        ("64 kB of %", format!("connect.sid={}", "%".repeat(64 * 1024)).into()),
        ("64 kB of escapes", format!("connect.sid={}", "%41".repeat(20_000)).into()),
        ("64 kB of ;", ";".repeat(64 * 1024).into()),
        ("64 kB of quotes", format!("connect.sid={}", "\"".repeat(64 * 1024)).into()),
        ("a thousand others", thousand.clone().into()),
        ("invalid UTF-8", invalid),
    ];
    for (case, header) in headers {
        let session = open(&config, &cookie_lines([header])).await;
        assert!(session.is_new(), "{case}");
    }
    assert_eq!(store.calls(), [""; 0]);
    let session = open(&config, &cookie_lines([format!("{thousand}connect.sid={GOOD}")])).await;
    assert_eq!(session.origin(), Origin::Loaded);
    let session = open(
        &config,
        &cookie_lines(
            [b"a=\xFF\xFE; connect.sid=", GOOD.as_bytes()].map(<[u8]>::to_vec).concat().chunks(999),
        ),
    )
    .await;
    assert_eq!(session.origin(), Origin::Loaded);
}

/// A signature does not make a text an id: what no server of ours mints is not looked up.
#[tokio::test]
async fn signed_ids_that_break_the_rules_are_rejected() {
    use base64::Engine as _;
    use hmac::{KeyInit as _, Mac as _};
    let (config, store) = setup().await;
    let sign = |sid: &str| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"keyboard cat").unwrap();
        mac.update(sid.as_bytes());
        let signature = base64::engine::general_purpose::STANDARD_NO_PAD.encode(mac.finalize().into_bytes());
        let text = format!("s:{sid}.{signature}");
        text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>()
    };
    assert_eq!(config.verify(&sign("apple")), Some(id("apple")), "the signer of this test is right");
    assert_eq!(config.verify(&sign(&"x".repeat(256))), Some(id(&"x".repeat(256))));
    for sid in ["", "a\nb", "a\0b", "\u{7f}", "a\u{85}b", &"x".repeat(257)] {
        let session = open(&config, &cookie_lines(line(&sign(sid)))).await;
        assert_eq!(session.origin(), Origin::BadSignature, "{sid:?}");
    }
    assert_eq!(store.calls(), [""; 0]);
}
