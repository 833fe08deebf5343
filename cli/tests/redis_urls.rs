//! Which addresses a URL names.

#[path = "../src/redis_address.rs"]
mod redis_address;

use redis_address::RedisAddress;

fn sentinel(sentinels: &[&str], primary: &str) -> RedisAddress {
    let sentinels = sentinels.iter().map(ToString::to_string).collect();
    RedisAddress::Sentinel { sentinels, primary: primary.to_owned() }
}

#[test]
fn a_url_names_a_server_a_cluster_or_sentinels() {
    let cluster = |nodes: &[&str]| RedisAddress::Cluster(nodes.iter().map(ToString::to_string).collect());
    for (url, address) in [
        ("redis://ada:pw@cache/3", RedisAddress::Single("redis://ada:pw@cache/3".into())),
        ("redis+unix:///run/redis", RedisAddress::Single("redis+unix:///run/redis".into())),
        ("redis+cluster://a:7000,b", cluster(&["redis://a:7000", "redis://b"])),
        ("REDIS+CLUSTER://a/", cluster(&["redis://a"])),
        (
            "rediss+cluster://ada:p,w@a:1,[::1]:2?protocol=resp3",
            cluster(&["rediss://ada:p,w@a:1?protocol=resp3", "rediss://ada:p,w@[::1]:2?protocol=resp3"]),
        ),
        (
            "redis+sentinel://a,b:1,[::1]/mymaster",
            sentinel(&["redis://a:26379", "redis://b:1", "redis://[::1]:26379"], "redis://mymaster/"),
        ),
        (
            "rediss+sentinel://:pw@a/m/2?sentinel_password=spw&sentinel_username=watch&protocol=resp3",
            sentinel(&["rediss://watch:spw@a:26379"], "rediss://:pw@m/2?protocol=resp3"),
        ),
        (
            "redis+sentinel://a:1/m?sentinel_username=wa:tch&sentinel_password=12/x?%40@%2F",
            sentinel(&["redis://wa%3Atch:12%2Fx%3F%40%40%2F@a:1"], "redis://m/"),
        ),
        ("rediss+sentinel://a:1/m?sentinel_tls=no", sentinel(&["redis://a:1"], "rediss://m/")),
    ] {
        assert_eq!(RedisAddress::of(url).unwrap(), Some(address), "{url}");
    }
    for url in ["postgres://db/shop", "sqlite:shop.db", "redis", "redis+other://a"] {
        let is_single = url == "redis";
        assert_eq!(RedisAddress::of(url).unwrap().is_some(), is_single, "{url}");
    }
}

#[test]
fn what_is_missing_is_said_without_the_password() {
    for (url, says) in [
        ("redis+cluster://ada:geheim@", "a host is missing"),
        ("redis+cluster://ada:geheim@a,,b", "a host is missing"),
        ("rediss+cluster://ada:geheim@a/3", "a cluster has no databases"),
        ("redis+sentinel://ada:geheim@a:1", "the name of the primary is missing"),
        ("redis+sentinel://ada:geheim@a:1/?sentinel_password=geheim", "the name of the primary is missing"),
    ] {
        let error = RedisAddress::of(url).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains("geheim"), "{url}: {error}");
    }
}
