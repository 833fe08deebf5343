//! Somebody sets the clock.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use sessile::{Clock, Record, Replaced, SessionId, Version};

use super::*;

#[tokio::test]
async fn a_clock_set_forward_by_an_hour_ends_what_would_have_ended_by_then() {
    for (max_age, origin) in [(HOUR, Origin::Unknown), (HOUR + MILLI, Origin::Loaded)] {
        for world in worlds(noon(), |builder| builder.max_age(max_age)) {
            let (visitor, _) = world.visitor().await;
            world.clock.set(noon() + HOUR);
            assert_eq!(world.origin(&visitor).await, origin, "{} store, {max_age:?}", world.store);
        }
    }
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_ends_nothing_early() {
    for world in worlds(noon(), |builder| builder.max_age(2 * HOUR)) {
        let (one, _) = world.visitor().await;
        let (other, _) = world.visitor().await;
        world.clock.set(noon() - HOUR);
        let session = one.open().await.unwrap();
        assert_eq!((session.origin(), session.expires()), (Origin::Loaded, Some(noon() + 2 * HOUR)));
        world.ends([&one, &other], noon() + 2 * HOUR).await;
    }
}

#[tokio::test]
async fn a_session_made_by_a_clock_that_was_set_back_ends_by_that_clock() {
    for world in worlds(noon(), |builder| builder.max_age(2 * HOUR)) {
        world.clock.set(noon() - HOUR);
        let (one, line) = world.visitor().await;
        let (other, _) = world.visitor().await;
        assert_eq!(times(&line), ("7200", "Sat, 28 Nov 2026 13:00:00 GMT"));
        world.ends([&one, &other], noon() + HOUR).await;
    }
}

#[tokio::test]
async fn a_clock_that_ran_ahead_makes_no_session_immortal() {
    for world in worlds(noon(), |builder| builder.max_age(2 * HOUR)) {
        world.clock.set(noon() + HOUR);
        let (one, _) = world.visitor().await;
        let (other, _) = world.visitor().await;
        let (third, _) = world.visitor().await;
        world.clock.set(noon());
        // The next write counts from the clock as it is now.
        for visitor in [&one, &other] {
            let session = visitor.open().await.unwrap();
            session.insert("n", 2).unwrap();
            let line = commit(&session).await.unwrap();
            assert_eq!(times(&line), ("7200", "Sat, 28 Nov 2026 14:00:00 GMT"));
            assert_eq!(session.expires(), Some(noon() + 2 * HOUR));
        }
        world.ends([&one, &other], noon() + 2 * HOUR).await;
        // One that nobody writes to lives for as much longer as the clock was ahead.
        world.clock.set(noon() + 3 * HOUR);
        assert_eq!(world.origin(&third).await, Origin::Unknown, "{} store", world.store);
    }
}

#[tokio::test]
async fn a_clock_that_jumps_between_load_and_commit_loses_nothing() {
    for step in [-1, 1] {
        for world in worlds(noon(), |builder| builder.max_age(2 * HOUR).rolling(true)) {
            let (visitor, _) = world.visitor().await;
            let session = visitor.open().await.unwrap();
            let now = if step < 0 { noon() - HOUR } else { noon() + HOUR };
            world.clock.set(now);
            session.update("n", |n: Option<u8>| Some(n.unwrap_or(0) + 1)).unwrap();
            let line = commit(&session).await.unwrap();
            let expires =
                if step < 0 { "Sat, 28 Nov 2026 13:00:00 GMT" } else { "Sat, 28 Nov 2026 15:00:00 GMT" };
            assert_eq!(times(&line), ("7200", expires), "{} store", world.store);
            let session = visitor.open().await.unwrap();
            assert_eq!(session.get::<u8>("n").unwrap(), Some(2), "{} store", world.store);
            assert_eq!(session.expires(), Some(now + 2 * HOUR), "{} store", world.store);
        }
    }
}

type Write = Box<dyn FnOnce() + Send>;

/// A clock that is set back by two hours right after a call has read it. Somebody writes to the store then.
#[derive(Clone, Default)]
struct SetBack {
    clock: TestClock,
    write: Arc<Mutex<Option<Write>>>,
}

impl Clock for SetBack {
    fn now(&self) -> SystemTime {
        let read = self.clock.now();
        let write = self.write.lock().unwrap().take();
        if let Some(write) = write {
            self.clock.set(read - 2 * HOUR);
            write();
        }
        read
    }
}

#[tokio::test]
async fn a_call_that_read_the_clock_before_it_was_set_back_finds_what_is_written_since() {
    let (id, record) = (SessionId::random(), Record::default());
    for call in ["get", "touch", "create", "replace", "destroy_if"] {
        let clock = SetBack::default();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let (writer, at, written) = (store.clone(), id.clone(), record.clone());
        let write = move || writer.set(&at, &written, HOUR).now_or_never().unwrap().unwrap();
        *clock.write.lock().unwrap() = Some(Box::new(write));
        let version = Version::of(&record);
        let is_done = |answer| matches!(answer, Replaced::Done(_));
        let found = match call {
            "get" => store.get(&id).await.unwrap().is_some(),
            "touch" => store.touch(&id, HOUR).await.unwrap(),
            "create" => !store.create(&id, &record, HOUR).await.unwrap(),
            "replace" => is_done(store.replace(&id, &version, &record, HOUR).await.unwrap()),
            _ => is_done(store.destroy_if(&id, &version).await.unwrap()),
        };
        assert!(found, "{call}");
    }
}
