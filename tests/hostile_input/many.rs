//! Keys and messages by the hundred thousand, which somebody may have made an application store: what they
//! take grows with their number and not with its square.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::common::stores::Texts;
use crate::common::{TestClient, builder, id};
use sessile::{Record, Session};

const MANY: usize = 200_000;
const COOKIE: &str = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

/// Takes seconds at most; a square of [`MANY`] takes minutes on a fast machine.
fn in_time(act: impl FnOnce() + Send + 'static) {
    let (ended, wait) = channel();
    let thread = std::thread::spawn(move || {
        act();
        ended.send(())
    });
    match wait.recv_timeout(Duration::from_secs(60)) {
        Err(RecvTimeoutError::Timeout) => panic!("it takes too long"),
        _ => thread.join().unwrap().unwrap(),
    }
}

/// A record with these other members.
fn record(members: &[String]) -> String {
    format!("{{{COOKIE},{}}}", members.join(","))
}

fn keys() -> Vec<String> {
    (0..MANY).map(|n| format!("key-{n}")).collect()
}

fn with_session(text: String, act: impl AsyncFnOnce(&Session)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = builder().store(Texts::with("apple", text)).build().unwrap();
        act(&TestClient::holding(&config, &id("apple")).open(&config).await).await;
    });
}

#[test]
fn keys_of_a_record() {
    in_time(|| {
        let keys = keys();
        let members: Vec<_> = keys.iter().map(|key| format!("\"{key}\":1")).collect();
        with_session(record(&members), async |session| {
            assert_eq!(session.keys(), keys);
            session.insert("fresh", 1).unwrap();
            assert_eq!(session.len(), MANY + 1);
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn escaped_keys_of_a_record() {
    in_time(|| {
        let members: Vec<_> = keys().iter().map(|key| format!("\"\\\"{key}\":1")).collect();
        Record::from_json(record(&members)).unwrap();
    });
}

#[test]
fn keys_of_a_value() {
    in_time(|| {
        let map: HashMap<_, _> = keys().into_iter().map(|key| (key, 1)).collect();
        // Each map has a seed of its own, and with it another order.
        let same: HashMap<_, _> = map.clone().into_iter().collect();
        let text = record(&[format!("\"map\":{}", serde_json::to_string(&map).unwrap())]);
        with_session(text, async |session| {
            session.insert("map", &same).unwrap();
            assert!(!session.is_modified());
        });
    });
}

#[test]
fn flash_messages() {
    in_time(|| {
        let messages: Vec<_> = keys().iter().map(|key| format!("\"{key}\"")).collect();
        let text = record(&[format!("\"flash\":{{\"info\":[{}]}}", messages.join(","))]);
        with_session(text, async |session| {
            assert_eq!(session.take_flash::<String>("info").unwrap().len(), MANY);
            assert_eq!(session.peek_flash::<String>("info").unwrap(), [""; 0]);
            (0..MANY).for_each(|n| session.flash("error", n).unwrap());
            assert_eq!(session.peek_flash::<usize>("error").unwrap().len(), MANY);
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn kinds_of_flash_messages() {
    in_time(|| {
        let kinds: Vec<_> = keys().iter().map(|key| format!("\"{key}\":[1]")).collect();
        with_session(record(&[format!("\"flash\":{{{}}}", kinds.join(","))]), async |session| {
            session.flash("key-1", 2).unwrap();
            session.flash("fresh", 3).unwrap();
            let flashes = session.take_all_flash();
            assert_eq!((flashes.len(), flashes.get("key-1")), (MANY + 2, &[1.into(), 2.into()][..]));
            assert!(session.is_modified() && session.take_all_flash().is_empty());
            session.commit().await.map(drop).unwrap();
        });
    });
}
