//! How long a session lives: max-age, expiry, touch.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http_client::{HttpClient, SetCookie};
use crate::servers::{Servers, Side};
use crate::shared_store::TTL;

/// Express loses a millisecond of the max-age when the clock ticks between its two looks at it; stores round
/// to seconds.
const SLACK: Duration = Duration::from_secs(8);

#[track_caller]
fn assert_near(life: Option<Duration>, expected: Duration, what: &str) {
    let near = life.is_some_and(|life| life <= expected + Duration::from_secs(1) && life + SLACK >= expected);
    assert!(near, "{what} lives for {life:?} instead of {expected:?}");
}

fn life(cookie: Option<&SetCookie>) -> Option<Duration> {
    cookie.expect("the answer sets the cookie").life
}

/// The session's own max-age holds on the other side: in the cookie it sets, in the record and in the store.
pub async fn a_max_age_is_honoured(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let short = Duration::from_secs(600);
    let id = client.log_in(here).await;
    assert_near(servers.store.life(&id).await, Duration::from_secs(3600), "the new record");
    let answer = client.put(here, "/max-age", json!(short.as_millis())).await;
    assert_near(life(answer.cookie.as_ref()), short, "the cookie of the side that set it");
    assert_near(servers.store.life(&id).await, short, "its record");
    let answer = client.put(there, "/data/n", json!(1)).await;
    assert_near(life(answer.cookie.as_ref()), short, "the other side's cookie");
    assert_near(servers.store.life(&id).await, short, "the other side's record");
    let kept = client.record(&id).await["cookie"]["originalMaxAge"].as_f64().expect("a number");
    assert!((599_990.0..=600_000.0).contains(&kept), "originalMaxAge {kept}");
    // And back, with a new id in between.
    let new = client.log_in(there).await;
    let long = Duration::from_secs(30 * 24 * 3600);
    client.put(there, "/max-age", json!(long.as_millis())).await;
    assert_near(life(client.put(here, "/data/n", json!(2)).await.cookie.as_ref()), long, "the cookie");
    assert_near(servers.store.life(&new).await, long, "the record");
}

/// A session without a max-age lives as long as the store's own ttl says, and no cookie of the other side
/// changes that.
pub async fn a_browser_session_is_honoured(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(here).await;
    let answer = client.put(here, "/max-age", Value::Null).await;
    // Express sends none: it does so for sessions with an end only, and leaves the browser the cookie it has.
    match here {
        Side::Axum => assert_eq!(life(answer.cookie.as_ref()), None),
        Side::Express => assert!(answer.cookie.is_none(), "Express has mended its ways: {answer:?}"),
    }
    let answer = client.put(there, "/data/n", json!(1)).await;
    assert!(answer.cookie.is_none(), "{answer:?}");
    let cookie = &client.record(&id).await["cookie"];
    assert_eq!((&cookie["originalMaxAge"], &cookie["expires"]), (&Value::Null, &Value::Null));
    assert_near(servers.store.life(&id).await, TTL, "the record");
    client.put(here, "/data/n", json!(2)).await;
    assert_near(servers.store.life(&id).await, TTL, "the record, written again");
    assert_eq!(client.data(there).await, json!({ "n": 2, "remembered": null }));
}

/// What expired on one side is expired on the other.
pub async fn an_expired_session_is_gone(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(here).await;
    let kept = client.cookie().expect("a cookie");
    client.put(here, "/max-age", json!(1500)).await;
    let copy = HttpClient::with_cookie(servers, &kept);
    // Reading extends the life, so the record is watched from outside.
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while servers.store.life(&id).await.is_some_and(|life| !life.is_zero()) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // express-mysql-session rounds the present to whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
    });
    ended.await.expect("it expires");
    for side in [there, here] {
        assert_eq!(copy.user(side).await, None, "{side:?} honours an expired session");
        assert_ne!(copy.id(side).await, id, "{side:?}");
    }
    assert_eq!(client.cookie(), None, "the browser still has the cookie");
}

/// A request that only reads extends the session's life in the store, whichever side it goes to.
pub async fn a_touch_extends_the_life(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(here).await;
    let hour = Duration::from_secs(3600);
    for (side, path) in [(there, "/session"), (here, "/session")] {
        let record = servers.store.raw(&id).await.expect("a record");
        servers.store.put(&id, &record, Duration::from_secs(60)).await;
        assert_near(servers.store.life(&id).await, Duration::from_secs(60), "the aged record");
        let answer = client.get(side, path).await;
        assert_eq!(answer.body["user"], "alice", "{side:?}");
        assert!(answer.cookie.is_none(), "a cookie for a read: {answer:?}");
        assert_near(servers.store.life(&id).await, hour, &format!("the record {side:?} touched"));
    }
    for side in [there, here] {
        let record = servers.store.raw(&id).await.expect("a record");
        // A touch so short after the last one that axum would leave it out, were it not asked for.
        servers.store.put(&id, &record, Duration::from_secs(3580)).await;
        client.post(side, "/touch").await;
        assert_near(servers.store.life(&id).await, hour, "the record");
        assert_eq!(client.user(here).await.as_deref(), Some("alice"));
    }
}
