//! What `build` refuses, by the option it names; and options read from a file.

use std::time::Duration;

use crate::common::logs::Logs;
use crate::common::stores::{DAY, RecordingStore};
use crate::common::{SECRET, TestClient, builder};
use sessile::{
    AtLimit, ConfigError, HashIds, Priority, SameSite, Secure, SessionConfig, SessionConfigBuilder,
    SessionError, SessionOptions,
};

fn refused(builder: SessionConfigBuilder) -> ConfigError {
    builder.build().expect_err("it should be refused")
}

#[test]
fn secrets() {
    assert_eq!(refused(SessionConfig::builder(Vec::<String>::new())), ConfigError::NoSecret);
    assert_eq!(refused(SessionConfig::builder("")), ConfigError::EmptySecret);
    assert_eq!(refused(SessionConfig::builder(Vec::<u8>::new())), ConfigError::EmptySecret);
    assert_eq!(refused(SessionConfig::builder(["good", ""])), ConfigError::EmptySecret);
    assert_eq!(SessionConfig::new("").unwrap_err(), ConfigError::EmptySecret);
    let short = "x".repeat(31);
    assert_eq!(refused(SessionConfig::hardened(short.as_str())), ConfigError::ShortSecret);
    assert_eq!(refused(SessionConfig::hardened([SECRET, &*short])), ConfigError::ShortSecret);
    assert!(SessionConfig::new("your-secret-key").is_ok());
}

/// Long is not random: `hardened` refuses a secret of few different bytes and says what to do.
#[test]
fn monotonous_secrets() {
    let good = "0123456789".repeat(4);
    for monotonous in ["x".repeat(32), "012345678".repeat(9), "correct ".repeat(5)] {
        for secrets in [vec![&*monotonous], vec![&*good, &*monotonous]] {
            let error = refused(SessionConfig::hardened(secrets));
            assert_eq!(error, ConfigError::MonotonousSecret, "{monotonous}");
            assert!(error.to_string().contains("openssl rand"), "{error}");
        }
        assert!(SessionConfig::new(monotonous).is_ok());
    }
    assert!(SessionConfig::hardened([&*good, SECRET]).build().is_ok());
    assert!(SessionConfig::hardened(std::array::from_fn::<u8, 32, _>(|n| n as u8)).build().is_ok());
}

/// A trait in scope goes before what a `String` has through `str`, so no name of the crate may hide one of
/// those.
#[test]
fn a_glob_import_hides_no_method_of_text() {
    #[allow(unused_imports, reason = "the import is what is tested")]
    use sessile::*;
    let (text, bytes) = (String::from("ab"), vec![1_u8]);
    assert_eq!(text.bytes().map(u32::from).sum::<u32>(), 195);
    assert_eq!(bytes.as_slice().first(), Some(&1));
}

#[test]
fn a_short_secret_is_warned_about_once() {
    let logs = Logs::capture();
    let config = SessionConfig::new(["x".repeat(32).as_str(), "swordfish"]).unwrap();
    let _ = (config.sign(&crate::common::id("a")), config.clone());
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());
    assert!(logs.warnings()[0].contains("32 bytes"), "{}", logs.text());
    assert!(!logs.text().contains("swordfish"));
    let _ = SessionConfig::new("x".repeat(32)).unwrap();
    assert_eq!(logs.warnings().len(), 1, "{}", logs.text());
}

#[test]
fn illegal_names() {
    let long = "n".repeat(257);
    for name in [
        "",
        " ",
        "a b",
        "a;b",
        "a=b",
        "a,b",
        "a\r\nSet-Cookie: x",
        "a\nb",
        "a\0b",
        "a\tb",
        "a\"b",
        "a(b",
        "a/b",
        "a@b",
        "a\\b",
        "é",
        "日本",
        "a\u{7f}",
        &long,
    ] {
        assert_eq!(refused(builder().name(name)), ConfigError::Name, "{name:?}");
    }
    for name in ["connect.sid", "a", "!#$%&'*+-.^_`|~09AZaz"] {
        assert!(builder().name(name).build().is_ok(), "{name:?}");
    }
}

