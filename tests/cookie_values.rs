//! Which cookies name a session, and which do not: Express' list, and what is different on purpose.

use axum::http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use sessile::testing::{Op, Probe};
use sessile::{MemoryStore, Origin, Record, SessionConfig, SessionId, SessionStore};
use std::time::Duration;

const CAT: &str = "keyboard cat";
const APPLE: &str = "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU";
const HOUR: Duration = Duration::from_secs(3600);

/// A configuration over a store that has sessions under these ids.
async fn config(ids: &[&str]) -> (SessionConfig, Probe<MemoryStore>) {
    let probe = Probe::new(MemoryStore::new());
    for id in ids {
        probe.set(&SessionId::new(*id).unwrap(), &Record::default(), HOUR).await.unwrap();
    }
    probe.reset();
    (SessionConfig::builder(CAT).store(probe.clone()).build().unwrap(), probe)
}

fn headers<V: AsRef<[u8]>>(lines: &[V]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append("cookie", HeaderValue::from_bytes(line.as_ref()).unwrap());
    }
    headers
}

#[tokio::test]
async fn what_express_accepts_is_accepted() {
    let plain = "s:apple.D8Y+pkTAmeR0PobOhY4G97PRW+j7bUnP/5m6/On1MCU";
    let accepted: Vec<(&str, Vec<String>)> = vec![
        ("canonical", vec![format!("connect.sid={APPLE}")]),
        (
            "lower-case hex",
            vec![format!("connect.sid={}", APPLE.replace("%3A", "%3a").replace("%2B", "%2b"))],
        ),
        ("no percent-encoding", vec![format!("connect.sid={plain}")]),
        ("over-encoded letters", vec![format!("connect.sid={}", APPLE.replace("apple", "%61p%70le"))]),
        ("quoted", vec![format!("connect.sid=\"{APPLE}\"")]),
        ("white space around =", vec![format!("connect.sid \t=\t {APPLE} ")]),
        ("others around", vec![format!("a=b; connect.sid={APPLE}; c=d")]),
        ("no space behind ;", vec![format!("a=b;connect.sid={APPLE};c=d")]),
        ("a pair without = before", vec![format!("junk; connect.sid={APPLE}")]),
        ("a bad duplicate behind", vec![format!("connect.sid={APPLE}; connect.sid=bad")]),
        ("a second Cookie line", vec!["a=b".into(), format!("connect.sid={APPLE}")]),
        // Express takes the first only.
        ("a bad duplicate before", vec![format!("connect.sid=bad; connect.sid={APPLE}")]),
        ("the fourth of its name", vec![format!("{}connect.sid={APPLE}", "connect.sid=x; ".repeat(3))]),
        ("a bad duplicate on a line before", vec!["connect.sid=bad".into(), format!("connect.sid={APPLE}")]),
        // bunWay's alphabet.
        ("URL-safe signature", vec![format!("connect.sid={}", plain.replace('+', "-").replace('/', "_"))]),
    ];
    for (name, lines) in accepted {
        let (config, _) = config(&["apple"]).await;
        let session = config.session_from_headers(&headers(&lines)).await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "{name}");
        assert_eq!(session.id().as_str(), "apple", "{name}");
    }
    for id in ["user.42.v1", "a;b=c", "é☃😀", "s:apple", &"x".repeat(256)] {
        let (config, _) = config(&[id]).await;
        let line = format!("connect.sid={}", config.sign(&SessionId::new(id).unwrap()));
        let session = config.session_from_headers(&headers(&[line])).await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "id {id}");
    }
}

