//! Cookies that bunWay signed, in the URL-safe base64 alphabet, over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_interop::http_client::HttpClient;
use sessile_interop::node;
use sessile_interop::servers::{SECRET, SharedServers, Side};
use sessile_interop::shared_store::Kind;

static SERVERS: SharedServers = SharedServers::new(Kind::File);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_safe_signature_is_accepted() {
    let Some(servers) = SERVERS.get() else { return };
    let signer = node("bunway.js", &[("SECRET", SECRET)]).expect("Node.js is installed");
    let (mut url_safe, mut tried) = (0, 0);
    // Three of four signatures have a letter in which the alphabets differ.
    while url_safe < 10 {
        tried += 1;
        assert!(tried < 200, "no signature has a letter of the URL-safe alphabet");
        let id = format!("{tried:048x}");
        let record =
            r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":"bob"}"#;
        servers.store.put(&id, record, Duration::from_secs(600)).await;
        let url = format!("http://{}/sign/{id}", signer.address());
        let signed: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        for form in ["value", "encoded"] {
            let value = signed[form].as_str().unwrap();
            let client = HttpClient::with_cookie(&servers, value);
            let seen = client.get(Side::Axum, "/session").await.body;
            assert_eq!(seen, json!({ "id": id, "user": null, "data": { "user": "bob" } }), "{form}");
            let forged = if value.ends_with('A') { "B" } else { "A" };
            let forged = format!("{}{forged}", &value[..value.len() - 1]);
            assert_ne!(HttpClient::with_cookie(&servers, &forged).id(Side::Axum).await, id, "{form}");
        }
        if signed["value"].as_str().unwrap().rsplit('.').next().unwrap().contains(['-', '_']) {
            url_safe += 1;
            // Express knows the standard alphabet alone.
            let express = HttpClient::with_cookie(&servers, signed["encoded"].as_str().unwrap());
            assert_ne!(express.id(Side::Express).await, id);
        }
    }
    println!("{tried} cookies, {url_safe} of them with a letter of the URL-safe alphabet");
}
