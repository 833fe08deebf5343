//! The cookie and the id.

use std::collections::HashSet;

use super::*;
use sessile::{Origin, SessionStore as _};

/// Browsers drop a cookie whose name and value are over 4,096 bytes, and an attribute over 1,024.
#[tokio::test]
async fn no_configuration_makes_a_cookie_that_is_too_long_for_a_browser() {
    let longest = "é".repeat(128);
    let domain = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".");
    let (config, _) = counted(|builder| {
        let id = longest.clone();
        builder
            .name("n".repeat(256))
            .path(format!("/{}", "p".repeat(1023)))
            .domain(domain)
            .genid(move || SessionId::new(&*id).unwrap())
    });
    let session = Visitor::new(&config).open().await.unwrap();
    session.insert("user", "ada").unwrap();
    let response = session.commit().await.unwrap().into_response();
    let line = response.headers()[SET_COOKIE].to_str().unwrap();
    let mut parts = line.split("; ");
    assert!(parts.next().unwrap().len() <= 4096, "{line}");
    assert!(
        parts.all(|attribute| attribute.split_once('=').is_none_or(|(_, value)| value.len() <= 1024)),
        "{line}"
    );
    for too_long in [builder().name("n".repeat(257)), builder().path(format!("/{}", "p".repeat(1024)))] {
        assert!(too_long.build().is_err());
    }
    assert!(SessionId::new("é".repeat(129)).is_err());
}

#[tokio::test]
async fn all_calls_of_a_session_together_set_one_cookie() {
    let (config, _) = counted(|builder| builder.rolling(true).resave(true));
    let visitor = ada(&config).await;
    let app = router(&config, async |session: Session, again: Session| {
        session.cycle_id();
        let first = session.commit().await.unwrap();
        session.regenerate();
        session.regenerate();
        session.flash("info", "x").unwrap();
        session.touch();
        session.save().await.unwrap();
        session.set_max_age(None);
        (first, again.commit().await.unwrap(), session.commit().await.unwrap())
    });
    let mut request = Request::get("/").body(Body::empty()).unwrap();
    *request.headers_mut() = visitor.headers();
    let response = ask(&app, request).await;
    assert_eq!((response.status(), cookies(&response)), (StatusCode::OK, 1));
}

/// The tricks by which a sibling host plants a cookie that a careless parser takes for a `__Host-` one.
#[tokio::test]
async fn no_trick_of_spelling_makes_another_cookie_ours() {
    let (config, store) = counted(|builder| builder.name("__Host-sid").secure(true));
    let visitor = ada(&config).await;
    let value = config.sign(&visitor.id().unwrap());
    let calls = store.total();
    for line in [
        format!("\u{2000}__Host-sid={value}"),
        format!("__HOST-sid={value}"),
        format!("__host-sid={value}"),
        format!("$Version=1; $__Host-sid={value}"),
        format!("a=\"; __Host-sid ; b={value}\""),
        format!("__Host-sid[]={value}"),
        format!("__Host-sid%3D={value}"),
        format!("__Host%2Dsid={value}"),
        format!("=__Host-sid={value}"),
    ] {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(COOKIE, line.as_bytes().try_into().unwrap());
        let session = config.session_from_headers(&headers).await.unwrap();
        assert_ne!(session.origin(), Origin::Loaded, "{line}");
    }
    assert_eq!(store.total(), calls);
}

#[tokio::test]
async fn an_id_is_taken_from_the_cookie_alone() {
    let (config, store) = counted(|builder| builder);
    let visitor = ada(&config).await;
    let value = config.sign(&visitor.id().unwrap());
    let app =
        router(&config, async |session: Session| session.get::<String>("user").unwrap().unwrap_or_default());
    let calls = store.total();
    let body = || Body::from(format!("connect.sid={value}&sid={value}"));
    for request in [
        Request::get(format!("/?connect.sid={value}")).body(Body::empty()),
        Request::get(format!("/;connect.sid={value}")).body(Body::empty()),
        Request::get("/").header("authorization", format!("Bearer {value}")).body(Body::empty()),
        Request::get("/").header("connect.sid", &value).header("x-session-id", &value).body(Body::empty()),
        Request::get("/").header("cookie2", format!("connect.sid={value}")).body(Body::empty()),
        Request::post("/").header("content-type", "application/x-www-form-urlencoded").body(body()),
    ] {
        let response = ask(&app, request.unwrap()).await;
        assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.unwrap(), "");
    }
    assert_eq!(store.total(), calls);
}

