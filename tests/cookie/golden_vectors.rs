//! The signed cookie, byte for byte: values that express-session 1.19 writes, and the rotation of secrets.

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, id, router};
use sessile::{Session, SessionConfig, SessionError, SessionGuard, SessionId};

const CAT: &[u8] = b"keyboard cat";
const RUSSIAN: &str = "пароль-密码-🔑";

#[rustfmt::skip]
fn vectors() -> Vec<(u8, Vec<u8>, &'static str, &'static str)> {
    let bytes: Vec<u8> = (0..32).collect();
    vec![
        (1, CAT.into(), "apple", "s%3Aapple.D8Y%2BpkTAmeR0PobOhY4G97PRW%2Bj7bUnP%2F5m6%2FOn1MCU"),
        (2, CAT.into(), "%", "s%3A%25.kzQ6x52kKVdF35Qh62AWk4ZekS28K5XYCXKa%2FOTZ01g"),
        (3, CAT.into(), "/foo", "s%3A%2Ffoo.paEKBtAHbV5s1IB8B2zPnzAgYmmnRPIqObW4VRYj%2FMQ"),
        (4, CAT.into(), "0123456789abcdefghijklmnopqrstuv", "s%3A0123456789abcdefghijklmnopqrstuv.CP7rMi5wLTU3wgaBt19C3w7NvZFqz9xhKXnQ%2FdSpkXo"),
        (5, CAT.into(), "a b;c=d,\"e\\f", "s%3Aa%20b%3Bc%3Dd%2C%22e%5Cf.6b2qkPpy0wAnp8SSzXuodpF8n4slIN6j2gH7gn6vQfE"),
        (6, CAT.into(), "user.42.v1", "s%3Auser.42.v1.5VUz5U1OLhrbYBs0qiSHPz8FiLsBs%2B332VUY%2FYDWSuo"),
        (7, CAT.into(), "-_.!~*'()", "s%3A-_.!~*'().VtBZToUs29mWuNZegr1F56FosCXR26d4%2BYCx%2Fr0sXJU"),
        (8, CAT.into(), "é☃😀", "s%3A%C3%A9%E2%98%83%F0%9F%98%80.YGkKJLap2osZvokj8dBZyC1veafgJ%2BdULPICiDfdw38"),
        (9, RUSSIAN.into(), "apple", "s%3Aapple.8jLZWQfndBSw7JGN87Tsf1jrLa1q9V%2BtgGNpnHLdGrI"),
        (10, RUSSIAN.into(), "é☃😀", "s%3A%C3%A9%E2%98%83%F0%9F%98%80.GwJ9sag2l0yGkMw3Qy3eI2QiJPiIKee%2B8eHwg9FKp6g"),
        (11, bytes, "apple", "s%3Aapple.WYwX37lUK1ZJ678SuZkryL7p%2B0IObdCKdKJxWvnl4gc"),
        (12, b"s3cr3t with spaces and \0 NUL".into(), "apple", "s%3Aapple.4eAyVRwDOQ8y6IWDrElLe1%2FZZ6iCrHRgzE6yakpeimU"),
        (13, vec![b'x'; 100], "apple", "s%3Aapple.SdhIwFYwcKdSdrgJXqri35oKQiMXOCB9YVA9Br1XlmU"),
        (14, CAT.into(), "550e8400-e29b-41d4-a716-446655440000", "s%3A550e8400-e29b-41d4-a716-446655440000.q7T9n6U00QbnFRxOQ56QrGcLtwYH08pZfpalzJFt%2FnA"),
        (15, CAT.into(), "+/=&?#@:$", "s%3A%2B%2F%3D%26%3F%23%40%3A%24.HkVxWOTafKIuCUjgHRDHNnmFS44a%2BtuXcYyfwmA5698"),
        (16, CAT.into(), "s:apple", "s%3As%3Aapple.uMWMbpbhc1aeSFx7WxdvI9HeanZs7CUgzU%2Bv50m%2Bdxo"),
        (17, b"nyan cat".into(), "apple", "s%3Aapple.983qzGg26N4vCfnfyQ%2B05fJvRk8RzL8gdNJg11RbHNs"),
        (19, "ключ".into(), "a=b", "s%3Aa%3Db.yz6OmdwIPV4QLXq64Bt%2Fj6%2BUYagtVFHH3ASIO4Dc7xU"),
        (20, CAT.into(), "日本語セッション", "s%3A%E6%97%A5%E6%9C%AC%E8%AA%9E%E3%82%BB%E3%83%83%E3%82%B7%E3%83%A7%E3%83%B3.6YEJ9sU%2F9pfrzO4t4DzGpxNNfkfb267lT7eBGraDnac"),
        (21, CAT.into(), "A", OLD),
        (21, b"new".into(), "A", NEW),
    ]
}

const OLD: &str = "s%3AA.JKhl7WXQnhbIjFHqoDG%2FmNsCfKBxR8c9s5YaFzRzlhc";
const NEW: &str = "s%3AA.6QMH2OwBM1AzmYdMCEDdvl6n3bHMX1KHzPWLI73PnUk";

