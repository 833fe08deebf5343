//! Somebody sets the clock.

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