#[test]
fn illegal_paths() {
    let long = format!("/{}", "p".repeat(1024));
    for path in [
        "",
        "app",
        " /",
        "/a;b",
        "/; Domain=evil",
        "/a\r\nSet-Cookie: x",
        "/a\nb",
        "/a\0b",
        "/é",
        "/a\u{7f}",
        &long,
    ] {
        assert_eq!(refused(builder().path(path)), ConfigError::Path, "{path:?}");
    }
    for path in ["/", "/app", "/a/b/", "/a b,c=d"] {
        assert!(builder().path(path).build().is_ok(), "{path:?}");
    }
}

#[test]
fn illegal_domains() {
    let long = "d".repeat(64);
    for domain in [
        "", ".", "..", "a..b", "a b", "a;b", "a;Path=/", "a\r\nb", "a\nb", "a\0b", "é.com", "a/b", "a:80",
        "a,b", "a=b", "http://a", &long,
    ] {
        assert_eq!(refused(builder().domain(domain)), ConfigError::Domain, "{domain:?}");
    }
    for domain in
        ["example.com", ".example.com", "localhost", "127.0.0.1", "xn--bcher-kva.example", "a_b.example"]
    {
        assert!(builder().domain(domain).build().is_ok(), "{domain:?}");
    }
}

#[test]
fn prefixes() {
    let prefix = |error: ConfigError| match error {
        ConfigError::Prefix { prefix, needs } => (prefix, needs),
        other => panic!("{other}"),
    };
    for name in ["__Host-x", "__host-x", "__HOST-x", "__hOsT-"] {
        let secure = || builder().name(name).secure(true);
        assert!(secure().build().is_ok() && builder().name(name).secure(Secure::Auto).build().is_ok());
        assert_eq!(prefix(refused(builder().name(name))), ("__Host-", "`secure`"));
        assert_eq!(prefix(refused(secure().domain("example.com"))), ("__Host-", "no `domain`"));
        assert_eq!(prefix(refused(secure().path("/app"))), ("__Host-", "`path(\"/\")`"));
    }
    for name in ["__Secure-x", "__secure-x", "__SECURE-x"] {
        assert_eq!(prefix(refused(builder().name(name))), ("__Secure-", "`secure`"));
        assert_eq!(prefix(refused(builder().name(name).secure(false))), ("__Secure-", "`secure`"));
        assert!(builder().name(name).secure(true).domain("example.com").path("/app").build().is_ok());
        assert!(builder().name(name).secure(Secure::Auto).build().is_ok());
    }
    let http = builder().name("__http-x").secure(true).http_only(false);
    assert_eq!(prefix(refused(http)), ("__Http-", "`http_only`"));
    let host_http = builder().name("__Host-HTTP-x").secure(true).http_only(false);
    assert_eq!(prefix(refused(host_http)), ("__Host-Http-", "`http_only`"));
    let host_http = builder().name("__Host-Http-x").secure(true).path("/app");
    assert_eq!(prefix(refused(host_http)), ("__Host-Http-", "`path(\"/\")`"));
    let hardened = SessionConfig::hardened(SECRET);
    assert_eq!(prefix(refused(hardened.domain("example.com"))), ("__Host-", "no `domain`"));
    // No prefix: a part of the word.
    assert!(builder().name("x__Host-").build().is_ok() && builder().name("__Host").build().is_ok());
}

#[test]
fn what_browsers_take_over_https_only() {
    let none = || builder().same_site(SameSite::None);
    assert_eq!(refused(none()), ConfigError::SameSite);
    assert_eq!(refused(builder().same_site_auto()), ConfigError::SameSite);
    assert!(none().secure(true).build().is_ok() && none().secure(Secure::Auto).build().is_ok());
    let partitioned = || builder().partitioned(true);
    assert_eq!(refused(partitioned()), ConfigError::Partitioned);
    assert!(partitioned().secure(true).build().is_ok() && partitioned().secure(Secure::Auto).build().is_ok());
}