#[tokio::test]
async fn what_express_rejects_is_rejected_without_asking_the_store() {
    let signature = APPLE.split_once('.').unwrap().1;
    let plain = signature.replace("%2B", "+").replace("%2F", "/");
    let rejected: Vec<(&str, String)> = vec![
        ("opening quote only", format!("\"{APPLE}")),
        ("no s:", format!("apple.{signature}")),
        ("S:", APPLE.replacen('s', "S", 1)),
        ("j:", APPLE.replacen('s', "j", 1)),
        ("no dot", "s%3Aapple".into()),
        ("no signature", "s%3Aapple.".into()),
        ("padding", format!("{APPLE}%3D")),
        ("plain padding", format!("{APPLE}=")),
        ("+ as space", format!("s:apple.{}", plain.replace('+', " "))),
        ("trailing encoded space", format!("{APPLE}%20")),
        ("truncated", APPLE[..APPLE.len() - 1].into()),
        ("one character more", format!("{APPLE}A")),
        ("another id", APPLE.replace("apple", "apples")),
        ("another spelling of the same bytes", format!("s:apple.{}V", &plain[..42])),
        ("bad % at the end", format!("{APPLE}%")),
        ("bad % in front", format!("%zz{APPLE}")),
        ("bad % in the id", APPLE.replace("apple", "ap%ple")),
        ("invalid UTF-8 escape", APPLE.replace("apple", "%ff")),
        ("empty", String::new()),
        ("s: alone", "s%3A".into()),
        ("a signed empty id", "s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc".into()),
        ("encoded twice", APPLE.replace('%', "%25")),
        ("HMAC-SHA1", "s:apple.uDZb+5fHfG8mPMAJ0Gr8bsGWTHY".into()),
        ("a bare id", "apple".into()),
        ("64 kB", "s%3A".to_owned() + &"x".repeat(65_536)),
        ("64 kB of escapes", "%41".repeat(21_845)),
        ("64 kB in front of a signature", format!("s%3A{}.{signature}", "x".repeat(65_536))),
    ];
    let (config, probe) = config(&["apple"]).await;
    for (name, value) in rejected {
        let session = config.session_from_headers(&headers(&[format!("connect.sid={value}")])).await.unwrap();
        assert_eq!(session.origin(), Origin::BadSignature, "{name}");
        assert_ne!(session.id().as_str(), "apple", "{name}");
    }
    for (name, line) in [
        ("another case", format!("Connect.Sid={APPLE}")),
        ("a longer name", format!("xconnect.sid={APPLE}")),
        ("a prefix of the name", format!("connect.si={APPLE}")),
        ("a no-break space before", format!("\u{a0}connect.sid={APPLE}")),
        ("quoted as a whole", format!("\"connect.sid={APPLE}\"")),
        ("no value", "connect.sid".into()),
    ] {
        let session = config.session_from_headers(&headers(&[line])).await.unwrap();
        assert_eq!(session.origin(), Origin::NoCookie, "{name}");
    }
    let raw = headers(&["connect.sid=s:é.YGkKJLap2osZvokj8dBZyC1veafgJ+dULPICiDfdw38"]);
    let session = config.session_from_headers(&raw).await.unwrap();
    assert_eq!(session.origin(), Origin::BadSignature, "raw UTF-8");
    assert_eq!(probe.total(), 0, "a forged cookie reached the store");
}

#[tokio::test]
async fn at_most_four_cookies_are_tried_and_a_dead_one_hides_no_live_one() {
    let (config, probe) = config(&["apple"]).await;
    let line = format!("{}connect.sid={APPLE}", "connect.sid=x; ".repeat(4));
    assert_eq!(config.session_from_headers(&headers(&[line])).await.unwrap().origin(), Origin::BadSignature);
    assert_eq!(probe.total(), 0);
    let dead = config.sign(&SessionId::new("dead").unwrap());
    let line = format!("connect.sid={dead}; connect.sid={APPLE}");
    assert_eq!(config.session_from_headers(&headers(&[line])).await.unwrap().id().as_str(), "apple");
    let line =
        ["connect.sid=x; ".repeat(500), "other=y; ".repeat(500), format!("connect.sid={APPLE}")].concat();
    probe.reset();
    assert_eq!(config.session_from_headers(&headers(&[line])).await.unwrap().origin(), Origin::BadSignature);
    assert_eq!(probe.calls(Op::Get), 0);
}

#[tokio::test]
async fn no_changed_byte_is_accepted() {
    let (config, probe) = config(&["apple"]).await;
    for at in 0..APPLE.len() {
        for byte in 0..=255_u8 {
            let mut value = APPLE.as_bytes().to_vec();
            value[at] = byte;
            // `%3a` for `%3A` and the URL-safe alphabet are the same value spelt otherwise; a control is no header.
            if byte == APPLE.as_bytes()[at] || byte == b';' || (byte < 32 && byte != 9) || byte == 127 {
                continue;
            }
            let same_hex = APPLE.as_bytes()[at].eq_ignore_ascii_case(&byte)
                && (at > 0 && APPLE.as_bytes()[at - 1] == b'%' || at > 1 && APPLE.as_bytes()[at - 2] == b'%');
            let line = [b"connect.sid=", &value[..]].concat();
            let session = config.session_from_headers(&headers(&[line])).await.unwrap();
            assert_eq!(session.origin() == Origin::Loaded, same_hex, "byte {at} as {byte:#x}");
        }
    }
    assert!(probe.calls(Op::Get) < 20);
}

proptest! {
    #[test]
    fn any_cookie_header_is_survived(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let Ok(value) = HeaderValue::from_bytes(&[b"connect.sid=", &line[..]].concat()) else { return Ok(()) };
        let config = SessionConfig::new(CAT).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("cookie", value);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let session = runtime.block_on(config.session_from_headers(&headers)).unwrap();
        prop_assert_eq!(session.origin(), Origin::BadSignature);
    }

    #[test]
    fn what_is_signed_is_verified(id in "\\PC{1,60}", secret in "\\PC{1,100}") {
        let config = SessionConfig::new(secret).unwrap();
        let id = SessionId::new(id).unwrap();
        prop_assert!(config.verify(&config.sign(&id)) == Some(id));
    }

    #[test]
    fn any_text_is_no_record_or_the_same_record(text in "\\PC{0,80}", data in "[\\[\\]{}\":,a-c0-9 \\\\u]{0,40}") {
        for text in [text, format!("{{\"cookie\":{{}},{data}}}"), format!("{{\"cookie\":{{{data}}}}}")] {
            if let Ok(record) = Record::from_json(text.clone()) {
                prop_assert_eq!(record.as_json(), text);
            }
        }
    }
}
