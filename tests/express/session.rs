//! `req.session` and its methods (S100 to S114).

use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use sessile::testing::TestClock;
use sessile::{MemoryStore, Session, SessionConfig, SessionError, SessionStore as _};

use crate::common::{TestClient, id};
use crate::site::{Site, count, hello, layered, look, options};

/// A counter persists, and the store gives the session back under its id.
#[tokio::test]
async fn s100_a_counter_persists_and_can_be_loaded() {
    let site = Site::new(options(), count);
    let mut client = TestClient::new();
    let first = site.get(&mut client, "/").await;
    assert_eq!(site.get(&mut client, "/").await.body, "2");
    let id = site.id(&first.cookie().unwrap());
    let stored = site.store.get(&id).await.unwrap().unwrap();
    assert!(stored.record.as_json().ends_with(r#""views":2}"#));
    let loaded = TestClient::holding(&site.config, &id).open(&site.config).await;
    assert_eq!((loaded.id(), loaded.get::<u64>("views").unwrap()), (id, Some(2)));
}

/// With a max-age the cookie is sent when something changed: yes, yes, no, yes.
#[tokio::test]
async fn s101_with_a_max_age_the_cookie_follows_changes() {
    let site = Site::new(options(), async |uri: Uri, session: Session| match uri.path() {
        "/look" => look(session).await,
        _ => count(session).await,
    });
    let mut client = TestClient::new();
    let mut sent = Vec::new();
    for path in ["/", "/", "/look", "/"] {
        sent.push(site.get(&mut client, path).await.cookie().is_some());
    }
    assert_eq!(sent, [true, true, false, true]);
}

const EVERYTHING: [&str; 7] = ["get", "set", "destroy", "touch", "create", "replace", "destroy_if"];

/// While the store is disconnected there is no session and no cookie.
///
/// Differs: a handler that asks for the session is answered with 503 in its place, so none takes a user for a
/// stranger. One that does not ask is answered as ever.
#[tokio::test]
async fn s103_without_the_store_there_is_no_session() {
    let store_down = async |config: SessionConfig, handler_asks: bool| {
        let app = if handler_asks { layered(&config, count) } else { layered(&config, hello) };
        TestClient::holding(&config, &id("apple")).get(&app, "/").await
    };
    let site = Site::new(options().save_uninitialized(false), hello);
    site.store.fail(&EVERYTHING);
    let answer = store_down(site.config.clone(), true).await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (503, 0));
    let answer = store_down(site.config.clone(), false).await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len()), (200, 0));
}

/// When it is connected again the session is there again.
#[tokio::test]
async fn s104_when_the_store_is_back_so_is_the_session() {
    let site = Site::new(options(), count);
    let mut client = TestClient::new();
    site.get(&mut client, "/").await;
    site.store.fail(&EVERYTHING);
    assert_eq!(site.get(&mut client, "/").await.status, 503);
    site.store.fail(&[]);
    assert_eq!(site.get(&mut client, "/").await.body, "2");
}

/// `destroy`: after it there is no session, and no cookie is set.
#[tokio::test]
async fn s105_after_destroy_there_is_no_session() {
    let site = Site::new(options(), async |session: Session| {
        session.insert("user", "ada").unwrap();
        session.destroy();
        assert_eq!(session.get::<String>("user").unwrap(), None);
        assert!(matches!(session.save().await, Err(SessionError::Destroyed)));
    });
    let answer = site.first("/").await;
    assert_eq!((answer.status.as_u16(), answer.cookies().len(), site.store.len()), (200, 0, 0));
}

/// `regenerate`: another id and a cookie for it, for a new session and for a stored one.
#[tokio::test]
async fn s106_regenerate_gives_another_id_and_a_cookie() {
    let site = Site::new(options(), async |session: Session| {
        let before = session.id();
        session.regenerate();
        assert_ne!(session.id(), before);
        session.id().as_str().to_owned()
    });
    let mut client = TestClient::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = site.get(&mut client, "/").await;
        let id = site.id(&answer.cookie().unwrap());
        assert_eq!(answer.body, id.as_str());
        assert!(!ids.contains(&id));
        ids.push(id);
        assert_eq!(site.store.ids(), ids[ids.len() - 1..], "the one before is removed");
    }
}

