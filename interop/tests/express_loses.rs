//! What Express loses to its own races, and what axum does not. express-session writes the whole record it has loaded,
//! whatever became of the record meanwhile; no store can see that, so sessile on the other side cannot mend it.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use sessile_interop::pair::{Pair, Shared, Side};
use sessile_interop::place::Kind;
use sessile_interop::visitor::{Answer, Visitor};

/// A request of `side` that has loaded the session, waits until `meanwhile` is done, and then writes the key `late`.
async fn slow_write(
    pair: &Arc<Pair>,
    visitor: &Visitor,
    side: Side,
    meanwhile: impl AsyncFnOnce(),
) -> Answer {
    let gate = format!("{side:?}-{}", visitor.id(side).await);
    let slow = {
        let (visitor, path) = (visitor.clone(), format!("/slow/late/{gate}"));
        tokio::spawn(async move { visitor.send(side, Method::PUT, &path, Some(json!(1))).await })
    };
    let porter = Visitor::new(pair);
    porter.get(side, &format!("/gate/{gate}/arrived")).await;
    meanwhile().await;
    porter.post(side, &format!("/gate/{gate}/open")).await;
    slow.await.expect("no panic")
}

async fn express_overwrites_what_another_request_wrote(pair: Arc<Pair>) {
    for other in [Side::Axum, Side::Express] {
        let visitor = Visitor::new(&pair);
        visitor.log_in(Side::Express).await;
        let write = async || drop(visitor.put(other, "/data/early", json!(1)).await);
        let answer = slow_write(&pair, &visitor, Side::Express, write).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            visitor.data(Side::Axum).await,
            json!({ "late": 1 }),
            "{other:?}: Express has mended its ways"
        );
    }
}

async fn axum_keeps_what_another_request_wrote(pair: Arc<Pair>) {
    for other in [Side::Axum, Side::Express] {
        let visitor = Visitor::new(&pair);
        visitor.log_in(Side::Express).await;
        let write = async || drop(visitor.put(other, "/data/early", json!(1)).await);
        let answer = slow_write(&pair, &visitor, Side::Axum, write).await;
        assert_eq!(answer.status, 200);
        for side in [Side::Axum, Side::Express] {
            assert_eq!(
                visitor.data(side).await,
                json!({ "early": 1, "late": 1 }),
                "{other:?}, seen by {side:?}"
            );
        }
    }
}

async fn express_brings_a_destroyed_session_back(pair: Arc<Pair>) {
    for other in [Side::Axum, Side::Express] {
        let visitor = Visitor::new(&pair);
        let id = visitor.log_in(Side::Express).await;
        let kept = visitor.cookie().expect("a cookie");
        let leave = async || {
            visitor.post(other, "/destroy").await;
            assert!(pair.place.raw(&id).await.is_none());
        };
        slow_write(&pair, &visitor, Side::Express, leave).await;
        assert!(pair.place.raw(&id).await.is_some(), "{other:?}: Express has mended its ways");
        assert_eq!(Visitor::with_cookie(&pair, &kept).user(Side::Axum).await.as_deref(), Some("alice"));
    }
}

macro_rules! stores {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        mod $name {
            use super::*;

            static PAIR: Shared = Shared::new(Kind::$kind);

            stores! { @
                express_overwrites_what_another_request_wrote
                axum_keeps_what_another_request_wrote
                express_brings_a_destroyed_session_back
            }
        }
    )*};
    (@ $($check:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $check() {
            let Some(pair) = PAIR.get() else { return };
            super::$check(pair).await;
        }
    )*};
}

stores! {
    files => File,
    redis => Redis,
    postgres => Postgres,
    mariadb => MySql,
    sqlite => Sqlite,
}
