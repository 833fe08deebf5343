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
        let trips = trips(&rivals, "statements", counter).await;
        let rates = rates(&rivals).await;
        println!(
            "A private PostgreSQL with its default settings, on one core, everyone else on the other. Statements as \
             `pg_stat_statements` counts them, `BEGIN` and `COMMIT` among them.\n\n{trips}\n\
             {VISITORS} visitors at a time over {CONNECTIONS} connections, each with a session of 1 KiB, in process; the \
             median of {ROUNDS} interleaved rounds (bar: 1.00 × tower-sessions on reads and writes).\n\n{rates}\n\
             tower-sessions is the release that its store works with."
        );
    });
}

pub async fn rivals(url: &str) -> Vec<Rival> {
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await;
    let store = sessile::PostgresStore::new(pool.expect("a server"));
    store.migrate().await.expect("a table");
    let ours = |rolling| Rc::new(Axum(ours::extractor(store.clone(), rolling))) as Rc<dyn App>;

    let pool = older::postgres::PgPoolOptions::new().max_connections(CONNECTIONS).connect(url).await;
    let store = tower_sessions_sqlx_store::PostgresStore::new(pool.expect("a server"));
    store.migrate().await.expect("a table");
    let towers =
        |rolling| Rc::new(Axum(tower::with_stores::axum(store.clone(), rolling, true))) as Rc<dyn App>;

    let rival = |name, contestant, plain, rolling| Rival { name, contestant, plain, rolling };
    vec![
        rival("sessile", Contestant::Sessile, ours(false), ours(true)),
        rival("tower-sessions", Contestant::Tower, towers(false), towers(true)),
    ]
}
