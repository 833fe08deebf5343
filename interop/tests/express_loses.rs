//! What Express loses to its own races, and what axum does not. express-session writes the whole record it
//! has loaded, whatever became of the record meanwhile; no store can see that, so sessile on the other side
//! cannot mend it.

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;
use sessile_interop::http_client::{Answer, HttpClient};
use sessile_interop::servers::{Servers, SharedServers, Side};
use sessile_interop::shared_store::Kind;

/// A request of `side` that has loaded the session, waits until `meanwhile` is done, and then writes the key
/// `late`.
async fn slow_write(
    servers: &Arc<Servers>,
    client: &HttpClient,
    side: Side,
    meanwhile: impl AsyncFnOnce(),
) -> Answer {
    let gate = format!("{side:?}-{}", client.id(side).await);
    let slow = {
        let (client, path) = (client.clone(), format!("/slow/late/{gate}"));
        tokio::spawn(async move { client.send(side, Method::PUT, &path, Some(json!(1))).await })
    };
    let porter = HttpClient::new(servers);
    porter.get(side, &format!("/gate/{gate}/arrived")).await;
    meanwhile().await;
    porter.post(side, &format!("/gate/{gate}/open")).await;
    slow.await.expect("no panic")
}

async fn express_overwrites_what_another_request_wrote(servers: Arc<Servers>) {
    for other in [Side::Axum, Side::Express] {
        let client = HttpClient::new(&servers);
        client.log_in(Side::Express).await;
        let write = async || drop(client.put(other, "/data/early", json!(1)).await);
        let answer = slow_write(&servers, &client, Side::Express, write).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            client.data(Side::Axum).await,
            json!({ "late": 1 }),
            "{other:?}: Express has mended its ways"
        );
    }
}

async fn axum_keeps_what_another_request_wrote(servers: Arc<Servers>) {
    for other in [Side::Axum, Side::Express] {
        let client = HttpClient::new(&servers);
        client.log_in(Side::Express).await;
        let write = async || drop(client.put(other, "/data/early", json!(1)).await);
        let answer = slow_write(&servers, &client, Side::Axum, write).await;
        assert_eq!(answer.status, 200);
        for side in [Side::Axum, Side::Express] {
            assert_eq!(
                client.data(side).await,
                json!({ "early": 1, "late": 1 }),
                "{other:?}, seen by {side:?}"
            );
        }
    }
}

async fn express_brings_a_destroyed_session_back(servers: Arc<Servers>) {
    for other in [Side::Axum, Side::Express] {
        let client = HttpClient::new(&servers);
        let id = client.log_in(Side::Express).await;
        let kept = client.cookie().expect("a cookie");
        let leave = async || {
            client.post(other, "/destroy").await;
            assert!(servers.store.raw(&id).await.is_none());
        };
        slow_write(&servers, &client, Side::Express, leave).await;
        assert!(servers.store.raw(&id).await.is_some(), "{other:?}: Express has mended its ways");
        assert_eq!(HttpClient::with_cookie(&servers, &kept).user(Side::Axum).await.as_deref(), Some("alice"));
    }
}

sessile_interop::on_each_store! {
    express_overwrites_what_another_request_wrote
    axum_keeps_what_another_request_wrote
    express_brings_a_destroyed_session_back
}

static REDIS: SharedServers = SharedServers::new(Kind::Redis);

/// Where the store is slow to write, Express' answer is there before the session is; axum's comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn express_answers_before_it_has_saved() {
    let Some(servers) = REDIS.get() else { return };
    let url = servers.store.for_express()["url"].as_str().unwrap().to_owned();
    let mut redis = ::redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    for side in [Side::Express, Side::Axum] {
        let client = HttpClient::new(&servers);
        let id = client.log_in(Side::Axum).await;
        let pause = ::redis::cmd("CLIENT").arg("PAUSE").arg(3_000).arg("WRITE").to_owned();
        pause.query_async::<()>(&mut redis).await.unwrap();
        let url = format!("http://{}/data/n", servers.address(side));
        // Its status and headers are there, among them a redirect's target; not yet its whole body.
        let answer = client.reqwest().put(url).json(&json!(1)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let stored = client.record(&id).await["n"] == 1;
        assert_eq!(stored, side == Side::Axum, "{side:?}");
        answer.text().await.unwrap();
        assert_eq!(client.record(&id).await["n"], 1, "{side:?}");
    }
}
