//! What hostile visitors send: forged cookies, and connections that vanish.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::client::{Client, connect};

const CONNECTIONS: u64 = 32;

/// Requests with forged cookies, each of them another one. Returns how many a second were answered.
pub(crate) async fn forged(address: SocketAddr, requests: u64) -> io::Result<f64> {
    let started = Instant::now();
    let mut floods = JoinSet::new();
    for connection in 0..CONNECTIONS {
        floods.spawn(async move {
            let mut client = Client::new(address);
            for number in (connection..requests).step_by(CONNECTIONS as usize) {
                // Near to what is valid: signed with nothing, cut short, or another alphabet.
                let forged = match number % 4 {
                    0 => format!("s%3A{number:032}.{}", "A".repeat(43)),
                    1 => format!("s%3A{number:032}."),
                    2 => format!("s:{number}.{number:043}"),
                    _ => "%".repeat(100),
                };
                let answer = client.send("GET", "/", Some(&forged)).await?;
                assert_eq!((answer.status, &*answer.body, answer.cookie), (200, "null", None));
            }
            Ok::<_, io::Error>(())
        });
    }
    while let Some(flood) = floods.join_next().await {
        flood.expect("what a forged cookie must see")?;
    }
    Ok(requests as f64 / started.elapsed().as_secs_f64())
}

/// Connections that send nothing, half a request or a whole one, and are gone. They name no session.
pub(crate) async fn vanish(address: SocketAddr, connections: u64) -> io::Result<()> {
    let open = open_files();
    let parts: [&[u8]; 3] =
        [b"", b"GET / HTTP/1.1\r\nhost: localhost\r\ncook", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"];
    let mut vanishing = JoinSet::new();
    for number in 0..connections {
        if vanishing.len() >= CONNECTIONS as usize {
            vanishing.join_next().await.expect("there are some").expect("no panic")?;
        }
        let part = parts[number as usize % parts.len()];
        vanishing.spawn(async move { connect(address).await?.write_all(part).await });
    }
    while let Some(vanished) = vanishing.join_next().await {
        vanished.expect("no panic")?;
    }
    // The server still answers, and lets go of them.
    let answer = Client::new(address).send("GET", "/", None).await?;
    assert_eq!((answer.status, &*answer.body), (200, "null"));
    let deadline = Instant::now() + Duration::from_secs(20);
    while open_files() > open + 8 {
        assert!(Instant::now() < deadline, "{} connections stay open", open_files() - open);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// How many files and connections this process holds open (Linux; elsewhere none).
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