#[test]
fn lives() {
    let second = Duration::from_secs(1);
    for life in [Duration::ZERO, Duration::from_nanos(1), 400 * DAY + second, Duration::MAX] {
        assert_eq!(refused(builder().max_age(life)), ConfigError::MaxAge, "{life:?}");
        assert_eq!(refused(builder().store_ttl(life)), ConfigError::StoreTtl, "{life:?}");
    }
    for life in [Duration::from_millis(1), 400 * DAY] {
        assert!(builder().max_age(life).store_ttl(life).build().is_ok(), "{life:?}");
    }
}

#[test]
fn every_refusal_names_its_option() {
    let cases = [
        (refused(SessionConfig::builder(Vec::<String>::new())), "secret"),
        (refused(SessionConfig::builder("")), "secret"),
        (refused(SessionConfig::hardened("x")), "secret"),
        (refused(builder().name("")), "name"),
        (refused(builder().path("")), "path"),
        (refused(builder().domain("")), "domain"),
        (refused(builder().name("__Host-x")), "name"),
        (refused(builder().same_site(SameSite::None)), "same_site"),
        (refused(builder().partitioned(true)), "partitioned"),
        (refused(builder().max_age(Duration::ZERO)), "max_age"),
        (refused(builder().store_ttl(Duration::ZERO)), "store_ttl"),
        (refused(builder().absolute_timeout(Duration::ZERO)), "absolute_timeout"),
        (refused(builder().look_every(Duration::ZERO)), "look_every"),
        (refused(builder().per_user(0, AtLimit::Refuse)), "per_user"),
    ];
    for (error, option) in cases {
        assert!(error.to_string().starts_with(&format!("`{option}`:")), "{error}");
    }
}

fn options(json: &str) -> Result<SessionOptions, serde_json::Error> {
    serde_json::from_str(json)
}

#[test]
fn a_file_with_every_key() {
    let options = options(
        r#"{
            "secret": ["first", "second"], "name": "sid", "resave": true, "saveUninitialized": false, "rolling": true,
            "proxy": true, "touchAfter": 30, "ttl": 3600, "maxRecordBytes": 65536, "maxFlash": 20,
            "absoluteTimeout": 28800, "perUser": 5, "atLimit": "refuse", "lookEvery": 2,
            "hashIds": "1970-01-02T00:00:00.000Z",
            "cookie": {
                "maxAge": 60000, "secure": "auto", "httpOnly": false, "path": "/app", "domain": "example.com",
                "sameSite": "none", "partitioned": true, "priority": "High"
            }
        }"#,
    )
    .unwrap();
    assert_eq!(options.secret, ["first", "second"]);
    assert_eq!(options.name.as_deref(), Some("sid"));
    assert_eq!((options.resave, options.save_uninitialized), (Some(true), Some(false)));
    assert_eq!((options.rolling, options.proxy), (Some(true), Some(true)));
    assert_eq!((options.touch_after, options.ttl), (Some(30), Some(3600)));
    assert_eq!((options.max_record_bytes, options.max_flash), (Some(65_536), Some(20)));
    assert_eq!((options.absolute_timeout, options.look_every), (Some(28_800), Some(2)));
    assert_eq!((options.per_user, options.at_limit), (Some(5), Some(AtLimit::Refuse)));
    assert_eq!(options.hash_ids, Some(HashIds::MovingUntil(std::time::UNIX_EPOCH + DAY)));
    let cookie = &options.cookie;
    assert_eq!((cookie.max_age, cookie.secure), (Some(Some(60_000)), Some(Secure::Auto)));
    assert_eq!((cookie.http_only, cookie.partitioned), (Some(false), Some(true)));
    assert_eq!((cookie.path.as_deref(), cookie.domain.as_deref()), (Some("/app"), Some("example.com")));
    assert_eq!((cookie.same_site, cookie.priority), (Some(Some(SameSite::None)), Some(Priority::High)));
}

