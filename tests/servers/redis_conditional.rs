//! `RedisStore` over Valkey, which has commands that compare and write, and over servers that have none or
//! forbid scripts.

use std::sync::LazyLock;
use std::time::Duration;

use sessile::{Record, RedisStore, Replaced, SessionId, SessionStore};
use sessile_test_servers::{self as servers, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::lost_answers::{self, Proxy};
use crate::redis::{connection_to, tell};
use crate::redis_rights::every_call_works;
use crate::{Shared, trips};

const MINUTE: Duration = Duration::from_secs(60);

static VALKEY: LazyLock<Shared> = LazyLock::new(|| {
    Shared::new("VALKEY_URL", || {
        let server = servers::valkey(&[])?;
        Some((format!("redis://{}/", server.address()), vec![server]))
    })
});

mod valkey {
    use super::*;
    sessile::session_store_tests!(async || {
        Some(sessile::RedisStore::connect(VALKEY.url.as_deref()?).await.unwrap())
    });
}

/// How often a server was asked for a command, and how many of these calls it refused.
pub(crate) async fn calls(server: &Server, command: &str) -> (u64, u64) {
    let mut beside = connection_to(&server.address()).await;
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut beside).await.unwrap();
    let line = info.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    let number = |field: &str| {
        let value = line?.split([':', ',']).find_map(|part| part.strip_prefix(field))?;
        value.parse().ok()
    };
    (number("calls=").unwrap_or(0), number("failed_calls=").unwrap_or(0))
}

