//! When exactly a session ends, and when it is touched.

use super::*;

#[tokio::test]
async fn a_session_lives_to_the_last_millisecond() {
    for max_age in [MILLI, 1_500 * MILLI, HOUR, DAY, 400 * DAY] {
        for world in worlds(noon(), |builder| builder.max_age(max_age)) {
            let (one, _) = world.visitor().await;
            let (other, _) = world.visitor().await;
            world.ends([&one, &other], noon() + max_age).await;
        }
    }
}

#[tokio::test]
async fn a_browser_session_lives_for_the_stores_ttl() {
    for world in worlds(noon(), |builder| builder.browser_session().store_ttl(HOUR)) {
        // A file says no time of its own, so the file store has to know how long Express would keep it: a
        // day.
        let (one, line) = world.visitor().await;
        let (other, _) = world.visitor().await;
        assert!(!line.contains("Expires") && !line.contains("Max-Age"), "{line}");
        world.ends([&one, &other], noon() + HOUR).await;
    }
}

#[tokio::test]
async fn a_write_counts_the_life_from_the_write() {
    for world in worlds(noon(), |builder| builder.max_age(DAY)) {
        let (one, _) = world.visitor().await;
        let (other, _) = world.visitor().await;
        world.clock.advance(DAY - MILLI);
        for visitor in [&one, &other] {
            let session = visitor.open().await.unwrap();
            session.insert("n", 2).unwrap();
            let line = commit(&session).await.unwrap();
            assert_eq!(times(&line), ("86400", "Mon, 30 Nov 2026 11:59:59 GMT"), "{} store", world.store);
            assert_eq!(session.expires(), Some(noon() + 2 * DAY - MILLI));
        }
        world.ends([&one, &other], noon() + 2 * DAY - MILLI).await;
    }
}

#[tokio::test]
async fn a_life_of_one_millisecond_is_a_life() {
    for world in worlds(noon(), |builder| builder.max_age(MILLI)) {
        let (visitor, line) = world.visitor().await;
        // A `Max-Age` of 0 would delete the cookie.
        assert_eq!(times(&line), ("1", "Sat, 28 Nov 2026 12:00:00 GMT"));
        let session = visitor.open().await.unwrap();
        assert_eq!((session.origin(), session.expires()), (Origin::Loaded, Some(noon() + MILLI)));
        world.clock.advance(MILLI);
        assert_eq!(world.origin(&visitor).await, Origin::Unknown);
    }
}

#[tokio::test]
async fn a_session_is_touched_after_touch_after_and_not_before() {
    for world in worlds(noon(), |builder| builder.max_age(DAY).touch_after(HOUR)) {
        let (visitor, _) = world.visitor().await;
        for _ in 0..3 {
            let (at, touches) = (world.now(), (world.touches)());
            world.clock.set(at + HOUR);
            let session = visitor.open().await.unwrap();
            assert_eq!(
                (session.expires(), (world.touches)()),
                (Some(at + DAY), touches),
                "{} store",
                world.store
            );
            world.clock.set(at + HOUR + MILLI);
            let session = visitor.open().await.unwrap();
            let expires = Some(at + HOUR + MILLI + DAY);
            assert_eq!(
                (session.expires(), (world.touches)()),
                (expires, touches + 1),
                "{} store",
                world.store
            );
        }
    }
}

#[tokio::test]
async fn a_short_session_is_touched_after_half_of_its_life() {
    for world in worlds(noon(), |builder| builder.max_age(2 * HOUR).touch_after(DAY)) {
        let (visitor, _) = world.visitor().await;
        world.clock.advance(HOUR);
        visitor.open().await.unwrap().commit().await.map(drop).unwrap();
        assert_eq!((world.touches)(), 0, "{} store", world.store);
        world.clock.advance(MILLI);
        visitor.open().await.unwrap().commit().await.map(drop).unwrap();
        assert_eq!((world.touches)(), 1, "{} store", world.store);
    }
}

#[tokio::test]
async fn a_touch_after_of_zero_touches_at_every_load() {
    for world in worlds(noon(), |builder| builder.touch_after(Duration::ZERO)) {
        let (visitor, _) = world.visitor().await;
        for touches in 1..4 {
            assert_eq!(world.origin(&visitor).await, Origin::Loaded);
            assert_eq!((world.touches)(), touches, "{} store", world.store);
        }
    }
}

#[tokio::test]
async fn activity_keeps_a_session_and_silence_ends_it() {
    for world in worlds(noon(), |builder| builder.max_age(HOUR)) {
        let (visitor, _) = world.visitor().await;
        for _ in 0..100 {
            world.clock.advance(HOUR - MILLI);
            assert_eq!(world.origin(&visitor).await, Origin::Loaded, "{} store", world.store);
        }
        world.clock.advance(HOUR);
        assert_eq!(world.origin(&visitor).await, Origin::Unknown, "{} store", world.store);
    }
}
