//! What the guard does to a response: one cookie of the name, `Vary`, `Cache-Control`.

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, TestResponse, builder, router};
use axum::http::header::{CACHE_CONTROL, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse, Response};
use sessile::{SameSite, Secure, Session, SessionConfig, SessionError};

/// The guard over a response that has these headers already.
async fn over(session: &Session, headers: &[(&'static str, &'static str)]) -> TestResponse {
    let guard = session.commit().await.unwrap();
    let headers = AppendHeaders(headers.to_vec());
    TestResponse::of((headers, guard, "body").into_response()).await
}

/// A session whose commit sets a cookie.
async fn changed() -> Session {
    let session = TestClient::new().open(&builder().build().unwrap()).await;
    session.insert("n", 1).unwrap();
    session
}

/// A session whose commit sets none.
async fn untouched() -> Session {
    TestClient::new().open(&builder().save_uninitialized(false).build().unwrap()).await
}

/// Name, path and domain tell a browser's cookies apart.
#[tokio::test]
async fn the_same_cookie_is_replaced_and_others_stay_in_order() {
    let session = changed().await;
    let answer = over(
        &session,
        &[
            ("set-cookie", "a=1; Path=/"),
            ("set-cookie", "connect.sid=stale; Path=/"),
            ("set-cookie", "connect.sid2=x; Path=/"),
            ("set-cookie", "connect.sid=of another path; Path=/admin"),
            ("set-cookie", "connect.sid=of the request's own path"),
            ("set-cookie", "connect.sid=of a domain; Path=/; Domain=example.com"),
            ("set-cookie", " connect.sid =spaced; HttpOnly; path= / ; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ("set-cookie", "Connect.sid=other case; Path=/"),
            ("set-cookie", "b=2"),
        ],
    )
    .await;
    let lines = answer.lines("set-cookie");
    let kept = [
        "a=1; Path=/",
        "connect.sid2=x; Path=/",
        "connect.sid=of another path; Path=/admin",
        "connect.sid=of the request's own path",
        "connect.sid=of a domain; Path=/; Domain=example.com",
        "Connect.sid=other case; Path=/",
        "b=2",
    ];
    assert_eq!(lines[..7], kept);
    assert!(lines[7].starts_with("connect.sid=s%3A"), "{lines:?}");
    assert_eq!(lines.len(), 8);
}

/// Browsers ignore a leading dot and the case of a domain.
#[tokio::test]
async fn a_domain_is_compared_as_browsers_do() {
    let config = builder().path("/shop").domain("Example.com").build().unwrap();
    let session = TestClient::new().open(&config).await;
    session.insert("n", 1).unwrap();
    let answer = over(
        &session,
        &[
            ("set-cookie", "connect.sid=stale; Path=/shop; Domain=.example.COM"),
            ("set-cookie", "connect.sid=of the host; Path=/shop"),
            ("set-cookie", "connect.sid=of a subdomain; Path=/shop; Domain=www.example.com"),
        ],
    )
    .await;
    let lines = answer.lines("set-cookie");
    assert_eq!(
        lines[..2],
        [
            "connect.sid=of the host; Path=/shop",
            "connect.sid=of a subdomain; Path=/shop; Domain=www.example.com"
        ]
    );
    assert_eq!(lines.len(), 3, "{lines:?}");
}

#[tokio::test]
async fn two_guards_set_one_cookie() {
    let session = changed().await;
    let first = session.commit().await.unwrap();
    session.regenerate();
    let second = session.commit().await.unwrap();
    let answer = TestResponse::of((first, second, ()).into_response()).await;
    let config = builder().build().unwrap();
    assert_eq!(config.verify(&answer.cookie().unwrap().value), Some(session.id()));
}

#[tokio::test]
async fn a_guard_is_a_response() {
    let session = changed().await;
    let answer = TestResponse::of(session.commit().await.unwrap().into_response()).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""));
    assert!(answer.cookie().is_some());
}

#[tokio::test]
async fn without_a_cookie_there_is_vary_alone() {
    let session = untouched().await;
    let answer =
        over(&session, &[("set-cookie", "connect.sid=kept"), ("cache-control", "public, max-age=60")]).await;
    assert_eq!(answer.lines("set-cookie"), ["connect.sid=kept"]);
    assert_eq!(answer.lines("cache-control"), ["public, max-age=60"]);
    assert_eq!(answer.lines("vary"), ["Cookie"]);
    let answer = over(&session, &[]).await;
    assert_eq!(answer.lines("cache-control"), [""; 0]);
}

