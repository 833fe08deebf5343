//! What `build` refuses, by the name of the option; and options from a file.

mod common;

use std::time::Duration;

use common::{Logs, SECRET};
use sessile::{ConfigError, SameSite, Secrets, Secure, SessionConfig, SessionConfigBuilder, SessionOptions};

fn options() -> SessionConfigBuilder {
    SessionConfig::builder(SECRET)
}

fn refused(options: SessionConfigBuilder) -> ConfigError {
    options.build().expect_err("these options are legal")
}

#[test]
fn secrets() {
    assert_eq!(SessionConfig::new("").unwrap_err(), ConfigError::EmptySecret);
    assert_eq!(SessionConfig::new(["good enough, they said", ""]).unwrap_err(), ConfigError::EmptySecret);
    assert_eq!(SessionConfig::new(Vec::<String>::new()).unwrap_err(), ConfigError::NoSecret);
    assert_eq!(SessionConfig::new([""; 0]).unwrap_err(), ConfigError::NoSecret);
    assert_eq!(refused(SessionConfig::hardened("x".repeat(31))), ConfigError::ShortSecret);
    assert_eq!(refused(SessionConfig::hardened([SECRET, "short"])), ConfigError::ShortSecret);
    SessionConfig::hardened("x".repeat(32)).build().unwrap();
    // Everything a secret can be.
    let bytes = vec![7_u8; 32];
    let all: [Secrets; 9] = [
        SECRET.into(),
        SECRET.to_owned().into(),
        bytes.clone().into(),
        bytes.as_slice().into(),
        [7_u8; 32].into(),
        vec![SECRET, SECRET].into(),
        [SECRET.to_owned()].into(),
        vec![bytes.clone()].into(),
        [SECRET, SECRET].as_slice().into(),
    ];
    for secrets in all {
        SessionConfig::new(secrets).unwrap();
    }
}

#[test]
fn a_short_secret_is_warned_about_once() {
    let logs = Logs::capture();
    SessionConfig::new("your-secret-key").unwrap();
    assert_eq!(logs.count("a session secret is shorter than 32 bytes"), 1, "{}", logs.text());
    assert!(!logs.text().contains("your-secret-key"));
    let logs = Logs::capture();
    SessionConfig::new(SECRET).unwrap();
    assert_eq!(logs.text(), "");
}

#[test]
fn names_paths_and_domains() {
    for name in ["", "a b", "a;b", "a=b", "a\r\nb", "a\0", "é", "a,b", "a\"b", "a/b", "(a)", &"x".repeat(257)]
    {
        assert_eq!(refused(options().name(name)), ConfigError::Name, "{name:?}");
    }
    for name in ["a", "connect.sid", "a_b-c.d!#$%&'*+^`|~", &"x".repeat(256)] {
        options().name(name).build().unwrap();
    }
    for path in ["", "app", "/a;b", "/a\r\nSet-Cookie: x=y", "/a\0", "/é", "/\u{7f}", &"/".repeat(1025)] {
        assert_eq!(refused(options().path(path)), ConfigError::Path, "{path:?}");
    }
    for domain in
        ["", ".", "a;b", "a b", "a\r\nb", "é.com", "a..b", "a.b.", "x".repeat(64).as_str(), "a/b", "a:80"]
    {
        assert_eq!(refused(options().domain(domain)), ConfigError::Domain, "{domain:?}");
    }
    for domain in ["example.com", ".example.com", "localhost", "xn--bcher-kva.example", "127.0.0.1"] {
        options().domain(domain).build().unwrap();
    }
}

#[test]
fn prefixes() {
    let prefix = |options: SessionConfigBuilder| match refused(options) {
        ConfigError::Prefix { prefix, needs } => format!("{prefix} {needs}"),
        other => panic!("{other:?}"),
    };
    for name in ["__Host-sid", "__HOST-sid", "__host-sid"] {
        let named = || options().name(name);
        assert_eq!(prefix(named()), "__Host- `secure`");
        assert_eq!(prefix(named().secure(true).domain("example.com")), "__Host- no `domain`");
        assert_eq!(prefix(named().secure(true).path("/app")), "__Host- `path(\"/\")`");
        named().secure(true).build().unwrap();
        named().secure(Secure::Auto).build().unwrap();
    }
    assert_eq!(prefix(options().name("__Secure-sid")), "__Secure- `secure`");
    options().name("__secure-sid").secure(true).domain("example.com").build().unwrap();
    assert_eq!(prefix(options().name("__Http-sid").secure(true).http_only(false)), "__Http- `http_only`");
    let both = || options().name("__Host-Http-sid").secure(true);
    assert_eq!(prefix(both().http_only(false)), "__Host-Http- `http_only`");
    assert_eq!(prefix(both().path("/x")), "__Host-Http- `path(\"/\")`");
    assert_eq!(prefix(SessionConfig::hardened(SECRET).secure(false)), "__Host- `secure`");
}