/// One conflict, and one record that is gone, for each kind of conditional write.
pub(crate) async fn conditions_hold(store: &impl SessionStore) {
    let id = SessionId::random();
    let record = |n: u32| Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap();
    store.set(&id, &record(1), MINUTE).await.unwrap();
    let first = store.get(&id).await.unwrap().unwrap().version.unwrap();
    store.set(&id, &record(2), MINUTE).await.unwrap();
    for conflict in [
        store.replace(&id, &first, &record(3), MINUTE).await.unwrap(),
        store.destroy_if(&id, &first).await.unwrap(),
    ] {
        let Replaced::Conflict(now) = conflict else { panic!("{conflict:?}") };
        assert_eq!(now.record.as_json(), record(2).as_json());
        assert!(now.expires_in.unwrap() > MINUTE - Duration::from_secs(10));
    }
    store.destroy(&id).await.unwrap();
    assert!(matches!(store.replace(&id, &first, &record(3), MINUTE).await.unwrap(), Replaced::Gone));
    assert!(matches!(store.destroy_if(&id, &first).await.unwrap(), Replaced::Gone));
    assert!(store.get(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn valkey_is_asked_to_compare_and_write_itself() {
    let Some(server) = servers::valkey(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let (before, _) = calls(&server, "delifeq").await;
    every_call_works(&store).await;
    conditions_hold(&store).await;
    assert_eq!(calls(&server, "delifeq").await, (before + 3, 0));
    assert_eq!(calls(&server, "set").await.1, 0);
    assert_eq!(calls(&server, "evalsha").await, (0, 0), "a script was called");
}

#[tokio::test]
async fn round_trips_of_each_kind_of_request_on_valkey() {
    let Some(server) = servers::valkey(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    let counts = trips::per_kind(store, async || {
        let mut sum = 0;
        for command in ["get", "set", "del", "expire", "delifeq", "evalsha"] {
            sum += calls(&server, command).await.0;
        }
        sum
    });
    let counts = counts.await;
    println!("valkey, round trips: {:?} = {counts:?}", trips::KINDS);
    assert_eq!(counts, [1, 2, 2, 1, 0, 3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_valkey_is_asked_for_again_and_counts_once() {
    let Some(server) = servers::valkey(&[]) else { return };
    let proxy = Proxy::before(server.address()).await;
    let store = RedisStore::connect(format!("redis://{}/", proxy.address)).await.unwrap();
    let beside = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    lost_answers::check(store, beside, &proxy).await;
}

/// A server without these commands is asked for them once for each connection, while the store connects.
#[tokio::test]
async fn a_server_without_such_commands_runs_a_script() {
    let Some(server) = servers::redis(&[]) else { return };
    let store = RedisStore::connect(format!("redis://{}/", server.address())).await.unwrap();
    if calls(&server, "set").await.1 == 0 {
        eprintln!("skipped: the Redis that is installed has the commands");
        return;
    }
    let refused = calls(&server, "set").await.1;
    assert_eq!(refused, 3, "one for each connection");
    for _ in 0..20 {
        every_call_works(&store).await;
        conditions_hold(&store).await;
    }
    assert_eq!(calls(&server, "set").await.1, refused);
    assert!(calls(&server, "evalsha").await.0 > 100);
}

#[tokio::test]
async fn a_server_that_forbids_scripts_serves_with_its_own_commands() {
    let Some(server) = servers::valkey(&[]) else { return };
    let rules = ["ACL", "SETUSER", "app", "on", ">secret", "~sess:*", "+@all", "-@scripting"];
    tell(&server, &rules).await;
    let url = format!("redis://app:secret@{}/", server.address());
    let store = RedisStore::connect(url.clone()).await.unwrap();
    every_call_works(&store).await;
    conditions_hold(&store).await;
    // Without the conditional removal there is the script, and without both there is an error at once.
    tell(&server, &["ACL", "SETUSER", "app", "-delifeq", "+@scripting"]).await;
    let store = RedisStore::connect(url.clone()).await.unwrap();
    every_call_works(&store).await;
    conditions_hold(&store).await;
    assert!(calls(&server, "evalsha").await.0 > 0);
    tell(&server, &["ACL", "SETUSER", "app", "-@scripting"]).await;
    let refused = RedisStore::connect(url).await.unwrap_err();
    let why = std::error::Error::source(&refused).unwrap().to_string();
    assert!(why.contains("+evalsha") && why.contains("+delifeq"), "{why}");
}

/// A fail-over may lead from a server with these commands to one without them, within one connection of the
/// driver.
#[tokio::test]
async fn a_server_that_has_lost_its_commands_runs_a_script() {
    let Some(server) = servers::valkey(&[]) else { return };
    tell(&server, &["ACL", "SETUSER", "app", "on", ">secret", "~sess:*", "+@all"]).await;
    let store = RedisStore::connect(format!("redis://app:secret@{}/", server.address())).await.unwrap();
    every_call_works(&store).await;
    assert_eq!(calls(&server, "evalsha").await, (0, 0));
    tell(&server, &["ACL", "SETUSER", "app", "-delifeq"]).await;
    every_call_works(&store).await;
    conditions_hold(&store).await;
    assert!(calls(&server, "evalsha").await.0 > 0);
}

/// A proxy that makes a Valkey speak as Redis 8.4 does, which has `DELEX … IFEQ` in the place of `DELIFEQ`.
/// It replaces words in what the store sends, so it is for short commands.
async fn as_redis_8_4(server: String) -> String {
    const DELEX: &[u8] = b"*4\r\n$5\r\nDELEX\r\n";
    fn translate(sent: &[u8]) -> Vec<u8> {
        let mut translated = Vec::new();
        let mut rest = sent;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(DELEX) {
                let condition = b"$4\r\nIFEQ\r\n";
                let at = after.windows(condition.len()).position(|part| part == condition).unwrap();
                translated.extend_from_slice(b"*3\r\n$7\r\nDELIFEQ\r\n");
                translated.extend_from_slice(&after[..at]);
                rest = &after[at + condition.len()..];
            } else if let Some(after) = rest.strip_prefix(b"$7\r\nDELIFEQ\r\n") {
                translated.extend_from_slice(b"$7\r\nUNKNOWN\r\n");
                rest = after;
            } else {
                translated.push(rest[0]);
                rest = &rest[1..];
            }
        }
        translated
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&server).await else { return };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut sent = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_client.read(&mut sent).await {
                    if to_server.write_all(&translate(&sent[..read])).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn redis_8_4_has_another_word_for_it() {
    let Some(server) = servers::valkey(&[]) else { return };
    let address = as_redis_8_4(server.address()).await;
    let store = RedisStore::connect(format!("redis://{address}/")).await.unwrap();
    every_call_works(&store).await;
    conditions_hold(&store).await;
    assert_eq!(calls(&server, "evalsha").await, (0, 0), "a script was called");
    assert!(calls(&server, "delifeq").await.0 >= 3 + 3, "the proxy translated nothing");
}