#[tokio::test]
async fn vary_is_merged() {
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &["Cookie"]),
        (&["*"], &["*"]),
        (&["Accept, *"], &["Accept, *"]),
        (&["Accept-Encoding"], &["Accept-Encoding, Cookie"]),
        (&["Accept-Encoding, Origin"], &["Accept-Encoding, Origin, Cookie"]),
        (&["Accept", "Origin"], &["Accept, Origin, Cookie"]),
        (&["Cookie"], &["Cookie"]),
        (&["cookie"], &["cookie"]),
        (&["Origin", "Accept,COOKIE ,X"], &["Origin", "Accept,COOKIE ,X"]),
        (&["X-Cookie, Cookie2"], &["X-Cookie, Cookie2, Cookie"]),
    ];
    for session in [changed().await, untouched().await] {
        for (before, after) in cases {
            let headers: Vec<_> = before.iter().map(|value| ("vary", *value)).collect();
            assert_eq!(over(&session, &headers).await.lines("vary"), after, "{before:?}");
        }
    }
}

#[tokio::test]
async fn with_a_cookie_no_shared_cache_keeps_the_response() {
    let cases: [(&[&str], &str); 17] = [
        (&[], "private, no-cache"),
        (&[""], "private, no-cache"),
        (&["public, max-age=60"], "private, max-age=60"),
        (&["PUBLIC,Max-Age=60"], "private, Max-Age=60"),
        (&["public"], "private"),
        (&["s-maxage=600"], "private"),
        (&["s-maxage=600, max-age=60"], "private, max-age=60"),
        (&["S-MaxAge = 600 , immutable"], "private, immutable"),
        (&["private"], "private"),
        (&["Private, max-age=5"], "Private, max-age=5"),
        (&["max-age=5, private"], "max-age=5, private"),
        (&["no-store"], "private, no-store"),
        (&["no-cache, no-store, must-revalidate"], "private, no-cache, no-store, must-revalidate"),
        // Only the named field is kept from shared caches.
        (&["private=\"x-field\", max-age=5"], "private, private=\"x-field\", max-age=5"),
        (&["no-cache=\"a, public, b\", public"], "private, no-cache=\"a, public, b\""),
        (
            &["public", "max-age=60", "s-maxage=9, stale-while-revalidate=5"],
            "private, max-age=60, stale-while-revalidate=5",
        ),
        (&["max-age=60", "private"], "max-age=60, private"),
    ];
    let session = changed().await;
    for (before, after) in cases {
        let headers: Vec<_> = before.iter().map(|value| ("cache-control", *value)).collect();
        assert_eq!(over(&session, &headers).await.lines("cache-control"), [after], "{before:?}");
    }
}

#[tokio::test]
async fn after_destroy_nothing_is_stored_by_any_cache() {
    let config = builder().build().unwrap();
    let mut client = TestClient::new();
    let first = client.open(&config).await;
    client.commit(&first).await;
    let session = client.open(&config).await;
    session.destroy();
    for before in [None, Some("public, max-age=60"), Some("private")] {
        let headers: Vec<_> = before.into_iter().map(|value| ("cache-control", value)).collect();
        let answer = over(&session, &headers).await;
        assert_eq!(answer.lines("cache-control"), ["no-store"]);
        assert_eq!(answer.lines("vary"), ["Cookie"]);
        assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
    }
}