/// `reload` picks up what another request wrote.
#[tokio::test]
async fn s107_reload_sees_what_another_request_wrote() {
    let site = Site::new(options(), async |State(config): State<SessionConfig>, session: Session| {
        let mut other = TestClient::holding(&config, &session.id());
        assert_eq!(other.get(&layered(&config, count), "/").await.body, "2");
        assert_eq!(session.get::<u64>("views")?, Some(1), "as it was loaded");
        session.reload().await?;
        look(session).await
    });
    let mut client = TestClient::new();
    client.get(&layered(&site.config, count), "/").await;
    assert_eq!(site.get(&mut client, "/").await.body, "Some(2)");
}

/// `reload` of a session that is gone is an error.
#[tokio::test]
async fn s108_reload_of_a_session_that_is_gone_is_an_error() {
    let store = MemoryStore::new();
    let config = options().store(store.clone()).build().unwrap();
    let mut client = TestClient::new();
    client.get(&layered(&config, count), "/").await;
    let app = layered(&config, async move |session: Session| {
        store.destroy(&session.id()).await.unwrap();
        assert!(matches!(session.reload().await, Err(SessionError::Gone)));
        "gone"
    });
    let answer = client.get(&app, "/").await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "gone"));
}

/// Twenty failing reloads do no harm.
#[tokio::test]
async fn s109_failing_reloads_do_not_pile_up() {
    let site = Site::new(options().save_uninitialized(false), async |session: Session| {
        for _ in 0..20 {
            assert!(matches!(session.reload().await, Err(SessionError::Gone)));
        }
        session.insert("views", 1)
    });
    let answer = site.first("/").await;
    assert_eq!(answer.status, 200);
    assert_eq!(site.store.calls(), ["create"]);
}

/// After `save` the record is in the store.
#[tokio::test]
async fn s110_after_save_the_record_is_stored() {
    let store = MemoryStore::new();
    let config = options().store(store.clone()).build().unwrap();
    let app = layered(&config, async move |session: Session| {
        session.insert("saved", true)?;
        session.save().await?;
        let stored = store.get(&session.id()).await?.unwrap();
        Ok::<_, SessionError>(stored.record.as_json().to_owned())
    });
    assert!(TestClient::new().get(&app, "/").await.body.ends_with(r#""saved":true}"#));
}

/// Counts, and saves at once.
async fn save(session: Session) -> Result<(), SessionError> {
    count(session.clone()).await?;
    session.save().await
}

/// What the store saw of two requests.
async fn two(site: Site) -> [Vec<&'static str>; 2] {
    let mut client = TestClient::new();
    let mut visit = async || {
        assert_eq!(site.get(&mut client, "/").await.status, 200);
        site.writes()
    };
    [visit().await, visit().await]
}

/// `save` takes the place of the write at the end: one for the first request, one for the second.
#[tokio::test]
async fn s111_save_is_the_only_write() {
    assert_eq!(two(Site::new(options(), save)).await, [vec!["create"], vec!["replace"]]);
}

/// The same after a `reload`.
#[tokio::test]
async fn s112_save_after_reload_is_the_only_write() {
    let site = Site::new(options(), async |session: Session| match session.reload().await {
        Ok(()) | Err(SessionError::Gone) => save(session).await,
        Err(error) => Err(error),
    });
    assert_eq!(two(site).await, [vec!["create"], vec!["replace"]]);
}

/// The same with `saveUninitialized: false`.
#[tokio::test]
async fn s113_save_without_save_uninitialized_is_the_only_write() {
    let site = Site::new(options().save_uninitialized(false), save);
    assert_eq!(two(site).await, [vec!["create"], vec!["replace"]]);
}

/// The next request moves the expiry in the store on.
///
/// Differs: once in `touch_after`, which is set to zero here.
#[tokio::test]
async fn s114_the_next_request_moves_the_expiry_on() {
    let clock = TestClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let options = options().touch_after(Duration::ZERO).clock(clock.clone());
    let config = options.store(store.clone()).build().unwrap();
    let app = layered(&config, look);
    let mut client = TestClient::new();
    client.get(&app, "/").await;
    let id = store.all_ids().remove(0);
    let left = async || store.get(&id).await.unwrap().unwrap().expires_in.unwrap();
    let pause = Duration::from_millis(50);
    clock.advance(pause);
    let before = left().await;
    assert_eq!(before, Duration::from_secs(60) - pause);
    client.get(&app, "/").await;
    assert!(left().await > before);
}
