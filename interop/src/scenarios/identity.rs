//! Login, logout and new ids.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use crate::pair::{Pair, SECRET, Side, id_in};
use crate::visitor::Visitor;

/// Who logged in on one side is logged in on the other, under the same id and the same cookie.
pub async fn a_login_is_shared(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    visitor.put(here, "/data/cart", json!(["tea"])).await;
    let before = visitor.cookie().expect("a cookie for the cart");
    let id = visitor.log_in(here).await;
    let cookie = visitor.cookie().expect("a cookie for the login");
    assert_ne!(before, cookie, "the login kept the old id");
    assert_eq!(id_in(&cookie, SECRET).as_deref(), Some(&*id));
    assert_eq!(visitor.user(there).await.as_deref(), Some("alice"));
    assert_eq!(visitor.id(there).await, id);
    visitor.put(there, "/data/seen", json!(true)).await;
    assert_eq!(visitor.data(here).await, json!({ "cart": ["tea"], "seen": true }));
    assert_eq!(visitor.id(here).await, id);
    assert_eq!(id_in(&visitor.cookie().expect("still a cookie"), SECRET), Some(id));
    // The id from before the login opens nothing, on either side.
    for side in [here, there] {
        let old = Visitor::with_cookie(pair, &before);
        assert_eq!(old.user(side).await, None, "{side:?}");
        assert_eq!(old.data(side).await, json!({}), "{side:?}");
    }
}

/// `passport.user` is read and written under passport's own key and shape.
pub async fn a_passport_login_is_shared(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    let id = visitor.log_in(here).await;
    assert_eq!(visitor.record(&id).await["passport"], json!({ "user": 42 }));
    assert_eq!(visitor.user(there).await.as_deref(), Some("alice"));
    // The other side logs in anew over it, and then out.
    let id = visitor.log_in(there).await;
    assert_eq!(visitor.record(&id).await["passport"], json!({ "user": 42 }));
    assert_eq!(visitor.user(here).await.as_deref(), Some("alice"));
    visitor.post(there, "/logout").await;
    assert_eq!(visitor.user(here).await, None);
    assert_eq!(visitor.user(there).await, None);
    assert!(pair.place.raw(&id).await.is_none(), "the session of before the logout is still stored");
}

/// A destroyed session is nobody's on either side, and nothing brings it back.
pub async fn a_logout_is_final(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    let id = visitor.log_in(there).await;
    let kept = visitor.cookie().expect("a cookie");
    visitor.post(here, "/destroy").await;
    if here == Side::Axum {
        assert_eq!(visitor.cookie(), None, "the cookie outlived the session");
    }
    assert!(pair.place.raw(&id).await.is_none(), "the record outlived the session");
    for side in [there, here, there] {
        let thief = Visitor::with_cookie(pair, &kept);
        assert_eq!(thief.user(side).await, None, "{side:?}");
        thief.put(side, "/data/mine", json!(1)).await;
        assert_ne!(thief.id(side).await, id, "{side:?} took over an id the store does not know");
        assert!(pair.place.raw(&id).await.is_none(), "{side:?} brought the session back");
    }
}

/// A request that axum has loaded the session for is refused when Express ends the session meanwhile. The other way
/// round Express brings the session back: see `tests/express_loses.rs`. So here the side that is slow is always axum.
pub async fn a_logout_beats_a_slow_request(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    let id = visitor.log_in(there).await;
    let gate = format!("logout-{id}");
    let slow = {
        let (visitor, path) = (visitor.clone(), format!("/slow/late/{gate}"));
        tokio::spawn(async move { visitor.send(Side::Axum, Method::PUT, &path, Some(json!(1))).await })
    };
    visitor.get(Side::Axum, &format!("/gate/{gate}/arrived")).await;
    visitor.post(here, "/destroy").await;
    visitor.post(Side::Axum, &format!("/gate/{gate}/open")).await;
    let answer = slow.await.expect("no panic");
    assert_eq!(answer.status, 409, "{answer:?}");
    assert!(answer.cookie.is_none(), "a cookie for a session that is gone: {answer:?}");
    assert!(pair.place.raw(&id).await.is_none(), "the late write brought the session back");
}

/// A regenerated session is a new, empty one for the other side too.
pub async fn a_regenerated_session_is_seen(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    let old = visitor.log_in(there).await;
    visitor.put(there, "/data/cart", json!(["tea"])).await;
    let kept = visitor.cookie().expect("a cookie");
    let new = visitor.post(here, "/regenerate").await.body["id"].as_str().map(String::from);
    let cookie = visitor.cookie().expect("a cookie");
    assert_eq!(id_in(&cookie, SECRET), new);
    assert_ne!(new.as_deref(), Some(&*old));
    visitor.put(there, "/data/fresh", json!(1)).await;
    for side in [there, here] {
        let seen = visitor.get(side, "/session").await.body;
        assert_eq!(seen, json!({ "id": new, "user": null, "data": { "fresh": 1 } }), "{side:?}");
        assert_eq!(Visitor::with_cookie(pair, &kept).data(side).await, json!({}), "{side:?}");
    }
    assert!(pair.place.raw(&old).await.is_none());
}

/// A session that got a new id has the same data under it, and nothing under the old one.
pub async fn a_cycled_id_is_seen(pair: &Arc<Pair>, here: Side, there: Side) {
    let visitor = Visitor::new(pair);
    let old = visitor.log_in(there).await;
    visitor.put(there, "/data/cart", json!(["tea"])).await;
    visitor.post_json(there, "/flash/info", json!("kept")).await;
    let new = visitor.post(here, "/cycle").await.body["id"].as_str().map(String::from);
    assert_ne!(new.as_deref(), Some(&*old));
    for side in [there, here] {
        let seen = visitor.get(side, "/session").await.body;
        assert_eq!(seen, json!({ "id": new, "user": "alice", "data": { "cart": ["tea"] } }), "{side:?}");
    }
    assert_eq!(visitor.get(there, "/flash/info").await.body, json!(["kept"]));
    assert!(pair.place.raw(&old).await.is_none());
    let raw = pair.place.raw(&new.expect("an id")).await.expect("a record");
    assert!(serde_json::from_str::<Value>(&raw).expect("JSON")["cart"].is_array());
}