/// `Clear-Site-Data` is sent on request alone, once, and without what would remove a cookie that is set in the
/// same response.
#[tokio::test]
async fn at_logout_the_browser_is_asked_to_forget() {
    let all = r#""cache", "cookies", "storage""#;
    let config = builder().build().unwrap();
    let mut client = TestClient::new();
    let first = client.open(&config).await;
    client.commit(&first).await;
    let session = client.open(&config).await;
    session.destroy();
    assert!(over(&session, &[]).await.lines("clear-site-data").is_empty());
    let guard = session.commit().await.unwrap().clear_site_data();
    let answer = TestResponse::of((guard.clone(), guard).into_response()).await;
    assert_eq!(answer.lines("clear-site-data"), [all]);
    assert_eq!(answer.cookie().unwrap().attribute("Max-Age"), Some("0"));
    assert_eq!(answer.lines("cache-control"), ["no-store"]);

    // What the handler asks for itself stays: several lines are one list.
    let headers = AppendHeaders([("clear-site-data", r#""clientHints""#)]);
    let guard = session.commit().await.unwrap().clear_site_data();
    let answer = TestResponse::of((headers, guard).into_response()).await;
    let mut lines = answer.lines("clear-site-data");
    lines.sort_unstable();
    assert_eq!(lines, [all, r#""clientHints""#]);

    let session = client.open(&config).await;
    session.destroy();
    session.flash("info", "You are logged out.").unwrap();
    let guard = session.commit().await.unwrap().clear_site_data();
    let answer = TestResponse::of(guard.into_response()).await;
    assert_eq!(answer.lines("clear-site-data"), [r#""cache", "storage""#]);
    assert!(answer.cookie().unwrap().line.starts_with("connect.sid=s%3A"));

    let guard = untouched().await.commit().await.unwrap().clear_site_data();
    assert_eq!(TestResponse::of(guard.into_response()).await.lines("clear-site-data"), [all]);
}

/// What a response tells a content delivery network goes before `Cache-Control` there.
#[tokio::test]
async fn with_a_cookie_no_content_delivery_network_keeps_the_response() {
    let cases = [
        ("cdn-cache-control", "public, max-age=600", "no-store"),
        ("cdn-cache-control", "private", "no-store"),
        ("cloudflare-cdn-cache-control", "max-age=600", "no-store"),
        ("x-any-cdn-cache-control", "s-maxage=600", "no-store"),
        ("surrogate-control", "max-age=600", "no-store"),
        (
            "surrogate-control",
            "max-age=600, content=\"ESI/1.0, x\";abc",
            "no-store, content=\"ESI/1.0, x\";abc",
        ),
        ("surrogate-control", "Content=\"ESI/1.0\"", "no-store, Content=\"ESI/1.0\""),
    ];
    for session in [changed().await, untouched().await] {
        let (set, before) = (session.is_modified(), session);
        for (name, given, rewritten) in cases {
            let answer = over(&before, &[(name, given), ("x-cdn", "kept")]).await;
            assert_eq!(answer.lines(name), [if set { rewritten } else { given }], "{name}: {given}");
            assert_eq!(answer.lines("x-cdn"), ["kept"]);
        }
        let several =
            over(&before, &[("cdn-cache-control", "public"), ("cdn-cache-control", "max-age=9")]).await;
        assert_eq!(several.lines("cdn-cache-control").len(), if set { 1 } else { 2 });
        // None is added where there was none.
        assert!(over(&before, &[]).await.lines("cdn-cache-control").is_empty());
    }
    let mut client = TestClient::new();
    let config = builder().build().unwrap();
    let first = client.open(&config).await;
    client.commit(&first).await;
    let ended = client.open(&config).await;
    ended.destroy();
    let answer = over(&ended, &[("cdn-cache-control", "public, max-age=600")]).await;
    assert_eq!(answer.lines("cdn-cache-control"), ["no-store"]);
}

/// What the documentation of the guard says of arrays of headers.
#[tokio::test]
async fn a_cookie_in_an_array_of_headers_stands_before_the_guard() {
    let theme = "theme=dark";
    let session = changed().await;
    let guard = session.commit().await.unwrap();
    let lost = TestResponse::of((guard.clone(), [(SET_COOKIE, theme)], "").into_response()).await;
    assert_eq!(lost.lines("set-cookie"), [theme]);
    for both in [
        ([(SET_COOKIE, theme)], guard.clone(), "").into_response(),
        (AppendHeaders([(SET_COOKIE, theme)]), guard.clone(), "").into_response(),
        (guard.clone(), AppendHeaders([(SET_COOKIE, theme)]), "").into_response(),
    ] {
        assert_eq!(TestResponse::of(both).await.cookies().len(), 2);
    }
}

/// A browser removes a cookie only where name, domain, path and partition are those it was set with, and
/// accepts the line only where it would accept the cookie itself.
#[tokio::test]
async fn the_removal_cookie_repeats_what_the_cookie_was_set_with() {
    let configs: Vec<(&str, SessionConfig)> = vec![
        ("defaults", builder().build()),
        ("browser session", builder().browser_session().build()),
        ("domain and path", builder().domain("example.com").path("/app").build()),
        ("secure", builder().secure(true).build()),
        ("auto", builder().secure(Secure::Auto).trust_proxy(true).build()),
        ("none", builder().secure(true).same_site(SameSite::None).build()),
        ("strict", builder().same_site(SameSite::Strict).http_only(false).build()),
        ("no same-site", builder().no_same_site().build()),
        ("partitioned", builder().secure(true).same_site(SameSite::None).partitioned(true).build()),
        ("hardened", SessionConfig::hardened(crate::common::SECRET).build()),
        ("__Host-", builder().name("__Host-x").secure(true).partitioned(true).build()),
        ("__Secure-", builder().name("__Secure-x").secure(true).domain("example.com").path("/x").build()),
        ("priority", builder().priority(sessile::Priority::High).build()),
    ]
    .into_iter()
    .map(|(case, config)| (case, config.unwrap()))
    .collect();
    for (case, config) in configs {
        for proto in ["https", "http"] {
            if proto == "http" && case != "auto" {
                continue;
            }
            let mut client = TestClient::new().header("x-forwarded-proto", proto);
            let session = client.open(&config).await;
            session.insert("n", 1).unwrap();
            let set = client.commit(&session).await.cookie().expect(case);
            let session = client.open(&config).await;
            session.destroy();
            let removed = client.commit(&session).await.cookie().expect(case);
            assert_eq!(removed.name, set.name, "{case}");
            assert_eq!(removed.value, "", "{case}");
            assert_eq!(removed.attribute("Max-Age"), Some("0"), "{case}");
            assert_eq!(removed.attribute("Expires"), Some("Thu, 01 Jan 1970 00:00:00 GMT"), "{case}");
            for name in ["Path", "Domain", "Secure", "HttpOnly", "SameSite", "Partitioned"] {
                assert_eq!(removed.attribute(name), set.attribute(name), "{case}: {name}");
            }
        }
    }
}

/// The browser keeps sending a cookie that names nothing until it is told to stop.
#[tokio::test]
async fn destroy_expires_a_cookie_that_names_no_session() {
    let config = builder().build().unwrap();
    let client = TestClient::holding(&config, &crate::common::id("no such session"));
    for mut client in [client, TestClient::new()] {
        let carried = client.value("connect.sid").is_some();
        let session = client.open(&config).await;
        session.destroy();
        let answer = client.commit(&session).await;
        assert_eq!(answer.cookie().is_some(), carried);
    }
}

#[tokio::test]
async fn no_cookie_leaves_when_the_commit_fails() {
    async fn change(uri: Uri, session: Session) -> Result<impl IntoResponse, SessionError> {
        match uri.path() {
            "/change" => drop(session.update("n", |n: Option<u8>| Some(n.unwrap_or(0) + 1))?),
            "/leave" => session.destroy(),
            "/login" => session.cycle_id(),
            "/logout" => session.regenerate(),
            _ => {}
        }
        Ok((session.commit().await?, "stored"))
    }
    let store = RecordingStore::default();
    let config = builder().store(store.clone()).rolling(true).build().unwrap();
    let app = router(&config, change);
    let mut client = TestClient::new();
    let steps = [
        ("create", "/change"),
        ("replace", "/change"),
        ("touch", "/"),
        ("create", "/login"),
        ("destroy_if", "/login"),
        ("destroy", "/logout"),
        ("destroy", "/leave"),
    ];
    for (method, path) in steps {
        store.fail(&[method]);
        let answer = client.get(&app, path).await;
        let opaque = (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable");
        assert_eq!((answer.status, &*answer.body), opaque, "{method} {path}");
        assert!(answer.cookie().is_none(), "{method} {path}");
        store.fail(&[]);
        assert!(client.get(&app, path).await.cookie().is_some(), "{method} {path} works again");
    }
}

#[tokio::test]
async fn the_guard_keeps_every_other_header() {
    async fn handler(session: Session) -> Result<Response, SessionError> {
        let mut headers = HeaderMap::new();
        headers.insert("x-custom", HeaderValue::from_static("kept"));
        Ok((StatusCode::CREATED, headers, session.commit().await?, "body").into_response())
    }
    let answer = TestClient::new().get(&router(&builder().build().unwrap(), handler), "/").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::CREATED, "body"));
    assert_eq!(answer.lines("x-custom"), ["kept"]);
    let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.retain(|name| {
        ![SET_COOKIE, VARY, CACHE_CONTROL].map(|name| name.to_string()).contains(&name.to_string())
    });
    assert_eq!(names, ["content-length", "content-type", "x-custom"]);
}
