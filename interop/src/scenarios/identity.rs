//! Login, logout and new ids.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use crate::http_client::HttpClient;
use crate::servers::{SECRET, Servers, Side, id_in};

/// Who logged in on one side is logged in on the other, under the same id and the same cookie.
pub async fn a_login_is_shared(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    client.put(here, "/data/cart", json!(["tea"])).await;
    let before = client.cookie().expect("a cookie for the cart");
    let id = client.log_in(here).await;
    let cookie = client.cookie().expect("a cookie for the login");
    assert_ne!(before, cookie, "the login kept the old id");
    assert_eq!(id_in(&cookie, SECRET).as_deref(), Some(&*id));
    assert_eq!(client.user(there).await.as_deref(), Some("alice"));
    assert_eq!(client.id(there).await, id);
    client.put(there, "/data/seen", json!(true)).await;
    assert_eq!(client.data(here).await, json!({ "cart": ["tea"], "seen": true }));
    assert_eq!(client.id(here).await, id);
    assert_eq!(id_in(&client.cookie().expect("still a cookie"), SECRET), Some(id));
    // The id from before the login opens nothing, on either side.
    for side in [here, there] {
        let old = HttpClient::with_cookie(servers, &before);
        assert_eq!(old.user(side).await, None, "{side:?}");
        assert_eq!(old.data(side).await, json!({}), "{side:?}");
    }
}

/// `passport.user` is read and written under passport's own key and shape.
pub async fn a_passport_login_is_shared(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(here).await;
    assert_eq!(client.record(&id).await["passport"], json!({ "user": 42 }));
    assert_eq!(client.user(there).await.as_deref(), Some("alice"));
    // The other side logs in anew over it, and then out.
    let id = client.log_in(there).await;
    assert_eq!(client.record(&id).await["passport"], json!({ "user": 42 }));
    assert_eq!(client.user(here).await.as_deref(), Some("alice"));
    client.post(there, "/logout").await;
    assert_eq!(client.user(here).await, None);
    assert_eq!(client.user(there).await, None);
    assert!(servers.store.raw(&id).await.is_none(), "the session of before the logout is still stored");
}

/// A destroyed session is nobody's on either side, and nothing brings it back.
pub async fn a_logout_is_final(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(there).await;
    let kept = client.cookie().expect("a cookie");
    client.post(here, "/destroy").await;
    if here == Side::Axum {
        assert_eq!(client.cookie(), None, "the cookie outlived the session");
    }
    assert!(servers.store.raw(&id).await.is_none(), "the record outlived the session");
    for side in [there, here, there] {
        let thief = HttpClient::with_cookie(servers, &kept);
        assert_eq!(thief.user(side).await, None, "{side:?}");
        thief.put(side, "/data/mine", json!(1)).await;
        assert_ne!(thief.id(side).await, id, "{side:?} took over an id the store does not know");
        assert!(servers.store.raw(&id).await.is_none(), "{side:?} brought the session back");
    }
}

/// A request that axum has loaded the session for is refused when Express ends the session meanwhile. The
/// other way round Express brings the session back: see `tests/express_loses.rs`. So here the side that is
/// slow is always axum.
pub async fn a_logout_beats_a_slow_request(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let id = client.log_in(there).await;
    let gate = format!("logout-{id}");
    let slow = {
        let (client, path) = (client.clone(), format!("/slow/late/{gate}"));
        tokio::spawn(async move { client.send(Side::Axum, Method::PUT, &path, Some(json!(1))).await })
    };
    client.get(Side::Axum, &format!("/gate/{gate}/arrived")).await;
    client.post(here, "/destroy").await;
    client.post(Side::Axum, &format!("/gate/{gate}/open")).await;
    let answer = slow.await.expect("no panic");
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.cookie.is_none(), "a cookie for a session that is gone: {answer:?}");
    assert!(servers.store.raw(&id).await.is_none(), "the late write brought the session back");
}

/// A regenerated session is a new, empty one for the other side too.
pub async fn a_regenerated_session_is_seen(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let old = client.log_in(there).await;
    client.put(there, "/data/cart", json!(["tea"])).await;
    let kept = client.cookie().expect("a cookie");
    let new = client.post(here, "/regenerate").await.body["id"].as_str().map(String::from);
    let cookie = client.cookie().expect("a cookie");
    assert_eq!(id_in(&cookie, SECRET), new);
    assert_ne!(new.as_deref(), Some(&*old));
    client.put(there, "/data/fresh", json!(1)).await;
    for side in [there, here] {
        let seen = client.get(side, "/session").await.body;
        assert_eq!(seen, json!({ "id": new, "user": null, "data": { "fresh": 1 } }), "{side:?}");
        assert_eq!(HttpClient::with_cookie(servers, &kept).data(side).await, json!({}), "{side:?}");
    }
    assert!(servers.store.raw(&old).await.is_none());
}

/// A session that got a new id has the same data under it, and nothing under the old one.
pub async fn a_cycled_id_is_seen(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let old = client.log_in(there).await;
    client.put(there, "/data/cart", json!(["tea"])).await;
    client.post_json(there, "/flash/info", json!("kept")).await;
    let new = client.post(here, "/cycle").await.body["id"].as_str().map(String::from);
    assert_ne!(new.as_deref(), Some(&*old));
    for side in [there, here] {
        let seen = client.get(side, "/session").await.body;
        assert_eq!(seen, json!({ "id": new, "user": "alice", "data": { "cart": ["tea"] } }), "{side:?}");
    }
    assert_eq!(client.get(there, "/flash/info").await.body, json!(["kept"]));
    assert!(servers.store.raw(&old).await.is_none());
    let raw = servers.store.raw(&new.expect("an id")).await.expect("a record");
    assert!(serde_json::from_str::<Value>(&raw).expect("JSON")["cart"].is_array());
}