#[test]
fn attributes_that_need_secure() {
    assert_eq!(refused(options().same_site(SameSite::None)), ConfigError::SameSite);
    options().same_site(SameSite::None).secure(true).build().unwrap();
    options().same_site(SameSite::None).secure(Secure::Auto).build().unwrap();
    assert_eq!(refused(options().partitioned(true)), ConfigError::Partitioned);
    options().partitioned(true).secure(Secure::Auto).build().unwrap();
}

#[test]
fn lifetimes() {
    const LONGEST: Duration = Duration::from_secs(400 * 24 * 60 * 60);
    let over = LONGEST + Duration::from_secs(1);
    for age in [Duration::ZERO, Duration::from_nanos(1), over, Duration::MAX] {
        assert_eq!(refused(options().max_age(age)), ConfigError::MaxAge, "{age:?}");
        assert_eq!(refused(options().store_ttl(age)), ConfigError::StoreTtl, "{age:?}");
    }
    options().max_age(LONGEST).store_ttl(LONGEST).touch_after(Duration::MAX).build().unwrap();
}

#[test]
fn every_error_names_its_option() {
    for (error, option) in [
        (refused(options().name("")), "`name`"),
        (refused(options().path("")), "`path`"),
        (refused(options().domain("")), "`domain`"),
        (refused(options().max_age(Duration::ZERO)), "`max_age`"),
        (refused(options().store_ttl(Duration::ZERO)), "`store_ttl`"),
        (refused(options().partitioned(true)), "`partitioned`"),
        (refused(options().same_site(SameSite::None)), "`same_site`"),
        (SessionConfig::new("").unwrap_err(), "`secret`"),
    ] {
        assert!(error.to_string().contains(option), "{error}");
    }
}

async fn line(json: &str) -> String {
    let options: SessionOptions = serde_json::from_str(json).unwrap();
    let config = SessionConfig::from_options(options).unwrap();
    let app = axum::Router::new()
        .route("/", axum::routing::get(async |session: sessile::Session| session.commit().await))
        .with_state(common::App { sessions: config });
    common::set_cookies(&common::get(&app, "/", &[]).await).into_iter().next().unwrap_or_default()
}

#[tokio::test]
async fn options_from_a_file() {
    let full = line(
        r#"{"secret":"keyboard cat","name":"sid","saveUninitialized":true,"resave":true,"rolling":true,"proxy":false,
            "touchAfter":5,"ttl":100,"cookie":{"maxAge":60000,"secure":true,"httpOnly":false,"path":"/app",
            "domain":"example.com","sameSite":"none","partitioned":true,"priority":"high"}}"#,
    )
    .await;
    for part in [
        "sid=s%3A",
        "Max-Age=60;",
        "Secure",
        "Path=/app",
        "Domain=example.com",
        "SameSite=None",
        "Partitioned",
    ] {
        assert!(full.contains(part), "{part} in {full}");
    }
    assert!(full.ends_with("Priority=High") && !full.contains("HttpOnly"), "{full}");
    assert_eq!(line(r#"{"secret":"keyboard cat","saveUninitialized":false}"#).await, "");
    assert!(
        line(r#"{"secret":["new","old"],"cookie":{}}"#).await.contains("SameSite=Lax; Path=/; Max-Age=86400")
    );
    assert!(!line(r#"{"secret":"s","cookie":{"maxAge":null}}"#).await.contains("Max-Age"));
    for (same_site, attribute) in
        [("true", "SameSite=Strict"), ("\"Strict\"", "SameSite=Strict"), ("\"lax\"", "SameSite=Lax")]
    {
        assert!(
            line(&format!(r#"{{"secret":"s","cookie":{{"sameSite":{same_site}}}}}"#))
                .await
                .contains(attribute)
        );
    }
    assert!(!line(r#"{"secret":"s","cookie":{"sameSite":false}}"#).await.contains("SameSite"));
    assert!(!line(r#"{"secret":"s","cookie":{"secure":"auto"}}"#).await.contains("Secure"));
}

#[test]
fn options_a_file_must_not_have() {
    for json in [
        r#"{"secret":"s","saveuninitialized":true}"#,
        r#"{"secret":"s","unset":"destroy"}"#,
        r#"{"secret":"s","cookie":{"max_age":1}}"#,
        r#"{"secret":"s","cookie":{"secure":"yes"}}"#,
        r#"{"secret":"s","cookie":{"sameSite":"loose"}}"#,
        r#"{"secret":"s","cookie":{"priority":"urgent"}}"#,
        r#"{"secret":"s","cookie":{"maxAge":"60000"}}"#,
        r#"{"secret":"s","cookie":{"maxAge":-1}}"#,
        r#"{"secret":5}"#,
    ] {
        assert!(serde_json::from_str::<SessionOptions>(json).is_err(), "{json}");
    }
    let none: SessionOptions = serde_json::from_str("{}").unwrap();
    assert_eq!(SessionConfig::from_options(none).unwrap_err(), ConfigError::NoSecret);
    let zero: SessionOptions = serde_json::from_str(r#"{"secret":"s","cookie":{"maxAge":0}}"#).unwrap();
    assert_eq!(SessionConfig::from_options(zero).unwrap_err(), ConfigError::MaxAge);
}
