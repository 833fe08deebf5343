//! The stores on Redis.

use std::rc::Rc;

use ::redis::aio::MultiplexedConnection;
use actix_session::storage::RedisSessionStore;
use actix_web::App as ActixApp;
use actix_web::test::init_service;
use axum_session_redispool::SessionRedisPool;
use redis_pool::SingleRedisPool;
use tower_sessions_redis_store::fred::prelude::{ClientLike as _, Config, Pool};

use crate::app::{Actix, App, Axum};
use crate::contestants::axum_sessions::Memory;
use crate::contestants::{Contestant, actix, axum_sessions, sessile as ours, tower};
use crate::inner::{Core, output};
use crate::remote::{ROUNDS, Rival, VISITORS, rates, trips};
use crate::report::Part;
use crate::runtime::block_on;

/// What fred's and redis_pool's own examples and defaults have.
const FRED_CONNECTIONS: usize = 6;

pub fn measure() -> Part {
    Part { name: "redis", title: "Redis", text: output(Core::Only(1), &["redis"]) }
}

/// Starts a server on the core of this process, and everyone else on the other one.
pub fn serve() {
    let server = sessile_test_servers::redis(&[]).expect("Redis is installed");
    print!("{}", output(Core::Only(0), &["redis-contest", &format!("redis://{}/", server.address())]));
}

pub fn contest(url: &str) {
    block_on(async {
        let rivals = rivals(url).await;
        let client = ::redis::Client::open(url).expect("an address");
        let other = client.get_multiplexed_async_connection().await.expect("a server");
        let trips = trips(&rivals, "round trips / commands", async || counters(other.clone()).await).await;
        let rates = rates(&rivals).await;
        println!(
            "A private Redis on one core, everyone else on the other. Round trips are the server's reads from its \
             connections while it answers one request; commands are its own count, which includes those inside scripts and \
             transactions.\n\n{trips}\n\
             {VISITORS} visitors at a time, each with a session of 1 KiB, in process; the median of {ROUNDS} \
             interleaved rounds (bar: 1.25 × tower-sessions on reads, 1.10 × on writes).\n\n{rates}\n\
             tower-sessions is the release that its store works with, over {FRED_CONNECTIONS} connections of fred as in the \
             store's README; the others have their defaults. New id is `cycle_id` or `renew`: the data stays. axum_session keeps \
             sessions in the memory of the process by default, for an hour: it then reads without asking Redis and does not \
             see what other processes write. The column without that is the one to compare."
        );
    });
}

async fn counters(mut other: MultiplexedConnection) -> Vec<u64> {
    let info: String = ::redis::cmd("INFO").arg("stats").query_async(&mut other).await.expect("an answer");
    let count = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name));
        value.and_then(|value| value.trim().parse().ok()).expect("Redis 6 or newer counts this")
    };
    vec![count("total_reads_processed:"), count("total_commands_processed:")]
}

pub async fn rivals(url: &str) -> Vec<Rival> {
    let store = sessile::RedisStore::connect(url).await.expect("a server");
    let ours = |rolling| Rc::new(Axum(ours::extractor(store.clone(), rolling))) as Rc<dyn App>;

    let config = Config::from_url(url).expect("an address");
    let fred = Pool::new(config, None, None, None, FRED_CONNECTIONS).expect("a pool");
    fred.connect();
    fred.wait_for_connect().await.expect("a server");
    let store = tower_sessions_redis_store::RedisStore::new(fred);
    let towers =
        |rolling| Rc::new(Axum(tower::with_stores::axum(store.clone(), rolling, true))) as Rc<dyn App>;

    let client = || ::redis::Client::open(url).expect("an address");
    let pooled = async |memory, rolling| {
        let pool = SessionRedisPool::from(SingleRedisPool::from(client()));
        Rc::new(Axum(axum_sessions::axum(Some(pool), memory, rolling, true).await)) as Rc<dyn App>
    };

    let store = RedisSessionStore::new(url).await.expect("a server");
    let actixs = async |rolling| {
        let middleware = actix::middleware(store.clone(), rolling);
        let app = ActixApp::new().wrap(middleware).configure(actix::routes);
        Rc::new(Actix(init_service(app).await)) as Rc<dyn App>
    };

    let rival = |name, contestant, plain, rolling| Rival { name, contestant, plain, rolling };
    let (keeps, forgets) = (Memory::Keeps, Memory::Forgets);
    vec![
        rival("sessile", Contestant::Sessile, ours(false), ours(true)),
        rival("tower-sessions", Contestant::Tower, towers(false), towers(true)),
        rival(
            "axum_session, nothing kept in memory",
            Contestant::AxumSession,
            pooled(forgets, false).await,
            pooled(forgets, true).await,
        ),
        rival("axum_session", Contestant::AxumSession, pooled(keeps, false).await, pooled(keeps, true).await),
        rival("actix-session", Contestant::Actix, actixs(false).await, actixs(true).await),
    ]
}
