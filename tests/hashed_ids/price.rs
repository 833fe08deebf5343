//! What hashing costs a request.

use std::time::{Duration, Instant};

use sessile::{HashIds, MemoryStore, SessionConfig};

use crate::{SECRET, log_in};

/// What a hash costs a request that reads, and one that writes:
/// `cargo test --release --features testing --test hashed_ids price -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement: run it in release with --nocapture"]
async fn price_of_a_hash() {
    const CALLS: u32 = 20_000;
    let builder = || SessionConfig::builder(SECRET).store(MemoryStore::new());
    let configs = [builder().build().unwrap(), builder().hash_ids(HashIds::On).build().unwrap()];
    let visitors = [log_in(&configs[0], "ada").await, log_in(&configs[1], "ada").await];
    let mut fastest = [[Duration::MAX; 2]; 2];
    for _ in 0..40 {
        for (config, (visitor, fastest)) in configs.iter().zip(visitors.iter().zip(&mut fastest)) {
            let headers = visitor.headers();
            for (writes, fastest) in [false, true].into_iter().zip(fastest) {
                let began = Instant::now();
                for count in 0..CALLS {
                    let session = config.session_from_headers(&headers).await.unwrap();
                    if writes {
                        session.insert("n", count).unwrap();
                    }
                    drop(std::hint::black_box(session.commit().await.unwrap()));
                }
                *fastest = (*fastest).min(began.elapsed() / CALLS);
            }
        }
    }
    let [[read, write], [hashed_read, hashed_write]] = fastest;
    println!("a read: {read:?}, hashed {hashed_read:?}; a write: {write:?}, hashed {hashed_write:?}");
}