/// Ids of 32 hexadecimal digits of which two are fixed: each other digit is as likely as the next.
#[tokio::test]
async fn ids_are_unique_and_every_digit_is_as_likely() {
    const IDS: usize = 50_000;
    let (config, _) = counted(|builder| builder);
    let mut seen = HashSet::new();
    let mut counts = [[0_u32; 16]; 32];
    for _ in 0..IDS {
        let id = Visitor::new(&config).open().await.unwrap().id();
        let digits = id.as_str().bytes().filter(|&byte| byte != b'-');
        for (place, digit) in digits.enumerate() {
            counts[place][char::from(digit).to_digit(16).unwrap() as usize] += 1;
        }
        assert!(seen.insert(id));
    }
    for (place, counts) in counts.iter().enumerate() {
        let kinds = counts.iter().filter(|&&count| count > 0).count();
        // The version, and the variant with its two random bits.
        let expected = if place == 12 {
            1
        } else if place == 16 {
            4
        } else {
            16
        };
        assert_eq!(kinds, expected, "digit {place}");
        let mean = IDS as f64 / expected as f64;
        let off = |&&count: &&u32| (f64::from(count) - mean).powi(2) / mean;
        let chi_squared: f64 = counts.iter().filter(|&&count| count > 0).map(|count| off(&count)).sum();
        // With 15 degrees of freedom, one in ten million is over 60.
        assert!(chi_squared < 60.0, "digit {place}: {chi_squared}");
    }
}

#[tokio::test]
async fn what_a_store_holds_is_no_cookie() {
    let (config, store) = counted(|builder| builder);
    let id = ada(&config).await.id().unwrap();
    let record = store.inner().get(&id).await.unwrap().unwrap().record;
    let calls = store.total();
    let id = id.as_str();
    for stolen in
        [id.to_owned(), format!("s:{id}"), format!("s%3A{id}"), format!("s%3A{id}."), record.as_json().into()]
    {
        let stolen = stolen.replace([';', ','], "");
        let mut headers = axum::http::HeaderMap::new();
        headers.insert(COOKIE, format!("connect.sid={stolen}").try_into().unwrap());
        let session = config.session_from_headers(&headers).await.unwrap();
        assert_eq!(session.origin(), Origin::BadSignature, "{stolen}");
    }
    assert_eq!(store.total(), calls);
}

#[tokio::test]
async fn configurations_with_secrets_of_their_own_share_nothing() {
    let store = Probe::new(MemoryStore::new());
    let shop = builder().store(store.clone()).build().unwrap();
    let admin =
        SessionConfig::builder("another secret of at least 32 bytes").store(store.clone()).build().unwrap();
    let id = ada(&shop).await.id().unwrap();
    let mut headers = axum::http::HeaderMap::new();
    headers.insert(COOKIE, format!("connect.sid={}", shop.sign(&id)).try_into().unwrap());
    let calls = store.total();
    let session = admin.session_from_headers(&headers).await.unwrap();
    assert_eq!((session.origin(), session.get::<String>("user").unwrap()), (Origin::BadSignature, None));
    assert_eq!(store.total(), calls);
}

/// The time of a comparison cannot be measured here; so this looks at how it is made.
#[test]
fn signatures_are_compared_in_constant_time() {
    let source = include_str!("../../src/cookie/signature.rs");
    let verify = source.split("fn verify(").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
    assert!(verify.contains("constant_time_eq"), "{verify}");
    let compared = verify.lines().filter(|line| line.contains("=="));
    assert!(compared.clone().all(|line| !line.contains("given") && !line.contains("expected")), "{verify}");
    // So is what was verified lately.
    let source = include_str!("../../src/cookie/recent.rs");
    let known = source.split("fn known(").nth(1).and_then(|rest| rest.split("\n    }\n").next()).unwrap();
    assert!(known.contains("constant_time_eq(&known.value, value)") && !known.contains("=="), "{known}");
}
