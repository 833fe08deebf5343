//! Values and flash messages.

use std::sync::Arc;

use serde_json::json;

use crate::http_client::HttpClient;
use crate::servers::{Servers, Side};

/// What one side writes the other reads, changes and removes; the first side sees all of it.
pub async fn data_goes_to_and_fro(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    let written = json!({
        "text": "é \u{2028} \"\\/ \u{1} 😀", "whole": -3, "half": 0.5, "large": 9_007_199_254_740_991_u64,
        "yes": true, "none": null, "list": [1, [2, [3]], {}], "map": { "a": { "b": [] }, "": 0, "cookie": 1 },
    });
    for (key, value) in written.as_object().expect("an object") {
        client.put(here, &format!("/data/{key}"), value.clone()).await;
    }
    assert_eq!(client.data(there).await, written);
    client.put(there, "/data/list", json!("changed")).await;
    client.delete(there, "/data/map").await;
    client.post(there, "/count/visits").await;
    client.post(here, "/count/visits").await;
    assert_eq!(client.post(there, "/count/visits").await.body, json!(3));
    let mut expected = written;
    expected["list"] = json!("changed");
    expected["visits"] = json!(3);
    expected.as_object_mut().expect("an object").remove("map");
    for side in [here, there] {
        assert_eq!(client.data(side).await, expected, "{side:?}");
    }
}

/// connect-flash's messages: pushed on one side, shown once on the other, gone on both.
pub async fn a_flash_message_is_drained_once(servers: &Arc<Servers>, here: Side, there: Side) {
    let client = HttpClient::new(servers);
    client.post_json(here, "/flash/info", json!("one")).await;
    client.post_json(there, "/flash/info", json!({ "two": 2 })).await;
    client.post_json(here, "/flash/info", json!("three")).await;
    client.post_json(here, "/flash/error", json!("bad")).await;
    let id = client.id(there).await;
    let stored = json!({ "info": ["one", { "two": 2 }, "three"], "error": ["bad"] });
    assert_eq!(client.record(&id).await["flash"], stored);
    assert_eq!(client.get(there, "/flash/info").await.body, stored["info"]);
    for side in [there, here] {
        assert_eq!(client.get(side, "/flash/info").await.body, json!([]), "{side:?} shows them again");
    }
    assert_eq!(
        client.get(there, "/flash/error").await.body,
        json!(["bad"]),
        "the other kind is gone as well"
    );
    assert_eq!(client.record(&id).await["flash"], json!({}));
    assert_eq!(client.data(there).await, json!({}), "flash messages are no data");
}
