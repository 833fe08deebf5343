//! Values that JavaScript and Rust represent differently: what axum did not change stands in the store byte
//! for byte.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sessile::{SessionConfig, SessionId};
use sessile_interop::http_client::HttpClient;
use sessile_interop::servers::{SECRET, Servers, Side};

const COOKIE: &str =
    r#""cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/","sameSite":"lax"}"#;
/// Names that Express' session object has itself, so that it drops them from a record it loads.
const DROPPED: &str = r#""__proto__":{"a":1.0},"constructor":1.0,"save":"x","reload":null,"toString":[1.50]"#;

/// A record of an Express application as JSON allows it, with `n` for axum to change.
fn record(n: &str) -> String {
    let deep = format!("{}{}", "[".repeat(2000), "]".repeat(2000));
    format!(
        r#"{{{COOKIE},{n}"past":9007199254740993,"huge":123456789012345678901234567890,"one":1.0,"hundred":1E+2,"minus":-0,"infinite":1e400,"nothing":1e-400,"lone":"\ud800","pair":"\ud83d\ude00","lower":"\u00E9","separators":"{sep}","slash":"\/","nul":"\u0000","deep":{deep},"":0,"k\u0065y\"\\":[ 1 , {{ "a" : 2.0 }} ],{DROPPED}}}"#,
        sep = "\u{2028}\u{2029}\u{7f}é😀",
    )
}

struct Stage {
    servers: Arc<Servers>,
    client: HttpClient,
    id: SessionId,
}

impl Stage {
    async fn new(servers: Arc<Servers>, record: &str) -> Self {
        let id = SessionId::random();
        servers.store.put(id.as_str(), record, Duration::from_secs(3600)).await;
        let cookie = SessionConfig::new(SECRET).unwrap().sign(&id);
        Self { client: HttpClient::with_cookie(&servers, &cookie), servers, id }
    }

    /// The same but for the white space behind the record, by which `RedisStore` knows its own writes.
    #[track_caller]
    fn assert_same(now: &str, expected: &str) {
        let now = now.trim_end();
        let differs = now.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
        let from = differs.unwrap_or(now.len().min(expected.len())).saturating_sub(40);
        let near = |text: &str| {
            String::from_utf8_lossy(text.as_bytes().get(from..).unwrap_or_default()).into_owned()
        };
        assert!(now == expected, "stored …{:.120}\nwanted …{:.120}", near(now), near(expected));
    }

    async fn raw(&self) -> String {
        self.servers.store.raw(self.id.as_str()).await.expect("a record")
    }
}

async fn what_axum_leaves_alone_stays(servers: Arc<Servers>) {
    let stage = Stage::new(servers, &record(r#""n":1,"#)).await;
    let client = &stage.client;
    Stage::assert_same(&stage.raw().await, &record(r#""n":1,"#));
    client.put(Side::Axum, "/data/n", json!(2)).await;
    Stage::assert_same(&stage.raw().await, &record(r#""n":2,"#));
    client.post(Side::Axum, "/count/n").await;
    Stage::assert_same(&stage.raw().await, &record(r#""n":3,"#));
    client.post(Side::Axum, "/touch").await;
    Stage::assert_same(&stage.raw().await, &record(r#""n":3,"#));
    client.delete(Side::Axum, "/data/n").await;
    Stage::assert_same(&stage.raw().await, &record(""));
    client.put(Side::Axum, "/data/added", json!("here")).await;
    let with = |tail: &str| format!("{},\"added\":\"here\"{tail}}}", record("").strip_suffix('}').unwrap());
    Stage::assert_same(&stage.raw().await, &with(""));
    client.post_json(Side::Axum, "/flash/info", json!("hello")).await;
    Stage::assert_same(&stage.raw().await, &with(r#","flash":{"info":["hello"]}"#));
    client.get(Side::Axum, "/flash/info").await;
    Stage::assert_same(&stage.raw().await, &with(r#","flash":{}"#));
    let new = client.post(Side::Axum, "/cycle").await.body["id"].as_str().unwrap().to_owned();
    assert_ne!(new, stage.id.as_str());
    let moved = stage.servers.store.raw(&new).await.expect("the record under its new id");
    Stage::assert_same(&moved, &with(r#","flash":{}"#));
}

/// Express reads such a record as well, and makes of it what JavaScript can hold as soon as it writes.
async fn what_express_makes_of_it(servers: Arc<Servers>) {
    let stage = Stage::new(servers, &record(r#""n":1,"#)).await;
    stage.client.put(Side::Axum, "/data/n", json!(2)).await;
    // No text that Rust could parse: it holds the surrogate, and is nested deeper than serde_json goes.
    let seen = stage.client.get(Side::Express, "/session").await.body;
    assert!(seen.as_str().is_some_and(|text| text.contains(r#""lone":"\ud800""#)), "{seen:.200}");
    stage.client.put(Side::Express, "/data/n", json!(3)).await;
    let raw = stage.raw().await;
    let kept = [
        r#""n":3"#,
        r#""past":9007199254740992"#,
        r#""huge":1.2345678901234568e+29"#,
        r#""one":1,"#,
        r#""hundred":100"#,
        r#""minus":0"#,
        r#""infinite":null"#,
        r#""nothing":0"#,
        r#""lone":"\ud800""#,
        r#""pair":"😀""#,
        r#""slash":"/""#,
        r#""nul":"\u0000""#,
    ];
    for text in kept {
        assert!(raw.contains(text), "{text} is not in {raw:.400}");
    }
    for dropped in ["__proto__", "constructor", "\"save\"", "reload", "toString"] {
        assert!(!raw.contains(dropped), "Express kept {dropped}");
    }
    // And axum goes on with it, the surrogate and the depth included.
    stage.client.put(Side::Axum, "/data/n", json!(4)).await;
    Stage::assert_same(&stage.raw().await, &raw.replace(r#""n":3"#, r#""n":4"#));
}

/// Only the value that Rust cannot hold is an error, and it is one: never absent, never another value.
async fn one_bad_value_does_not_hide_the_others(servers: Arc<Servers>) {
    let text = format!(r#"{{{COOKIE},"n":1,"lone":"\ud800"}}"#);
    let stage = Stage::new(servers, &text).await;
    assert_eq!(stage.client.post(Side::Axum, "/count/n").await.body, json!(2));
    let refused = stage.client.send(Side::Axum, reqwest::Method::DELETE, "/data/lone", None).await;
    assert_eq!(refused.status, 500, "{refused:?}");
    assert_eq!(refused.body, Value::String("Internal Server Error".into()));
    Stage::assert_same(&stage.raw().await, &text.replace(r#""n":1"#, r#""n":2"#));
}

sessile_interop::on_each_store! {
    what_axum_leaves_alone_stays
    what_express_makes_of_it
    one_bad_value_does_not_hide_the_others
}
