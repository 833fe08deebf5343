//! Proofs that are refused, and headers that are none.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Answer, Browser, REFRESH, REGISTER, Site};
use crate::device::{Device, encode};

/// Sends a registration with this proof, by a browser that was asked.
async fn register(site: &Site, proof: impl FnOnce(&Browser, &str) -> String) -> (Answer, Browser) {
    let mut browser = Browser::new();
    browser.post(site, "/login", &[]).await;
    let proof = proof(&browser, browser.asked.as_deref().unwrap());
    let answer = browser.post(site, REGISTER, &[("secure-session-response", &proof)]).await;
    (answer, browser)
}

/// The status of a registration with this proof. A refused one leaves the session unbound and sets no cookie.
async fn registration(site: &Site, proof: impl FnOnce(&Browser, &str) -> String) -> u16 {
    let (answer, mut browser) = register(site, proof).await;
    if answer.status != StatusCode::OK {
        assert!(answer.cookies().is_empty(), "{:?}", answer.cookies());
        assert_eq!(browser.me(site).await, "pending, ada");
        assert_eq!(browser.register(site).await.status, StatusCode::OK, "a refused proof spoils nothing");
    }
    answer.status.as_u16()
}

/// The status of a refresh with this proof. A refused one sets no cookie.
async fn refresh(site: &Site, proof: impl FnOnce(&Browser, &str) -> String) -> u16 {
    let mut browser = site.bound().await;
    let proof = proof(&browser, browser.challenge.as_deref().unwrap());
    let answer = browser.refresh_with(site, Some(&proof)).await;
    assert_eq!(answer.cookies().is_empty(), answer.status != StatusCode::OK, "{:?}", answer.cookies());
    answer.status.as_u16()
}

/// The proof with a byte changed that stands in this part of it.
fn changed(proof: &str, part: usize) -> String {
    let mut parts: Vec<_> = proof.split('.').map(str::to_owned).collect();
    let letter = if parts[part].as_bytes()[10] == b'A' { "B" } else { "A" };
    parts[part].replace_range(10..11, letter);
    parts.join(".")
}

