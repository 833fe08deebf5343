//! Dates at which programs break.

use super::*;

/// What the one session of a world says in the store about its end.
async fn stored_expires(session: &Session) -> Option<SystemTime> {
    session.reload().await.unwrap();
    session.cookie().expires()
}

#[tokio::test]
async fn seconds_that_need_more_than_31_bits() {
    let last = UNIX_EPOCH + Duration::from_secs(i32::MAX as u64);
    for world in worlds(last, |builder| builder.max_age(2 * SECOND)) {
        let (one, line) = world.visitor().await;
        let (other, _) = world.visitor().await;
        assert_eq!(times(&line), ("2", "Tue, 19 Jan 2038 03:14:09 GMT"), "{} store", world.store);
        let session = one.open().await.unwrap();
        assert_eq!(stored_expires(&session).await, Some(last + 2 * SECOND));
        world.ends([&one, &other], last + 2 * SECOND).await;
    }
    // And those that need more than 32.
    let last = UNIX_EPOCH + Duration::from_secs(u32::MAX.into());
    for world in worlds(last, |builder| builder.max_age(2 * SECOND)) {
        let (one, line) = world.visitor().await;
        let (other, _) = world.visitor().await;
        assert_eq!(times(&line), ("2", "Sun, 07 Feb 2106 06:28:17 GMT"), "{} store", world.store);
        world.ends([&one, &other], last + 2 * SECOND).await;
    }
}

#[tokio::test]
async fn four_hundred_days_are_the_longest_life() {
    for world in worlds(noon(), |builder| builder.max_age(400 * DAY)) {
        let (one, line) = world.visitor().await;
        let (other, _) = world.visitor().await;
        assert_eq!(times(&line), ("34560000", "Sun, 02 Jan 2028 12:00:00 GMT"), "{} store", world.store);
        world.ends([&one, &other], noon() + 400 * DAY).await;
    }
    for world in worlds(noon(), |builder| builder) {
        let session = Visitor::new(&world.config).open().await.unwrap();
        session.set_max_age(Some(Duration::MAX));
        let line = commit(&session).await.unwrap();
        assert_eq!(times(&line), ("34560000", "Sun, 02 Jan 2028 12:00:00 GMT"), "{} store", world.store);
        assert_eq!(session.expires(), Some(noon() + 400 * DAY));
    }
}

#[tokio::test]
async fn a_clock_before_1970_breaks_nothing() {
    for world in worlds(UNIX_EPOCH - HOUR, |builder| builder.max_age(DAY)) {
        let (visitor, line) = world.visitor().await;
        // No cookie can say a date before 1970, so the life is counted from there.
        assert_eq!(times(&line), ("86400", "Fri, 02 Jan 1970 00:00:00 GMT"), "{} store", world.store);
        let session = visitor.open().await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "{} store", world.store);
        session.insert("n", 2).unwrap();
        commit(&session).await.unwrap();
        // It lives for a day, and no longer than a day past 1970.
        world.clock.set(UNIX_EPOCH + 23 * HOUR - MILLI);
        assert_eq!(world.origin(&visitor).await, Origin::Loaded, "{} store", world.store);
        let (visitor, _) = world.visitor().await;
        world.clock.set(UNIX_EPOCH + 2 * DAY);
        assert_eq!(world.origin(&visitor).await, Origin::Unknown, "{} store", world.store);
    }
}

#[tokio::test]
async fn the_last_day_of_the_year_9999_breaks_nothing() {
    // The last second that a cookie's date can say.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    for world in worlds(last - HOUR, |builder| builder.max_age(DAY)) {
        let (visitor, line) = world.visitor().await;
        assert_eq!(times(&line), ("86400", "Fri, 31 Dec 9999 23:59:59 GMT"), "{} store", world.store);
        let session = visitor.open().await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "{} store", world.store);
        session.insert("n", 2).unwrap();
        commit(&session).await.unwrap();
        world.clock.set(last + 23 * HOUR);
        assert_eq!(world.origin(&visitor).await, Origin::Unknown, "{} store", world.store);
    }
}

/// The clock of a machine that learns the date only after the program has started, and the longest way the
/// other way.
#[tokio::test]
async fn a_clock_set_by_centuries_breaks_nothing() {
    for date in [UNIX_EPOCH, noon() + 290 * 365 * DAY] {
        for world in worlds(noon(), |builder| builder.max_age(DAY)) {
            world.clock.set(date);
            let (one, _) = world.visitor().await;
            let (other, _) = world.visitor().await;
            world.ends([&one, &other], date + DAY).await;
        }
    }
}
