//! Two processes, one of which logs a user in while the other one ends all of the user's sessions.

use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{Origin, SessionConfig, SessionError, SessionId, SessionStore};

use crate::faults::config;

const ROUNDS: usize = 100;

/// Up to two milliseconds, so that the two meet at different steps.
async fn pause() {
    let random = u64::from(SessionId::random().as_str().as_bytes()[0]) * 8 % 251;
    tokio::time::sleep(Duration::from_micros(random * 8)).await;
}

async fn log_in(
    config: &SessionConfig,
    log_in: impl FnOnce(&sessile::Session),
) -> Result<Visitor, SessionError> {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    log_in(&session);
    visitor.commit(&session).await?;
    Ok(visitor)
}

async fn is_alive(visitor: &Visitor) -> bool {
    visitor.open().await.unwrap().origin() == Origin::Loaded
}

/// One process logs in and changes an id, the other one ends all. What began before the end is over, and a
/// login that is answered and alive is listed.
pub(crate) async fn one_logs_in_while_another_ends_all<S: SessionStore>(one: S, other: S) {
    let (one, other) = (config(one), config(other));
    let (mut ended, mut refused, mut later) = (0, 0, 0);
    for round in 0..ROUNDS {
        let user = SessionId::random();
        let user = user.as_str();
        let mut old = log_in(&one, |session| session.log_in(user).unwrap()).await.unwrap();
        let begun = one.sessions_of(user).begin_login().await.unwrap();
        let moving = old.open().await.unwrap();
        moving.cycle_id();
        let logs_in = async {
            pause().await;
            log_in(&one, |session| session.log_in_with(begun).unwrap()).await
        };
        let moves = async {
            pause().await;
            old.commit(&moving).await.map(drop)
        };
        let begins = async {
            pause().await;
            log_in(&one, |session| session.log_in(user).unwrap()).await
        };
        let ends = async {
            pause().await;
            other.sessions_of(user).end_all().await.unwrap()
        };
        let (before, moved, anew, count) = tokio::join!(logs_in, moves, begins, ends);
        ended += count;
        for answer in [before.as_ref().err(), moved.as_ref().err(), anew.as_ref().err()].into_iter().flatten()
        {
            assert!(matches!(answer, SessionError::Gone), "round {round}: {answer:?}");
            refused += 1;
        }
        if let Ok(before) = &before {
            assert!(!is_alive(before).await, "round {round}: a login that began before the end is alive");
        }
        assert!(!is_alive(&old).await, "round {round}: the end has missed a session that moves");
        let alive = match &anew {
            Ok(anew) => usize::from(is_alive(anew).await),
            Err(_) => 0,
        };
        later += alive;
        let listed = other.sessions_of(user).count().await.unwrap();
        assert_eq!(listed, alive, "round {round}: the list is not what lives");
        other.sessions_of(user).end_all().await.unwrap();
        assert_eq!(one.sessions_of(user).count().await.unwrap(), 0, "round {round}");
    }
    println!("{ended} sessions ended, {refused} answers `Gone`, {later} logins came later");
}