#[tokio::test]
async fn a_file_takes_effect() {
    let store = RecordingStore::default();
    let options = options(
        r#"{
            "secret": ["first", "second"], "name": "sid", "resave": true, "rolling": true, "proxy": true,
            "saveUninitialized": false, "touchAfter": 0, "maxRecordBytes": 500, "maxFlash": 1,
            "absoluteTimeout": 30, "lookEvery": 2, "hashIds": true,
            "cookie": {
                "maxAge": 60000, "secure": "auto", "httpOnly": false, "path": "/app", "domain": "example.com",
                "sameSite": true, "partitioned": true, "priority": "high"
            }
        }"#,
    );
    let config = options.unwrap().into_builder().store(store.clone()).build().unwrap();
    let mut client = TestClient::new().header("x-forwarded-proto", "https");
    let session = client.open(&config).await;
    assert!(client.commit(&session).await.cookie().is_none(), "saveUninitialized");
    let session = client.open(&config).await;
    session.insert("n", 1).unwrap();
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(cookie.name, "sid");
    assert!(store.ids()[0].as_str().starts_with("sha256-"), "hashIds");
    let expected = ["Domain", "Expires", "Max-Age", "Partitioned", "Path", "Priority", "SameSite", "Secure"];
    assert_eq!(cookie.names(), expected);
    for (name, value) in [
        ("Domain", "example.com"),
        ("Max-Age", "30"),
        ("Path", "/app"),
        ("Priority", "High"),
        ("SameSite", "Strict"),
    ] {
        assert_eq!(cookie.attribute(name), Some(value));
    }
    assert_eq!(cookie.value, SessionConfig::new("first").unwrap().sign(&session.id()));
    assert!(config.verify(&SessionConfig::new("second").unwrap().sign(&session.id())).is_some());
    store.calls();
    let session = client.open(&config).await;
    assert_eq!(store.calls(), ["get"], "rolling has the commit extend the life");
    assert!(client.commit(&session).await.cookie().is_some(), "rolling");
    assert_eq!(store.calls(), ["replace"], "resave");
    session.flash("info", 1).unwrap();
    session.flash("info", 2).unwrap();
    assert_eq!(session.peek_flash::<u8>("info").unwrap(), [2], "maxFlash");
    session.insert("pad", "x".repeat(500)).unwrap();
    let error = session.commit().await.unwrap_err();
    assert!(matches!(error, SessionError::TooLarge { limit: 500, .. }), "maxRecordBytes: {error}");
}

