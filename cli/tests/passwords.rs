//! No password of a URL is shown.

#[path = "../src/urls.rs"]
mod urls;

use urls::{public_name, without_password};

#[test]
fn a_name_has_neither_user_nor_password_nor_options() {
    for (url, name) in [
        ("postgres://ada:geheim@db.example:5433/shop?password=geheim", "postgres://db.example:5433/shop"),
        ("rediss://:geheim@cache/3", "rediss://cache/3"),
        ("redis://cache", "redis://cache"),
        ("mysql://ada:ge%20heim@db/shop", "mysql://db/shop"),
        ("postgres://ada:geheim@db:port/shop", "the store"),
        ("geheim", "the store"),
        ("redis+cluster://ada:geheim@a:7000,b", "redis+cluster://a:7000,b"),
        ("redis+cluster://ada:geheim@a:7000", "redis+cluster://a:7000"),
        (
            "rediss+sentinel://ada:ge,heim@a:1,[::1]:2/m/0?sentinel_password=geheim",
            "rediss+sentinel://a:1,[::1]:2/m/0",
        ),
        ("redis+sentinel://a:geheim,b/m", "the store"),
        ("redis+sentinel://ada:geheim/x@a,b/m", "redis+sentinel://a,b/m"),
        ("file:./sessions", "file:./sessions"),
        ("sqlite:///var/lib/shop.db?mode=ro", "sqlite:///var/lib/shop.db"),
    ] {
        assert_eq!(public_name(url), name, "{url}");
    }
}

#[test]
fn an_error_that_quotes_the_url_says_no_password() {
    for url in [
        "postgres://ada:geheim@db:port/shop",
        "redis://:geheim@cache/3",
        "postgres://db/shop?user=ada&password=geheim&sslmode=require",
        "redis+unix:///run/redis?pass=geheim",
        "postgres://ada:geheim@x@db/shop",
        "redis+sentinel://ada:geheim@a:1,b:2/m?sentinel_password=geheim",
    ] {
        let text = without_password(&format!("cannot parse {url:?}"), url);
        assert!(!text.contains("geheim"), "{text}");
    }
    let url = "redis+sentinel://ada:geheim@a:1/m?sentinel_password=a@b";
    assert_eq!(without_password("geheim and a@b", url), "*** and ***");
    assert_eq!(without_password("ge?heim", "redis://:ge?heim@cache"), "***");
    assert_eq!(without_password("it is down", "redis://cache"), "it is down");
}
