//! How many sessions a user has, and how long they live.

use std::time::Duration;

use crate::{HOUR, builder, is_alive, log_in};
use sessile::testing::{TestClock, Visitor};
use sessile::{AtLimit, ConfigError, Origin, SessionError};

#[tokio::test]
async fn the_oldest_session_ends() {
    let config = builder(&TestClock::new()).per_user(2, AtLimit::EndOldest).build().unwrap();
    let mut visitors = Vec::new();
    for _ in 0..5 {
        visitors.push(log_in(&config, "ada").await.unwrap());
        // A new id does not make a session younger.
        let oldest = &mut visitors[0];
        let session = oldest.open().await.unwrap();
        if session.is_logged_in() {
            session.cycle_id();
            oldest.commit(&session).await.unwrap();
        }
        assert!(config.sessions_of("ada").count().await.unwrap() <= 2);
    }
    let mut alive = Vec::new();
    for visitor in &visitors {
        alive.push(is_alive(visitor).await);
    }
    assert_eq!(alive, [false, false, false, true, true]);
}

#[tokio::test]
async fn a_login_beyond_the_limit_is_refused() {
    let clock = TestClock::new();
    let config = builder(&clock).per_user(2, AtLimit::Refuse).max_age(HOUR).build().unwrap();
    let mut first = log_in(&config, "ada").await.unwrap();
    let second = log_in(&config, "ada").await.unwrap();
    for _ in 0..2 {
        let refused = log_in(&config, "ada").await.unwrap_err();
        assert!(matches!(refused, SessionError::TooManySessions));
        assert_eq!(refused.status(), axum::http::StatusCode::CONFLICT);
    }
    // Who logs in again in the same browser takes no second place.
    let session = first.open().await.unwrap();
    session.log_in("ada").unwrap();
    first.commit(&session).await.unwrap();
    let session = first.open().await.unwrap();
    session.log_out();
    first.commit(&session).await.unwrap();
    let third = log_in(&config, "ada").await.expect("a logout makes room at once");
    assert!(matches!(log_in(&config, "ada").await, Err(SessionError::TooManySessions)));
    clock.advance(HOUR + Duration::from_secs(1));
    assert!(!is_alive(&second).await && !is_alive(&third).await);
    assert!(log_in(&config, "ada").await.is_ok(), "sessions that have expired do not count");
}

#[tokio::test]
async fn many_logins_at_once_leave_the_limit() {
    for at in [AtLimit::EndOldest, AtLimit::Refuse] {
        let config = builder(&TestClock::new()).per_user(3, at).build().unwrap();
        let logins = (0..20).map(|_| {
            let config = config.clone();
            tokio::spawn(async move { log_in(&config, "ada").await.is_ok() })
        });
        for login in logins.collect::<Vec<_>>() {
            login.await.unwrap();
        }
        assert_eq!(config.sessions_of("ada").count().await.unwrap(), 3, "{at:?}");
    }
}

#[tokio::test]
async fn an_absolute_timeout_ends_a_session_in_use() {
    let clock = TestClock::new();
    let config = builder(&clock).absolute_timeout(10 * HOUR).rolling(true).max_age(4 * HOUR).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("n", 0).unwrap();
    visitor.commit(&session).await.unwrap();
    for hour in 1..10_u64 {
        clock.advance(HOUR);
        let session = visitor.open().await.unwrap();
        assert_eq!(session.origin(), Origin::Loaded, "hour {hour}");
        if hour == 5 {
            session.cycle_id();
        }
        session.insert("n", hour).unwrap();
        let guard = session.commit().await.unwrap();
        let response = axum::response::IntoResponse::into_response(guard);
        let line = response.headers()[axum::http::header::SET_COOKIE].to_str().unwrap().to_owned();
        visitor.receive_response(response.headers());
        let age: u64 = line.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
        assert!(age <= (10 - hour) * 3600, "hour {hour}: {age} s reaches past the end");
        assert!(age >= ((10 - hour).min(4)) * 3600 - 1, "hour {hour}: {age} s");
    }
    clock.advance(HOUR);
    assert_eq!(visitor.open().await.unwrap().origin(), Origin::Unknown);
}

#[tokio::test]
async fn a_login_begins_the_absolute_time_anew() {
    let clock = TestClock::new();
    let config = builder(&clock).absolute_timeout(2 * HOUR).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.insert("cart", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    clock.advance(HOUR);
    let session = visitor.open().await.unwrap();
    session.log_in("ada").unwrap();
    visitor.commit(&session).await.unwrap();
    clock.advance(HOUR + HOUR / 2);
    assert!(is_alive(&visitor).await);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
    clock.advance(HOUR);
    assert!(!is_alive(&visitor).await);
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let clock = TestClock::new();
    assert_eq!(
        builder(&clock).per_user(0, AtLimit::Refuse).build().unwrap_err(),
        ConfigError::NoSessionsPerUser
    );
    let zero = Duration::ZERO;
    assert_eq!(builder(&clock).absolute_timeout(zero).build().unwrap_err(), ConfigError::AbsoluteTimeout);
    assert_eq!(builder(&clock).look_every(zero).build().unwrap_err(), ConfigError::LookEvery);
}
