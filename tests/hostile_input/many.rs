//! Keys and messages by the thousand, which somebody may have made an application store: what they take grows
//! with their number and not with its square.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::common::stores::Texts;
use crate::common::{TestClient, builder, id};
use sessile::{Record, Session};

const FEW: usize = 500;
const TIMES: usize = 8;
const COOKIE: &str = r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;

/// Does something with a few keys or messages, and with [`TIMES`] as many. That takes [`TIMES`] as long, or a
/// little longer where less of it fits into the caches; what looks at all of them in each call takes the
/// square of [`TIMES`] as long. The middle of the two is the limit.
///
/// The time is what this thread has had of a processor. Other programs can make that longer and never
/// shorter, so the least of several attempts counts.
fn grows_with_its_number(act: impl Fn(usize)) {
    const LIMIT: f64 = 22.6;
    let time = |count| {
        let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
        let began = now();
        act(count);
        now() - began
    };
    let (mut few, mut many) = (Duration::MAX, Duration::MAX);
    for _ in 0..4 {
        few = few.min(time(FEW)).min(time(FEW));
        many = many.min(time(TIMES * FEW));
        let factor = many.as_secs_f64() / few.as_secs_f64();
        println!("{FEW} take {few:.2?}, {TIMES} times as many {many:.2?}: {factor:.1} times as long");
        if factor < LIMIT {
            return;
        }
    }
    panic!("the time grows faster than the number");
}

/// A record with these other members.
fn record(members: &[String]) -> String {
    format!("{{{COOKIE},{}}}", members.join(","))
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("key-{n}")).collect()
}

fn with_session(text: String, act: impl AsyncFnOnce(&Session)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let builder = builder().max_record_bytes(usize::MAX).max_flash(usize::MAX);
        let config = builder.store(Texts::with("apple", text)).build().unwrap();
        act(&TestClient::holding(&config, &id("apple")).open(&config).await).await;
    });
}

#[test]
fn keys_of_a_record() {
    grows_with_its_number(|count| {
        let keys = numbered(count);
        let members: Vec<_> = keys.iter().map(|key| format!("\"{key}\":1")).collect();
        with_session(record(&members), async |session| {
            assert_eq!(session.keys(), keys);
            session.insert("fresh", 1).unwrap();
            assert_eq!(session.len(), count + 1);
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn escaped_keys_of_a_record() {
    grows_with_its_number(|count| {
        let members: Vec<_> = numbered(count).iter().map(|key| format!("\"\\\"{key}\":1")).collect();
        Record::from_json(record(&members)).unwrap();
    });
}

#[test]
fn keys_read_one_by_one() {
    grows_with_its_number(|count| {
        let members: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\":1")).collect();
        with_session(record(&members), async |session| {
            for key in numbered(count) {
                assert_eq!(session.get::<usize>(&key).unwrap(), Some(1));
            }
        });
    });
}

/// Each call is made once for each key: none of them looks at the other keys.
#[test]
fn keys_put_in_one_by_one() {
    grows_with_its_number(|count| {
        with_session(record(&["\"n\":1".to_owned()]), async |session| {
            for (n, key) in numbered(count).iter().enumerate() {
                session.insert(key, n).unwrap();
                session.insert("last", n).unwrap();
                assert!(session.is_modified() && session.contains_key(key) && !session.is_empty());
                assert_eq!((session.get::<usize>(key).unwrap(), session.len()), (Some(n), n + 3));
            }
            for n in 0..count {
                session.insert("last", n).unwrap();
                assert_eq!(session.get::<usize>("last").unwrap(), Some(n));
            }
            assert_eq!(session.keys().len(), count + 2);
            session.commit().await.map(drop).unwrap();
            assert!(!session.is_modified() && session.len() == count + 2);
        });
    });
}

#[test]
fn keys_read_changed_and_removed_one_by_one() {
    grows_with_its_number(|count| {
        let members: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\":1")).collect();
        with_session(record(&members), async |session| {
            for key in numbered(count) {
                assert_eq!(session.get::<usize>(&key).unwrap(), Some(1));
                assert!(!session.is_modified() && session.len() == count);
            }
            for key in numbered(count) {
                session.insert(&key, 2).unwrap();
                session.update(&key, |n: Option<usize>| n.map(|n| n + 1)).unwrap();
                assert!(session.is_modified() && session.max_age().is_none());
            }
            session.commit().await.map(drop).unwrap();
            for (n, key) in numbered(count).iter().enumerate() {
                assert_eq!(session.remove::<usize>(key).unwrap(), Some(3));
                assert_eq!(session.len(), count - n - 1);
            }
            assert!(session.is_empty() && session.is_modified());
            session.commit().await.map(drop).unwrap();
        });
    });
}

/// What goes in and out again leaves as little behind as it was.
#[test]
fn keys_put_in_and_taken_out_again() {
    grows_with_its_number(|count| {
        let members: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\":1")).collect();
        with_session(record(&members), async |session| {
            for key in numbered(count) {
                session.remove::<usize>(&key).unwrap();
                session.insert(&key, 1).unwrap();
                assert!(!session.is_modified());
            }
            for n in 0..count {
                session.insert("again", n).unwrap();
                assert_eq!(session.remove::<usize>("again").unwrap(), Some(n));
            }
            assert!(!session.is_modified());
            session.clear();
            for key in numbered(count) {
                session.insert(&key, 1).unwrap();
                assert_eq!(session.get::<usize>(&key).unwrap(), Some(1));
                session.clear();
                assert!(session.is_modified() && session.is_empty());
            }
            session.insert("last", 1).unwrap();
            session.commit().await.map(drop).unwrap();
            assert_eq!(session.keys(), ["last"]);
        });
    });
}