#[test]
fn every_vector_is_signed_as_express_does() {
    for (row, secret, sid, value) in vectors() {
        let config = SessionConfig::new(secret).unwrap();
        assert_eq!(config.sign(&id(sid)), value, "row {row}");
    }
}

#[test]
fn every_vector_verifies_to_its_id() {
    for (row, secret, sid, value) in vectors() {
        let config = SessionConfig::new(secret).unwrap();
        assert_eq!(config.verify(value), Some(id(sid)), "row {row}");
    }
}

#[test]
fn no_vector_verifies_under_another_secret() {
    let config = SessionConfig::new("not the keyboard cat").unwrap();
    for (row, _, _, value) in vectors() {
        assert_eq!(config.verify(value), None, "row {row}");
    }
}

#[test]
fn text_and_bytes_are_the_same_secret() {
    let value = config_value(SessionConfig::new("keyboard cat"));
    assert_eq!(value, config_value(SessionConfig::new(String::from("keyboard cat"))));
    assert_eq!(value, config_value(SessionConfig::new(CAT)));
    assert_eq!(value, config_value(SessionConfig::new(CAT.to_vec())));
    assert_eq!(value, config_value(SessionConfig::new(["keyboard cat", "older"])));
    assert_eq!(value, config_value(SessionConfig::new(vec![CAT, b"older"])));
}

fn config_value(config: Result<SessionConfig, sessile::ConfigError>) -> String {
    config.unwrap().sign(&id("apple"))
}

/// Row 18: a good signature over nothing is no session.
#[test]
fn an_empty_id_is_no_session() {
    let config = SessionConfig::new("keyboard cat").unwrap();
    assert_eq!(config.verify("s%3A.aJcKKTu8Uv0mRiw7LTI435t%2BpOa%2BgiU%2FWLAuLCKGEFc"), None);
    assert!(SessionId::new("").is_err());
}

/// Row 17 under `[keyboard cat, nyan cat]`: any secret of the list verifies, the first one signs.
#[test]
fn any_secret_of_a_list_verifies_and_the_first_signs() {
    let config = SessionConfig::new(["keyboard cat", "nyan cat", "third"]).unwrap();
    for row in [1, 17] {
        let (_, _, sid, value) = vectors().into_iter().find(|vector| vector.0 == row).unwrap();
        assert_eq!(config.verify(value), Some(id(sid)), "row {row}");
    }
    let third = SessionConfig::new("third").unwrap().sign(&id("apple"));
    assert_eq!(config.verify(&third), Some(id("apple")));
    assert_eq!(config.sign(&id("apple")), vectors()[0].3);
}

const RECORD: &str = r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"n":1}"#;

async fn rotated() -> (SessionConfig, RecordingStore, TestClient) {
    let store = RecordingStore::default();
    store.plant(&id("A"), RECORD).await;
    let config = SessionConfig::builder(["new", "keyboard cat"]).store(store.clone()).build().unwrap();
    let old = SessionConfig::new("keyboard cat").unwrap();
    (config, store, TestClient::holding(&old, &id("A")))
}

/// Express never finishes a rotation for sessions without a max-age; here the next commit does.
#[tokio::test]
async fn a_cookie_under_an_old_secret_is_signed_anew_by_an_untouched_commit() {
    let (config, store, mut client) = rotated().await;
    assert_eq!(client.value("connect.sid"), Some(OLD));
    let app = router(&config, async |session: Session| session.commit().await);
    let answer = client.get(&app, "/").await;
    assert_eq!(answer.cookie().expect("the cookie is issued anew").value, NEW);
    assert_eq!(store.text(&id("A")).await.as_deref().map(|text| text.contains("\"n\":1")), Some(true));
    // Under the new secret there is nothing left to do.
    let answer = client.get(&app, "/").await;
    assert!(answer.cookie().is_none());
}

#[tokio::test]
async fn a_cookie_under_an_old_secret_is_signed_anew_by_a_change() {
    async fn change(session: Session) -> Result<SessionGuard, SessionError> {
        assert_eq!(session.get::<u8>("n")?, Some(1));
        session.insert("n", 2)?;
        session.commit().await
    }
    let (config, store, mut client) = rotated().await;
    let answer = client.get(&router(&config, change), "/").await;
    assert_eq!(answer.cookie().expect("the cookie is issued anew").value, NEW);
    assert!(store.text(&id("A")).await.unwrap().ends_with("\"n\":2}"));
    // A process that knows the new secret alone takes it over.
    let next = SessionConfig::builder("new").store(store).build().unwrap();
    assert_eq!(client.open(&next).await.get::<u8>("n").unwrap(), Some(2));
}

#[tokio::test]
async fn a_secret_taken_off_the_list_verifies_no_more() {
    let (_, store, client) = rotated().await;
    let config = SessionConfig::builder("new").store(store.clone()).build().unwrap();
    assert!(client.open(&config).await.is_new());
    assert_eq!(store.calls(), [""; 0]);
}
