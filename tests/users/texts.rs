//! What the texts of users' lists come to hold, by refused logins, by other programs and by accidents.

use std::pin::pin;
use std::time::Duration;

use crate::{SECRET, is_alive, log_in, origin};
use futures_util::future::{Either, select};
use sessile::testing::{Op, Probe, TestClock};
use sessile::{AtLimit, MemoryStore, Origin, Record, SessionConfig, SessionError, SessionStore, UserIndex};

const DAY: Duration = Duration::from_secs(86_400);

/// The hash of the user whom a record belongs to, by which the store has the user's list.
fn hash(record: &Record) -> String {
    record.user_hashes().first().expect("somebody is logged in").to_string()
}

fn index(store: &MemoryStore) -> &dyn UserIndex {
    store.users().expect("the store keeps lists")
}

#[tokio::test]
async fn a_login_that_another_program_took_away_takes_no_place() {
    for at in [AtLimit::Refuse, AtLimit::EndOldest] {
        let clock = TestClock::new();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let config = SessionConfig::builder(SECRET).store(store.clone()).clock(clock.clone());
        let config = config.per_user(2, at).build().unwrap();
        let (guest, other) = (log_in(&config, "ada").await.unwrap(), log_in(&config, "ada").await.unwrap());
        let id = guest.id().unwrap();
        let text = r#"{"cookie":{"originalMaxAge":86400000},"cart":1}"#;
        store.set(&id, &Record::from_json(text).unwrap(), DAY).await.unwrap();
        clock.advance(Duration::from_secs(120));
        let third = log_in(&config, "ada").await.unwrap();
        assert!(is_alive(&other).await, "its place was taken for that of the guest");
        assert!(is_alive(&third).await);
        assert_eq!(origin(&guest).await, Origin::Loaded, "a guest's session is nobody's to end");
        assert_eq!(config.sessions_of("ada").count().await.unwrap(), 2);
    }
}

#[tokio::test]
async fn refused_logins_do_not_make_the_text_long() {
    let store = MemoryStore::new();
    let config =
        SessionConfig::builder(SECRET).store(store.clone()).per_user(1, AtLimit::Refuse).build().unwrap();
    let first = log_in(&config, "ada").await.unwrap();
    for _ in 0..200 {
        assert!(matches!(log_in(&config, "ada").await, Err(SessionError::TooManySessions)));
    }
    let record = store.get(&first.id().unwrap()).await.unwrap().unwrap().record;
    let text = index(&store).read(&hash(&record)).await.unwrap();
    assert!(text.lines().count() < 40, "{} lines", text.lines().count());
    assert!(is_alive(&first).await);
}

#[tokio::test]
async fn a_line_that_was_cut_off_swallows_no_end() {
    let store = MemoryStore::new();
    let config = SessionConfig::builder(SECRET).store(store.clone()).build().unwrap();
    let visitors = [log_in(&config, "ada").await.unwrap(), log_in(&config, "ada").await.unwrap()];
    let record = store.get(&visitors[0].id().unwrap()).await.unwrap().unwrap().record;
    index(&store).append(&hash(&record), r#"{"log_in":{"id":"#).await.unwrap();
    assert_eq!(config.sessions_of("ada").end_all().await.unwrap(), 2);
    for visitor in &visitors {
        assert!(!is_alive(visitor).await);
    }
}

#[tokio::test]
async fn large_numbers_in_foreign_text_do_no_harm() {
    let store = MemoryStore::new();
    let config = SessionConfig::builder(SECRET).store(store.clone()).build().unwrap();
    let visitor = log_in(&config, "ada").await.unwrap();
    let record = store.get(&visitor.id().unwrap()).await.unwrap().unwrap().record;
    let most = u64::MAX;
    let line = format!("{{\"state\":{{\"epoch\":\"\",\"ends\":{most},\"next\":{most},\"entries\":{{}}}}}}\n");
    index(&store).append(&hash(&record), &line).await.unwrap();
    let ada = config.sessions_of("ada");
    for _ in 0..2 {
        let visitor = log_in(&config, "ada").await.unwrap();
        assert_eq!(ada.end_all().await.unwrap(), 1);
        assert!(!is_alive(&visitor).await);
    }
}

/// A session that gets another id whenever somebody looks keeps nobody waiting for ever.
#[tokio::test]
async fn a_list_comes_to_an_end_while_a_session_moves() {
    let probe = Probe::new(MemoryStore::new());
    let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
    let mut visitor = log_in(&config, "ada").await.unwrap();
    let ada = config.sessions_of("ada");
    let mut listing = pin!(ada.list());
    for look in 0.. {
        assert!(look < 20, "the list looks once more for every move");
        let hold = probe.hold(Op::GetMany);
        match select(listing.as_mut(), pin!(hold.reached())).await {
            Either::Left((list, _)) => {
                list.unwrap();
                assert!(look > 1, "it looks again for a session that has moved");
                break;
            }
            Either::Right(_) => {
                let session = visitor.open().await.unwrap();
                session.cycle_id();
                visitor.commit(&session).await.unwrap();
            }
        }
    }
}
