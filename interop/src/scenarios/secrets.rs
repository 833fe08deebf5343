//! A secret is replaced, on one side first, and nobody is logged out.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::http_client::HttpClient;
use crate::servers::{SECRET, Servers, Side, id_in, options};

const NEW: &str = "the next secret of at least 32 bytes here";

fn rotated(servers: &Servers, here: Side, secrets: [Value; 2]) -> Arc<Servers> {
    let [first, second] = secrets.map(options);
    let (express, axum) = if here == Side::Express { (&first, &second) } else { (&second, &first) };
    Servers::start(&servers.store, express, axum).expect("Node.js is installed")
}

/// `here` signs with the new secret first; `there` follows. In between both verify both.
pub async fn secrets_rotate(servers: &Arc<Servers>, here: Side, there: Side) {
    let both = rotated(servers, here, [json!([NEW, SECRET]), json!([SECRET, NEW])]);
    let done = rotated(servers, here, [json!(NEW), json!([NEW])]);
    let before = HttpClient::new(servers);
    let id = before.log_in(there).await;
    let old_cookie = before.cookie().expect("a cookie");

    let during = before.moved_to(&both);
    for side in [here, there, here] {
        assert_eq!(during.user(side).await.as_deref(), Some("alice"), "{side:?}");
    }
    during.put(here, "/data/n", json!(1)).await;
    let new_cookie = during.cookie().expect("a cookie");
    assert_eq!(id_in(&new_cookie, NEW), Some(id.clone()), "{here:?} signs with its first secret");
    assert_eq!(during.user(there).await.as_deref(), Some("alice"), "{there:?} verifies with its second one");
    during.put(there, "/data/n", json!(2)).await;
    assert_eq!(id_in(&during.cookie().expect("a cookie"), SECRET), Some(id.clone()));
    assert_eq!(during.data(here).await, json!({ "n": 2 }));
    during.put(here, "/data/n", json!(3)).await;

    // A side that was not told of the new secret before the other one signs with it logs everybody out.
    let untold = HttpClient::with_cookie(servers, &new_cookie);
    assert_eq!(untold.user(there).await, None);

    let after = during.moved_to(&done);
    for side in [there, here] {
        assert_eq!(after.user(side).await.as_deref(), Some("alice"), "{side:?}");
        assert_eq!(after.id(side).await, id, "{side:?}");
        assert_eq!(HttpClient::with_cookie(&done, &old_cookie).user(side).await, None, "{side:?}");
    }
}
