//! What connecting and `check` say of passwords, rights and replicas.

use std::error::Error as _;
use std::sync::LazyLock;
use std::time::Duration;

use sessile::{Record, RedisStore, SessionConfig, SessionId, SessionStore, StoreError};
use sessile_test_servers::{self as servers, Server};

use crate::redis::{connection_to, tell};

/// A server of its own: the tests make users on it.
static SERVER: LazyLock<Option<Server>> = LazyLock::new(|| servers::redis(&[]));

/// What the documentation says that a user of the store needs.
pub(crate) const RIGHTS: &str = "+get +pttl +set +expire +del +evalsha +script|load";

/// Makes a user with the password `secret`, and returns the URL with that user.
pub(crate) async fn user(server: &Server, name: &str, rules: &str) -> String {
    let rules = ["ACL", "SETUSER", name, "reset", "on", ">secret"].into_iter().chain(rules.split(' '));
    tell(server, &rules.collect::<Vec<_>>()).await;
    format!("redis://{name}:secret@{}/", server.address())
}

fn why(error: &StoreError) -> String {
    assert!(error.is_unavailable(), "{error:?}");
    error.source().unwrap().to_string()
}

/// Every call of a store, on a session of its own, and no error.
pub(crate) async fn every_call_works(store: &impl SessionStore) {
    let (id, minute) = (SessionId::random(), Duration::from_secs(60));
    let (one, two) = (Record::default(), Record::from_json(r#"{"cookie":{},"n":2}"#).unwrap());
    assert!(store.create(&id, &one, minute).await.unwrap());
    assert!(store.touch(&id, minute).await.unwrap());
    let version = store.get(&id).await.unwrap().unwrap().version.unwrap();
    let done = store.replace(&id, &version, &two, minute).await.unwrap();
    let sessile::Replaced::Done(version) = done else { panic!("{done:?}") };
    let done = store.destroy_if(&id, &version).await.unwrap();
    assert!(matches!(done, sessile::Replaced::Done(_)), "{done:?}");
    store.set(&id, &one, minute).await.unwrap();
    store.destroy(&id).await.unwrap();
    assert!(store.get(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let Some(server) = &*SERVER else { return };
    let url = user(server, "enough", &format!("~sess:* {RIGHTS}")).await;
    let store = RedisStore::connect(url).await.unwrap();
    store.check().await.unwrap();
    every_call_works(&store).await;
    // Those of `len` and `clear`.
    let url = user(server, "operator", &format!("~sess:* {RIGHTS} +scan +unlink")).await;
    let store = RedisStore::connect(url).await.unwrap();
    store.clear().await.unwrap();
    assert_eq!(store.len().await.unwrap(), 0);
}

#[tokio::test]
async fn a_missing_right_is_named_when_the_store_connects() {
    let Some(server) = &*SERVER else { return };
    for right in RIGHTS.split(' ') {
        let name = format!("without-{}", right.trim_start_matches('+').replace('|', "-"));
        let rules = RIGHTS.replace(right, &format!("-{}", &right[1..]));
        // The server may know the script from another test.
        tell(server, &["SCRIPT", "FLUSH"]).await;
        let refused =
            RedisStore::connect(user(server, &name, &format!("~sess:* {rules}")).await).await.unwrap_err();
        assert!(why(&refused).contains(right), "{right}: {}", why(&refused));
        // The server's own words are kept.
        let source = refused.source().unwrap().source().unwrap().to_string();
        assert!(source.to_lowercase().contains("permission"), "{source}");
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_later_is_named_by_check() {
    let Some(server) = &*SERVER else { return };
    let url = user(server, "later", &format!("~sess:* {RIGHTS}")).await;
    let store = RedisStore::connect(url).await.unwrap();
    let config =
        SessionConfig::builder("a secret of at least 32 bytes, for tests").store(store).build().unwrap();
    config.check().await.unwrap();
    tell(server, &["ACL", "SETUSER", "later", "-expire"]).await;
    assert!(why(&config.check().await.unwrap_err()).contains("+expire"));
    tell(server, &["ACL", "SETUSER", "later", "+expire"]).await;
    config.check().await.unwrap();
}

/// The prefix is known to `check` and to a builder, and not yet to `connect`.
#[tokio::test]
async fn keys_without_access_are_named() {
    let Some(server) = &*SERVER else { return };
    let url = user(server, "shop", &format!("~shop:* {RIGHTS}")).await;
    let store = RedisStore::connect(url.clone()).await.unwrap();
    assert!(why(&store.check().await.unwrap_err()).contains("`sess:*`"));
    store.prefix("shop:").check().await.unwrap();
    let store = RedisStore::builder().prefix("shop:").connect(url.clone()).await.unwrap();
    every_call_works(&store).await;
    let refused = RedisStore::builder().prefix("other:").connect(url).await.unwrap_err();
    assert!(why(&refused).contains("`other:*`"), "{}", why(&refused));
}

#[tokio::test]
async fn a_password_that_is_missing_or_wrong_is_an_error_when_the_store_connects() {
    let Some(server) = servers::redis(&["--requirepass", "secret"]) else { return };
    let missing = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap_err();
    assert!(why(&missing).contains("wants a password"), "{}", why(&missing));
    let wrong = RedisStore::connect(format!("redis://:wrong@{}/", server.address())).await.unwrap_err();
    assert!(why(&wrong).contains("does not take"), "{}", why(&wrong));
    assert!(!format!("{wrong:?}").contains(":wrong@"));
    let store = RedisStore::connect(format!("redis://:secret@{}/", server.address())).await.unwrap();
    every_call_works(&store).await;
}

#[tokio::test]
async fn a_replica_is_named_when_the_store_connects() {
    let Some(primary) = servers::redis(&[]) else { return };
    let Some(replica) = servers::redis(&["--replicaof", "127.0.0.1", &primary.port.to_string()]) else {
        return;
    };
    let refused = RedisStore::connect(format!("redis://{}/", replica.address())).await.unwrap_err();
    assert!(why(&refused).contains("replica"), "{}", why(&refused));
}

#[tokio::test]
async fn a_check_changes_no_session_and_leaves_nothing() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    for _ in 0..3 {
        store.check().await.unwrap();
    }
    let mut beside = connection_to(&server.address()).await;
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut beside).await.unwrap();
    assert_eq!(keys, [format!("sess:{}", id.as_str())]);
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), Record::default().as_json());
    assert!(store.get(&id).await.unwrap().unwrap().expires_in.unwrap() > Duration::from_secs(50));
}

/// A connection that another program made is checked when somebody asks for it.
#[tokio::test]
async fn a_store_over_a_connection_from_outside_can_be_checked() {
    let Some(server) = &*SERVER else { return };
    let url = user(server, "outside", &format!("~sess:* {}", RIGHTS.replace("+evalsha ", ""))).await;
    let connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let refused = RedisStore::new(connection).check().await.unwrap_err();
    assert!(why(&refused).contains("+evalsha"), "{}", why(&refused));
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_feature_an_address_that_asks_for_tls_names_it() {
    let address = "rediss://127.0.0.1:1/";
    let cluster = RedisStore::connect_cluster([address]).await.map(drop);
    let sentinel =
        RedisStore::connect_sentinel(["redis://127.0.0.1:1/"], "rediss://mymaster").await.map(drop);
    for refused in [RedisStore::connect(address).await.map(drop), cluster, sentinel] {
        assert!(why(&refused.unwrap_err()).contains("feature `tls`"));
    }
}
