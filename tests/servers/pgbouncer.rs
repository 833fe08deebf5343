//! `PostgresStore` behind a PgBouncer that lends a connection for one transaction at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{PostgresStore, Record, SessionId, SessionStore};
use sessile_test_servers as servers;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::faults::config;

/// A PostgreSQL and the PgBouncer before it.
static BOUNCER: LazyLock<Option<(servers::Server, servers::Server)>> = LazyLock::new(|| {
    let server = servers::postgres("UTC", &[])?;
    let bouncer = servers::pgbouncer(&server, &["ignore_startup_parameters=extra_float_digits"])?;
    Some((server, bouncer))
});

fn url() -> Option<String> {
    BOUNCER.as_ref().map(|(_, bouncer)| format!("postgres://postgres@{}/postgres", bouncer.address()))
}

async fn store(table: &str) -> Option<PostgresStore> {
    let store = PostgresStore::connect(&url()?).await.unwrap().prepared(false).table(table).unwrap();
    store.migrate().await.unwrap();
    Some(store)
}

mod kit {
    use super::*;
    sessile::session_store_tests!(async || store("kit_sessions").await);
}

/// 40 tasks over 5 connections of the bouncer, so that each statement may find itself on another connection
/// than the one before, and next to the statements of others.
async fn no_task_fails(store: PostgresStore) {
    const TASKS: usize = 40;
    let (config, together) = (config(store), Arc::new(Barrier::new(TASKS)));
    let mut tasks = JoinSet::new();
    for n in 0..TASKS {
        let (config, together) = (config.clone(), Arc::clone(&together));
        tasks.spawn(async move {
            together.wait().await;
            let mut visitor = Visitor::new(&config);
            for step in 0..20_usize {
                let session = visitor.open().await.unwrap();
                let before = session.get::<(usize, usize)>("step").unwrap();
                assert_eq!(before, step.checked_sub(1).map(|step| (n, step)));
                session.insert("step", (n, step)).unwrap();
                if step % 5 == 4 {
                    session.cycle_id();
                }
                visitor.commit(&session).await.unwrap();
            }
            let session = visitor.open().await.unwrap();
            session.destroy();
            visitor.commit(&session).await.unwrap();
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_tasks_share_five_connections_without_an_error() {
    let Some(store) = store("forty_tasks").await else { return };
    no_task_fails(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_without_a_statement_cache_says_it_all() {
    let Some(url) = url() else { return };
    let store = PostgresStore::connect(&format!("{url}?statement-cache-capacity=0")).await.unwrap();
    let store = store.table("by_url").unwrap();
    store.migrate().await.unwrap();
    no_task_fails(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_your_own_works_as_well() {
    let Some(url) = url() else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let pool = PgPoolOptions::new().max_connections(20);
    let pool = pool.connect_with(options.statement_cache_capacity(0)).await.unwrap();
    let store = PostgresStore::new(pool).prepared(false).table("own_pool").unwrap();
    store.migrate().await.unwrap();
    no_task_fails(store).await;
}

/// PgBouncer refuses the options of a connection that it does not know.
#[tokio::test]
async fn a_bouncer_as_it_is_installed_takes_the_connection() {
    let Some((server, _)) = BOUNCER.as_ref() else { return };
    let Some(bouncer) = servers::pgbouncer(server, &[]) else { return };
    let url = format!("postgres://postgres@{}/postgres", bouncer.address());
    let store = PostgresStore::connect(&url).await.unwrap().prepared(false);
    store.migrate().await.unwrap();
    store.set(&SessionId::random(), &Record::default(), Duration::from_secs(60)).await.unwrap();
}
