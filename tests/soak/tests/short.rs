//! The soak in short: some 20 seconds on a machine that is otherwise idle.

use std::time::Duration;

use sessile_soak::Plan;

const SHORT: Plan = Plan { requests: 8_000, time: Duration::from_secs(6), forged: 8_000, vanishing: 500 };

// One test, because the memory of the whole process is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_memory_stays_flat() {
    let memory = sessile_soak::memory(SHORT).await.unwrap();
    println!("memory: p50 {:.2?}, p99 {:.2?}", memory.times.at(0.5), memory.times.at(0.99));
    match sessile_soak::redis(SHORT).await.unwrap() {
        Some(redis) => println!("redis: p50 {:.2?}, p99 {:.2?}", redis.times.at(0.5), redis.times.at(0.99)),
        None => println!("skipped: no Redis is installed"),
    }
}