#[tokio::test]
async fn a_limit_from_a_file_takes_effect() {
    for (file, refused) in [
        (r#"{"secret": "s", "perUser": 1, "atLimit": "refuse"}"#, 1),
        (r#"{"secret": "s", "perUser": 1}"#, 0),
        (r#"{"secret": "s"}"#, 0),
    ] {
        let config = SessionConfig::from_options(options(file).unwrap()).unwrap();
        let log_in = async || config.create_session(async |session| session.log_in("ada")).await;
        let answers = [log_in().await.is_err(), log_in().await.is_err()];
        assert_eq!(answers, [false, refused == 1], "{file}");
        let left = if file.contains("perUser") { 1 } else { 2 };
        assert_eq!(config.sessions_of("ada").count().await.unwrap(), left, "{file}");
    }
}

#[tokio::test]
async fn units_are_milliseconds_and_seconds() {
    let store = RecordingStore::default();
    let file = options(r#"{"secret": "s", "ttl": 1800, "cookie": {"maxAge": null}}"#).unwrap();
    let config = file.into_builder().store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert!(!cookie.has("Max-Age") && !cookie.has("Expires"));
    assert_eq!(store.ttls(), [Duration::from_secs(1800)]);
    assert_eq!(options(r#"{"cookie": {"maxAge": null}}"#).unwrap().cookie.max_age, Some(None));
    assert_eq!(options(r#"{"cookie": {}}"#).unwrap().cookie.max_age, None);
}

#[tokio::test]
async fn an_empty_file_keeps_the_defaults() {
    let config = SessionConfig::from_options(options(r#"{"secret": "s"}"#).unwrap()).unwrap();
    let mut client = TestClient::new();
    let session = client.open(&config).await;
    let cookie = client.commit(&session).await.cookie().unwrap();
    assert_eq!(cookie.names(), ["Expires", "HttpOnly", "Max-Age", "Path", "SameSite"]);
    assert_eq!((cookie.name.as_str(), cookie.attribute("Max-Age")), ("connect.sid", Some("86400")));
    assert_eq!(SessionConfig::from_options(options("{}").unwrap()).unwrap_err(), ConfigError::NoSecret);
}

#[test]
fn values_of_a_file() {
    let same_site = |json: &str| {
        options(&format!(r#"{{"cookie": {{"sameSite": {json}}}}}"#)).map(|options| options.cookie.same_site)
    };
    for (json, expected) in [
        ("true", Some(Some(SameSite::Strict))),
        ("\"Strict\"", Some(Some(SameSite::Strict))),
        ("\"LAX\"", Some(Some(SameSite::Lax))),
        ("\"none\"", Some(Some(SameSite::None))),
        ("false", Some(None)),
        ("null", Some(None)),
    ] {
        assert_eq!(same_site(json).unwrap(), expected, "{json}");
    }
    let auto = options(r#"{"cookie": {"sameSite": "Auto"}}"#).unwrap();
    assert_eq!((auto.cookie.same_site, auto.cookie.same_site_auto), (None, true));
    for bad in ["\"automatic\"", "\"\"", "1"] {
        assert!(same_site(bad).is_err(), "{bad}");
    }
    for (json, expected) in [("true", Secure::Always), ("false", Secure::Never), ("\"auto\"", Secure::Auto)] {
        let options = options(&format!(r#"{{"cookie": {{"secure": {json}}}}}"#)).unwrap();
        assert_eq!(options.cookie.secure, Some(expected), "{json}");
    }
    assert_eq!(options(r#"{"secret": "one"}"#).unwrap().secret, ["one"]);
    for bad in [
        r#"{"secret": 5}"#,
        r#"{"secret": ["a", 5]}"#,
        r#"{"secret": null}"#,
        r#"{"resave": "yes"}"#,
        r#"{"cookie": {"secure": "yes"}}"#,
        r#"{"cookie": {"maxAge": -1}}"#,
        r#"{"cookie": {"maxAge": "60000"}}"#,
        r#"{"cookie": {"priority": "urgent"}}"#,
        r#"{"cookie": null}"#,
        r#"{"hashIds": "soon"}"#,
        r#"{"hashIds": 1}"#,
    ] {
        assert!(options(bad).is_err(), "{bad}");
    }
    let file = options(r#"{"secret": "s", "cookie": {"maxAge": 0}}"#).unwrap();
    assert_eq!(SessionConfig::from_options(file).unwrap_err(), ConfigError::MaxAge);
}

#[test]
fn unknown_keys_are_errors_at_both_levels() {
    for bad in [
        r#"{"secret": "s", "saveUninitialised": false}"#,
        r#"{"secret": "s", "save_uninitialized": false}"#,
        r#"{"secret": "s", "unset": "destroy"}"#,
        r#"{"secret": "s", "maxAge": 5}"#,
        r#"{"secret": "s", "cookie": {"max_age": 5}}"#,
        r#"{"secret": "s", "cookie": {"maxage": 5}}"#,
        r#"{"secret": "s", "cookie": {"expires": null}}"#,
        r#"{"secret": "s", "cookie": {"signed": true}}"#,
    ] {
        assert!(options(bad).unwrap_err().to_string().contains("unknown field"), "{bad}");
    }
}