#[tokio::test]
async fn a_changed_byte_is_refused() {
    let site = Site::new();
    // The signed challenge, with one letter changed in its text.
    let other_challenge = |proof: &str, challenge: &str| {
        let parts: Vec<_> = proof.split('.').collect();
        // A challenge begins with the upper bytes of the time, which are zero.
        let challenge = format!("B{}", &challenge[1..]);
        [parts[0], &encode(json!({ "jti": challenge }).to_string().as_bytes()), parts[2]].join(".")
    };
    let proof = |browser: &Browser, challenge: &str| browser.device.registration(challenge);
    assert_eq!(registration(&site, |browser, asked| changed(&proof(browser, asked), 2)).await, 401);
    assert_eq!(
        registration(&site, |browser, asked| other_challenge(&proof(browser, asked), asked)).await,
        401
    );
    let proof = |browser: &Browser, challenge: &str| browser.device.refresh(challenge);
    assert_eq!(refresh(&site, |browser, challenge| changed(&proof(browser, challenge), 2)).await, 401);
    assert_eq!(
        refresh(&site, |browser, challenge| other_challenge(&proof(browser, challenge), challenge)).await,
        401
    );
    // Each byte of the header: no change of it is accepted.
    let mut browser = site.bound().await;
    let good = browser.device.refresh(browser.challenge.as_deref().unwrap());
    let header = good.find('.').unwrap();
    for at in 0..header {
        let letter = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut bad = good.clone();
        bad.replace_range(at..=at, letter);
        let answer = browser.refresh_with(&site, Some(&bad)).await;
        assert!(matches!(answer.status.as_u16(), 400 | 401), "{at}: {}", answer.status);
    }
    assert_eq!(browser.refresh_with(&site, Some(&good)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn another_type_is_refused() {
    let site = Site::new();
    for typ in [json!("jwt"), json!("JWT"), json!("dbsc+JWT"), json!(""), Value::Null, json!(1)] {
        let with = |mut header: Value| {
            header["typ"] = typ.clone();
            header
        };
        let claims = |jti: &str| json!({ "jti": jti });
        let registering = |browser: &Browser, asked: &str| {
            browser.device.sign(&with(browser.device.registering()), &claims(asked))
        };
        assert_eq!(registration(&site, registering).await, 400, "{typ}");
        let refreshing = |browser: &Browser, challenge: &str| {
            browser.device.sign(&with(browser.device.refreshing()), &claims(challenge))
        };
        assert_eq!(refresh(&site, refreshing).await, 400, "{typ}");
    }
}

#[tokio::test]
async fn another_algorithm_is_refused() {
    let site = Site::new();
    for (alg, status) in [("none", 400), ("HS256", 400), ("ES384", 400), ("es256", 400), ("RS256", 401)] {
        let with = |mut header: Value| {
            header["alg"] = json!(alg);
            header
        };
        let registering = |browser: &Browser, asked: &str| {
            browser.device.sign(&with(browser.device.registering()), &json!({ "jti": asked }))
        };
        assert_eq!(registration(&site, registering).await, status, "{alg}");
        let refreshing = |browser: &Browser, challenge: &str| {
            browser.device.sign(&with(browser.device.refreshing()), &json!({ "jti": challenge }))
        };
        assert_eq!(refresh(&site, refreshing).await, status, "{alg}");
    }
    // A good signature of the other algorithm, by another key.
    let rsa = Device::rsa();
    assert_eq!(refresh(&site, |_, challenge| rsa.refresh(challenge)).await, 401);
    // The key of one algorithm with the signature of the other.
    let mixed = |browser: &Browser, asked: &str| {
        let header = json!({ "alg": "RS256", "typ": "dbsc+jwt", "jwk": browser.device.jwk() });
        rsa.sign(&header, &json!({ "jti": asked }))
    };
    assert_eq!(registration(&site, mixed).await, 401);
    // No signature at all.
    let unsigned = |browser: &Browser, challenge: &str| {
        let proof = browser.device.refresh(challenge);
        format!("{}.", proof.rsplit_once('.').unwrap().0)
    };
    assert_eq!(refresh(&site, unsigned).await, 401);
}

#[tokio::test]
async fn another_key_is_refused() {
    let site = Site::new();
    assert_eq!(refresh(&site, |_, challenge| Device::new().refresh(challenge)).await, 401);
    // The key that is registered is the one that signs.
    let borrowed = |browser: &Browser, asked: &str| {
        Device::new().sign(&browser.device.registering(), &json!({ "jti": asked }))
    };
    assert_eq!(registration(&site, borrowed).await, 401);
    // A refresh brings no key, least of all a good signature of a new one, or its own.
    assert_eq!(refresh(&site, |_, challenge| Device::new().registration(challenge)).await, 401);
    assert_eq!(refresh(&site, |browser, challenge| browser.device.registration(challenge)).await, 401);
    // A registration does.
    assert_eq!(registration(&site, |browser, asked| browser.device.refresh(asked)).await, 401);
}

#[tokio::test]
async fn keys_that_are_none_are_refused() {
    let site = Site::new();
    let good = Device::new().jwk();
    let with = |key: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[key] = value;
        jwk
    };
    let long = encode(&[1; 33]);
    let keys = [
        (with("kty", json!("OKP")), 400),
        (with("kty", Value::Null), 400),
        (with("crv", json!("P-384")), 401),
        (with("crv", json!("secp256k1")), 401),
        (with("x", json!("")), 401),
        (with("x", json!("not base64!")), 401),
        (with("x", json!(long)), 401),
        // A point that is not on the curve, and the one at infinity.
        (with("y", json!(encode(&[7; 32]))), 401),
        (json!({ "kty": "EC", "crv": "P-256", "x": encode(&[0; 32]), "y": encode(&[0; 32]) }), 401),
        (json!({ "kty": "RSA", "n": encode(&[255; 128]), "e": "AQAB" }), 401),
        (json!({ "kty": "RSA", "n": encode(&[255; 520]), "e": "AQAB" }), 401),
        (json!({ "kty": "RSA", "n": encode(&[255; 256]), "e": encode(&[1; 9]) }), 401),
        (json!({ "kty": "oct", "k": "AQAB" }), 400),
        (json!("key"), 400),
    ];
    for (jwk, status) in keys {
        let alg = if jwk["kty"] == "RSA" { "RS256" } else { "ES256" };
        let proof = |browser: &Browser, asked: &str| {
            let header = json!({ "alg": alg, "typ": "dbsc+jwt", "jwk": jwk });
            browser.device.sign(&header, &json!({ "jti": asked }))
        };
        assert_eq!(registration(&site, proof).await, status, "{jwk}");
    }
    // The key that signs, but as one of another curve.
    for curve in ["P-384", "secp256k1", ""] {
        let proof = |browser: &Browser, asked: &str| {
            let mut header = browser.device.registering();
            header["jwk"]["crv"] = json!(curve);
            browser.device.sign(&header, &json!({ "jti": asked }))
        };
        assert_eq!(registration(&site, proof).await, 401, "{curve}");
    }
}

#[tokio::test]
async fn an_audience_is_verified_when_there_is_one() {
    let site = Site::new();
    let audiences = |path: &str| {
        [
            (json!(format!("https://example.com{path}")), true),
            (json!(format!("https://EXAMPLE.com{path}")), true),
            (json!(format!("https://evil.example{path}")), false),
            (json!(format!("https://example.com:444{path}")), false),
            (json!(format!("https://evil.example/{path}")), false),
            (json!(format!("https://example.com{path}/")), false),
            (json!(format!("https://example.com/x{path}")), false),
            (json!(path), false),
            (json!("https://example.com/"), false),
            (json!([]), false),
            (Value::Null, false),
        ]
    };
    let other = [(json!(format!("https://example.com{REFRESH}")), false)];
    for (audience, is_good) in audiences(REGISTER).into_iter().chain(other) {
        for header in [("origin", "https://example.com"), ("host", "example.com")] {
            let mut browser = Browser::new();
            browser.post(&site, "/login", &[]).await;
            let claims = json!({ "jti": browser.asked, "aud": audience });
            let proof = browser.device.sign(&browser.device.registering(), &claims);
            let headers = [("secure-session-response", &*proof), header];
            let status = browser.post(&site, REGISTER, &headers).await.status;
            assert_eq!(status.as_u16(), if is_good { 200 } else { 401 }, "{audience} {header:?}");
        }
    }
    let other = [(json!(format!("https://example.com{REGISTER}")), false)];
    for (audience, is_good) in audiences(REFRESH).into_iter().chain(other) {
        let mut browser = site.bound().await;
        let claims = json!({ "jti": browser.challenge, "aud": audience });
        let proof = browser.device.sign(&browser.device.refreshing(), &claims);
        let id = browser.binding.clone().unwrap();
        let origin = ("origin", "https://example.com");
        let headers = [("secure-session-response", &*proof), ("sec-secure-session-id", &id), origin];
        let status = browser.post(&site, REFRESH, &headers).await.status;
        assert_eq!(status.as_u16(), if is_good { 200 } else { 401 }, "{audience}");
    }
}

#[tokio::test]
async fn unknown_claims_are_ignored_and_critical_ones_refused() {
    let site = Site::new();
    let claims = |jti: &str| json!({ "authorization": "x", "iat": 1, "sub": { "a": [1] }, "jti": jti });
    assert_eq!(
        registration(&site, |browser, asked| {
            let mut header = browser.device.registering();
            header["kid"] = json!("1");
            header["jwk"]["use"] = json!("sig");
            browser.device.sign(&header, &claims(asked))
        })
        .await,
        200
    );
    assert_eq!(
        refresh(&site, |browser, challenge| browser
            .device
            .sign(&browser.device.refreshing(), &claims(challenge)))
        .await,
        200
    );
    let critical = |browser: &Browser, challenge: &str| {
        let mut header = browser.device.refreshing();
        header["crit"] = json!(["exp"]);
        browser.device.sign(&header, &claims(challenge))
    };
    assert_eq!(refresh(&site, critical).await, 400);
}

/// A challenge is one session's, and for one purpose.
#[tokio::test]
async fn challenges_are_not_exchanged() {
    let site = Site::new();
    let other = site.bound().await;
    let mut asked = Browser::new();
    asked.post(&site, "/login", &[]).await;
    let (other, other_asked) = (other.challenge.unwrap(), asked.asked.unwrap());
    assert_eq!(registration(&site, |browser, _| browser.device.registration(&other_asked)).await, 401);
    assert_eq!(registration(&site, |browser, _| browser.device.registration(&other)).await, 401);
    for jti in ["", "x", &"A".repeat(54), &"A".repeat(2000)] {
        assert_eq!(registration(&site, |browser, _| browser.device.registration(jti)).await, 401, "{jti}");
        assert_eq!(refresh(&site, |browser, _| browser.device.refresh(jti)).await, 403, "{jti}");
    }
    assert_eq!(refresh(&site, |browser, _| browser.device.refresh(&other)).await, 403);
    // Its own, but for the registration; and the value of its own bound cookie.
    let of_registration =
        |browser: &Browser, _: &str| browser.device.refresh(browser.asked.as_deref().unwrap());
    assert_eq!(refresh(&site, of_registration).await, 403);
    let of_cookie = |browser: &Browser, _: &str| browser.device.refresh(&browser.cookies["__Host-sid.dbsc"]);
    assert_eq!(refresh(&site, of_cookie).await, 403);
    // The other way round, a challenge is no cookie.
    let mut browser = site.bound().await;
    site.clock.advance(crate::browser::SETTLED);
    let challenge = browser.challenge.clone().unwrap();
    browser.cookies.insert("__Host-sid.dbsc".into(), challenge);
    assert_eq!(browser.me(&site).await, "missing , ada");
}

#[tokio::test]
async fn a_registration_is_good_for_five_minutes() {
    for (after, status) in [(Duration::from_secs(300), 200), (Duration::from_millis(300_001), 401)] {
        let site = Site::new();
        let mut browser = Browser::new();
        browser.post(&site, "/login", &[]).await;
        site.clock.advance(after);
        assert_eq!(browser.register(&site).await.status.as_u16(), status);
        // A login later, it asks again.
        browser.post(&site, "/login", &[]).await;
        assert_eq!(browser.register(&site).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_first_registration_wins() {
    let site = Site::new();
    let mut browser = site.bound().await;
    // A thief has the cookies and what the server has asked.
    let mut thief = browser.stolen();
    let answer = thief.register(&site).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::UNAUTHORIZED, 0));
    // So does the browser itself, which could not tell the two apart either.
    let (binding, asked) = (browser.binding.clone(), browser.asked.clone());
    assert_eq!(browser.register(&site).await.status, StatusCode::UNAUTHORIZED);
    (browser.binding, browser.asked) = (binding, asked);
    assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
    // What nobody has asked for.
    let session = site.sessions.create_session(async |session| session.log_in("ada")).await.unwrap();
    let (name, value) = session
        .cookie()
        .to_str()
        .unwrap()
        .split_once('=')
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .unwrap();
    thief.cookies = [(name, value)].into();
    assert_eq!(thief.register(&site).await.status, StatusCode::UNAUTHORIZED);
    // And without a session.
    thief.cookies.clear();
    assert_eq!(thief.register(&site).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_thief_cannot_refresh() {
    let site = Site::new();
    let browser = site.bound().await;
    let mut thief = browser.stolen();
    assert_eq!(thief.refresh(&site).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(thief.refresh_with(&site, None).await.status, StatusCode::FORBIDDEN);
    assert_eq!(thief.refresh(&site).await.status, StatusCode::UNAUTHORIZED, "a challenge of the thief's own");
    // The binding of another session, with that session's device.
    let other = site.bound().await;
    thief.binding = other.binding.clone();
    let proof = other.device.refresh(other.challenge.as_deref().unwrap());
    let answer = thief.refresh_with(&site, Some(&proof)).await;
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::OK, 0));
    assert_eq!(answer.json()["continue"], false);
}

#[tokio::test]
async fn a_proof_is_worth_nothing_after_the_logout() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let mut old = browser.stolen();
    let proof = browser.device.refresh(browser.challenge.as_deref().unwrap());
    browser.post(&site, "/change/out", &[]).await;
    browser.post(&site, "/login", &[]).await;
    browser.register(&site).await;
    for browser in [&mut old, &mut browser] {
        browser.binding.clone_from(&site.bound().await.binding);
        assert!(browser.refresh_with(&site, Some(&proof)).await.cookies().is_empty());
    }
}

#[tokio::test]
async fn headers_that_are_none_are_refused() {
    let site = Site::new();
    let mut browser = site.bound().await;
    let id = browser.binding.clone().unwrap();
    let good = browser.device.refresh(browser.challenge.as_deref().unwrap());
    let device = Device::new();
    let proofs = [
        String::new(),
        " ".into(),
        ".".into(),
        "..".into(),
        "...".into(),
        "a.b.c".into(),
        "\"".into(),
        format!("\"{good}"),
        format!("{good}\""),
        format!("{good}=="),
        format!("{good}.{good}"),
        format!("{good}, {good}"),
        "A".repeat(4097),
        format!("{good}{}", "A".repeat(8192)),
        device.sign_text("", ""),
        device.sign_text("{}", "{}"),
        device.sign_text("[]", "[]"),
        device.sign_text("{\"alg\":\"ES256\",\"alg\":\"ES256\",\"typ\":\"dbsc+jwt\"}", "{\"jti\":\"\"}"),
        device.sign_text("{\"alg\":\"ES256\",\"typ\":\"dbsc+jwt\"}", "{\"jti\":1}"),
        device.sign_text(&"[".repeat(2000), &"[".repeat(900)),
    ];
    for proof in &proofs {
        let headers = [("sec-secure-session-id", &*id), ("secure-session-response", proof)];
        let answer = browser.post(&site, REFRESH, &headers).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{proof}");
        let (answer, _) = register(&site, |_, _| proof.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{proof}");
    }
    let (answer, _) =
        register(&site, |browser, asked| format!("\"{}\"", browser.device.registration(asked))).await;
    assert_eq!(answer.status, StatusCode::OK, "with the quotes of the standard");
    for bad in ["", "\"", "\"\"", "\"x", "a b", "ü", "{\"a\":1}", &"x".repeat(129)] {
        let headers = [("sec-secure-session-id", bad), ("secure-session-response", &good)];
        assert_eq!(browser.post(&site, REFRESH, &headers).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let twice = [("sec-secure-session-id", &*id), ("sec-secure-session-id", &*id)];
    assert_eq!(browser.post(&site, REFRESH, &twice).await.status, StatusCode::BAD_REQUEST);
    let none: [(&str, &str); 1] = [("secure-session-response", &good)];
    assert_eq!(browser.post(&site, REFRESH, &none).await.status, StatusCode::BAD_REQUEST);
    let proof = ("secure-session-response", &*good);
    let twice = [("sec-secure-session-id", &*id), proof, proof];
    assert_eq!(browser.post(&site, REFRESH, &twice).await.status, StatusCode::BAD_REQUEST);
    // The same, in the form of the standard and in that of Chromium.
    for id in [format!("\"{id}\""), id.clone()] {
        for good in [format!("\"{good}\""), good.clone()] {
            let headers = [("sec-secure-session-id", &*id), ("secure-session-response", &good)];
            assert_eq!(browser.post(&site, REFRESH, &headers).await.status, StatusCode::OK);
        }
    }
    let answer = browser.send(&site, "GET", REFRESH, &[]).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}
