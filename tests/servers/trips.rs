//! What each kind of request asks of the store behind it: of a server, which counts, or of SQLite.

use sessile::testing::Visitor;
use sessile::{Session, SessionConfig, SessionStore};

pub(crate) const KINDS: [&str; 7] = ["read", "write", "rolling read", "new", "forged", "regenerate", "cycle"];

/// Does one request of each kind, in the order of [`KINDS`], and tells how far the counter moved.
pub(crate) async fn per_kind(store: impl SessionStore + Clone, counter: impl AsyncFn() -> u64) -> [u64; 7] {
    let options = || SessionConfig::builder("a secret of at least 32 bytes, for tests").store(store.clone());
    let plain = options().save_uninitialized(false).build().unwrap();
    let rolling = options().rolling(true).build().unwrap();
    let mut user = Visitor::new(&plain);
    // Once to warm up: statements are prepared and scripts loaded at their first use.
    let mut counts = [0; 7];
    for _ in 0..2 {
        let session = user.open().await.unwrap();
        session.insert("n", 0).unwrap();
        user.commit(&session).await.unwrap();
        for (kind, counted) in KINDS.iter().zip(&mut counts) {
            let config = if *kind == "rolling read" { &rolling } else { &plain };
            let mut headers = user.headers();
            match *kind {
                "new" => drop(headers.remove("cookie")),
                "forged" => drop(headers.insert("cookie", "connect.sid=s%3Aforged.x".parse().unwrap())),
                _ => {}
            }
            let before = counter().await;
            let session = config.session_from_headers(&headers).await.unwrap();
            act(kind, &session);
            let guard = session.commit().await.unwrap();
            *counted = counter().await - before;
            if !matches!(*kind, "new" | "forged") {
                user.receive(guard);
            }
        }
    }
    counts
}

fn act(kind: &str, session: &Session) {
    match kind {
        "write" => assert!(session.update("n", |n: Option<u64>| n.map(|n| n + 1)).is_ok()),
        "new" => session.insert("n", 1).unwrap(),
        "regenerate" => session.regenerate(),
        "cycle" => session.cycle_id(),
        _ => {}
    }
}