#[test]
fn flash_messages() {
    grows_with_its_number(|count| {
        let messages: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\"")).collect();
        let text = record(&[format!("\"flash\":{{\"info\":[{}]}}", messages.join(","))]);
        with_session(text, async |session| {
            assert_eq!(session.take_flash::<String>("info").unwrap().len(), count);
            assert_eq!(session.peek_flash::<String>("info").unwrap(), [""; 0]);
            (0..count).for_each(|n| session.flash("error", n).unwrap());
            assert_eq!(session.peek_flash::<usize>("error").unwrap().len(), count);
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn kinds_of_flash_messages() {
    grows_with_its_number(|count| {
        let kinds: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\":[1]")).collect();
        with_session(record(&[format!("\"flash\":{{{}}}", kinds.join(","))]), async |session| {
            session.flash("key-1", 2).unwrap();
            session.flash("fresh", 3).unwrap();
            let flashes = session.take_all_flash();
            assert_eq!((flashes.len(), flashes.get("key-1")), (count + 2, &[1.into(), 2.into()][..]));
            assert!(session.is_modified() && session.take_all_flash().is_empty());
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn kinds_of_flash_messages_one_by_one() {
    grows_with_its_number(|count| {
        let kinds: Vec<_> = numbered(count).iter().map(|key| format!("\"{key}\":[1]")).collect();
        with_session(record(&[format!("\"flash\":{{{}}}", kinds.join(","))]), async |session| {
            for key in numbered(count) {
                session.flash(&key, 2).unwrap();
                session.flash(&format!("new {key}"), 3).unwrap();
                assert!(session.is_modified());
                assert_eq!(session.peek_flash::<u8>(&key).unwrap(), [1, 2]);
            }
            session.commit().await.map(drop).unwrap();
            for key in numbered(count) {
                assert_eq!(session.take_flash::<u8>(&key).unwrap(), [1, 2]);
                assert_eq!(session.take_flash::<u8>(&format!("new {key}")).unwrap(), [3]);
                assert_eq!(session.take_flash::<u8>("absent").unwrap(), [0; 0]);
            }
            assert!(session.is_modified() && session.take_all_flash().is_empty());
            session.commit().await.map(drop).unwrap();
        });
    });
}

#[test]
fn flash_messages_pushed_and_taken_in_turns() {
    grows_with_its_number(|count| {
        with_session(record(&[r#""flash":{"info":["a"],"other":["b"]}"#.to_owned()]), async |session| {
            assert_eq!(session.take_flash::<String>("info").unwrap(), ["a"]);
            for n in 0..count {
                session.flash("info", n).unwrap();
                session.flash("other", n).unwrap();
                assert_eq!(session.take_flash::<usize>("info").unwrap(), [n]);
                assert!(session.is_modified());
            }
            session.commit().await.map(drop).unwrap();
            assert_eq!(session.take_all_flash().len(), count + 1);
        });
    });
}
