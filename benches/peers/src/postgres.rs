//! The stores on PostgreSQL.

use std::rc::Rc;

use tower_sessions_sqlx_store::sqlx as older;

use crate::app::{App, Axum};
use crate::contestants::{Contestant, sessile as ours, tower};
use crate::inner::{Core, output};
use crate::remote::{ROUNDS, Rival, VISITORS, rates, trips};
use crate::report::Part;
use crate::runtime::block_on;

/// Of either pool.
const CONNECTIONS: u32 = 16;

pub fn measure() -> Part {
    Part { name: "postgres", title: "PostgreSQL", text: output(Core::Only(1), &["postgres"]) }
}

/// Starts a server on the core of this process, and everyone else on the other one.
pub fn serve() {
    let counting =
        ["-c", "shared_preload_libraries=pg_stat_statements", "-c", "pg_stat_statements.track_utility=on"];
    let server = sessile_test_servers::postgres("UTC", &counting).expect("PostgreSQL is installed");
    let url = format!("postgres://postgres@{}/postgres", server.address());
    print!("{}", output(Core::Only(0), &["postgres-contest", &url]));
}

pub fn contest(url: &str) {
    block_on(async {
        let pool = sqlx::PgPool::connect(url).await.expect("a server");
        sqlx::query("CREATE EXTENSION pg_stat_statements")
            .execute(&pool)
            .await
            .expect("it is part of PostgreSQL");
        let rivals = rivals(url).await;
        let counter = async || {
            // Its own statements are told by their text.
            let sum = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat%'";
            let calls: i64 = sqlx::query_scalar(sum).fetch_one(&pool).await.expect("an answer");
            vec![calls as u64]
        };
        let trips = trips(&rivals[..2], "statements", counter).await;
        let rates = rates(&rivals).await;
        println!(
            "A private PostgreSQL with its default settings, on one core, everyone else on the other. Statements as \
             `pg_stat_statements` counts them, `BEGIN` and `COMMIT` among them.\n\n{trips}\n\
             {VISITORS} visitors at a time over {CONNECTIONS} connections, each with a session of 1 KiB, in process; the \
             median of {ROUNDS} interleaved rounds (bar: 1.00 × tower-sessions on reads and writes).\n\n{rates}\n\
             sessile has a pool that does not ask the server about a connection before it lends it, as its documentation \
             says and as `connect` makes it; tower-sessions has sqlx's default, which asks, as its examples do. The last \
             two columns are each with the pool of the other. tower-sessions is the release that its store works with."
        );
    });
}

/// First the two as their documents show them, then each with the other one's pool.
pub async fn rivals(url: &str) -> Vec<Rival> {
    let rival = |name, contestant, plain, rolling| Rival { name, contestant, plain, rolling };
    let ours = async |name, is_tested| {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.test_before_acquire(is_tested).connect(url).await;
        let store = sessile::PostgresStore::new(pool.expect("a server"));
        store.migrate().await.expect("a table");
        let app = |rolling| Rc::new(Axum(ours::extractor(store.clone(), rolling))) as Rc<dyn App>;
        rival(name, Contestant::Sessile, app(false), app(true))
    };
    let towers = async |name, is_tested| {
        let pool = older::postgres::PgPoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.test_before_acquire(is_tested).connect(url).await;
        let store = tower_sessions_sqlx_store::PostgresStore::new(pool.expect("a server"));
        store.migrate().await.expect("a table");
        let app =
            |rolling| Rc::new(Axum(tower::with_stores::axum(store.clone(), rolling, true))) as Rc<dyn App>;
        rival(name, Contestant::Tower, app(false), app(true))
    };
    vec![
        ours("sessile", false).await,
        towers("tower-sessions", true).await,
        ours("sessile, tested pool", true).await,
        towers("tower-sessions, untested pool", false).await,
    ]
}
