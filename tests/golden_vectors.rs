//! The cookie values that express-session 1.19 writes.

use sessile::testing::{Answer, Visitor};
use sessile::{MemoryStore, Origin, Secrets, SessionConfig, SessionId};

const CAT: &str = "keyboard cat";
const CYRILLIC: &str = "пароль-密码-🔑";

fn config(secret: impl Into<Secrets>) -> SessionConfig {
    SessionConfig::new(secret).unwrap()
}

fn vectors() -> Vec<(Secrets, &'static str, &'static str)> {
    let bytes: Vec<u8> = (0..32).collect();
    vec![
        (CAT.into(), "apple", "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU"),
        (CAT.into(), "%", "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g"),
        (CAT.into(), "/foo", "s%3A%2Ffoo.paEKBtAHbV5s1IB8B2zPnzAgYmmnRPIqObW4VRYj%2FMQ"),
        (
            CAT.into(),
            "0123456789abcdefghijklmnopqrstuv",
            "s%3A0123456789abcdefghijklmnopqrstuv.CP7rMi5wLTU3wgaBt19C3w7NvZFqz9xhKXnQ%2FdSpkXo",
        ),
        (
            CAT.into(),
            r#"a b;c=d,"e\f"#,
            "s%3Aa%20b%3Bc%3Dd%2C%22e%5Cf.6b2qkPpy0wAnp8SSzXuodpF8n4slIN6j2gH7gn6vQfE",
        ),
        (CAT.into(), "user.42.v1", "s%3Auser.42.v1.5VUz5U1OLhrbYBs0qiSHPz8FiLsBs%2B332VUY%2FYDWSuo"),
        (CAT.into(), "-_.!~*'()", "s%3A-_.!~*'().VtBZToUs29mWuNZegr1F56FosCXR26d4%2BYCx%2Fr0sXJU"),
        (CAT.into(), "é☃😀", "s%3A%C3%A9%E2%98%83%F0%9F%98%80.YGkKJLap2osZvokj8dBZyC1veafgJ%2BdULPICiDfdw38"),
        (CYRILLIC.into(), "apple", "s%3Aapple.8jLZWQfndBSw7JGN87Tsf1jrLa1q9V%2BtgGNpnHLdGrI"),
        (
            CYRILLIC.into(),
            "é☃😀",
            "s%3A%C3%A9%E2%98%83%F0%9F%98%80.GwJ9sag2l0yGkMw3Qy3eI2QiJPiIKee%2B8eHwg9FKp6g",
        ),
        (bytes.into(), "apple", "s%3Aapple.WYwX37lUK1ZJ678SuZkryL7p%2B0IObdCKdKJxWvnl4gc"),
        (
            "s3cr3t with spaces and \0 NUL".into(),
            "apple",
            "s%3Aapple.4eAyVRwDOQ8y6IWDrElLe1%2FZZ6iCrHRgzE6yakpeimU",
        ),
        ("x".repeat(100).into(), "apple", "s%3Aapple.SdhIwFYwcKdSdrgJXqri35oKQiMXOCB9YVA9Br1XlmU"),
        (
            CAT.into(),
            "550e8400-e29b-41d4-a716-446655440000",
            "s%3A550e8400-e29b-41d4-a716-446655440000.q7T9n6U00QbnFRxOQ56QrGcLtwYH08pZfpalzJFt%2FnA",
        ),
        (
            CAT.into(),
            "+/=&?#@:$",
            "s%3A%2B%2F%3D%26%3F%23%40%3A%24.HkVxWOTafKIuCUjgHRDHNnmFS44a%2BtuXcYyfwmA5698",
        ),
        (CAT.into(), "s:apple", "s%3As%3Aapple.uMWMbpbhc1aeSFx7WxdvI9HeanZs7CUgzU%2Bv50m%2Bdxo"),
        ("nyan cat".into(), "apple", "s%3Aapple.983qzGg26N4vCfnfyQ%2B05fJvRk8RzL8gdNJg11RbHNs"),
        ("ключ".into(), "a=b", "s%3Aa%3Db.yz6OmdwIPV4QLXq64Bt%2Fj6%2BUYagtVFHH3ASIO4Dc7xU"),
        (
            CAT.into(),
            "日本語セッション",
            "s%3A%E6%97%A5%E6%9C%AC%E8%AA%9E%E3%82%BB%E3%83%83%E3%82%B7%E3%83%A7%E3%83%B3.6YEJ9sU%2F9pfrzO4t4DzGpxNNfkfb267lT7eBGraDnac",
        ),
        ("keyboard cat".into(), "A", "s%3AA.JKhl7WXQnhbIjFHqoDG%2FmNsCfKBxR8c9s5YaFzRzlhc"),
        ("new".into(), "A", "s%3AA.6QMH2OwBM1AzmYdMCEDdvl6n3bHMX1KHzPWLI73PnUk"),
    ]
}

#[test]
fn signing_and_verifying_are_express() {
    for (secret, id, value) in vectors() {
        let config = config(secret);
        let id = SessionId::new(id).unwrap();
        assert_eq!(config.sign(&id), value);
        assert!(config.verify(value) == Some(id), "{value}");
    }
}

#[test]
fn every_secret_verifies_and_the_first_signs() {
    let config = config([CAT, "nyan cat"]);
    let (old, new) = (
        "s%3Aapple.983qzGg26N4vCfnfyQ%2B05fJvRk8RzL8gdNJg11RbHNs",
        "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU",
    );
    let id = config.verify(old).unwrap();
    assert_eq!(config.sign(&id), new);
    assert!(self::config("nyan cat").verify(new).is_none());
}

#[test]
fn a_signed_empty_id_is_no_session() {
    assert!(config(CAT).verify("s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc").is_none());
}

#[tokio::test]
async fn a_rotated_secret_reaches_the_cookie_at_the_next_commit() {
    let store = MemoryStore::new();
    let with = |secrets: &[&str]| {
        let id = || SessionId::new("A").unwrap();
        SessionConfig::builder(secrets).store(store.clone()).genid(id).browser_session().build().unwrap()
    };
    let mut visitor = Visitor::new(&with(&[CAT]));
    let session = visitor.open().await.unwrap();
    visitor.commit(&session).await.unwrap();
    assert!(
        visitor.headers()["cookie"]
            .to_str()
            .unwrap()
            .ends_with("JKhl7WXQnhbIjFHqoDG%2FmNsCfKBxR8c9s5YaFzRzlhc")
    );

    let rotated = with(&["new", CAT]);
    for _ in 0..2 {
        // The second round has the new cookie: nothing is due.
        let session = rotated.session_from_headers(&visitor.headers()).await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded);
        let before = visitor.headers()["cookie"].clone();
        let answer = visitor.receive(session.commit().await.unwrap());
        let renewed = before.to_str().unwrap().ends_with("aFzRzlhc");
        assert_eq!(answer, if renewed { Answer::Set } else { Answer::NoCookie });
    }
    assert!(
        visitor.headers()["cookie"]
            .to_str()
            .unwrap()
            .ends_with("6QMH2OwBM1AzmYdMCEDdvl6n3bHMX1KHzPWLI73PnUk")
    );
    let gone = with(&[CAT]).session_from_headers(&visitor.headers()).await.unwrap();
    assert_eq!(gone.origin(), Origin::BadSignature, "the old secret alone does not verify the new cookie");
}
