//! The conformance kit and more against real servers: those that `REDIS_URL`, `REDIS_CLUSTER_URLS`,
//! `VALKEY_URL`, `DATABASE_URL`, `POSTGRES_ZONED_URL` and `MYSQL_URL` name, else private ones, started here.

#[cfg(all(unix, feature = "sqlite"))]
#[path = "../common/disk.rs"]
mod disk;

#[cfg(all(unix, feature = "sqlite"))]
mod crash;
mod crowd;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod faults;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod foreign;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
#[path = "../common/logs.rs"]
mod logs;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
mod lost_answers;
#[cfg(all(feature = "redis", feature = "postgres"))]
mod moving;
#[cfg(all(feature = "redis", feature = "postgres", feature = "sqlite"))]
mod moving_load;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod pgbouncer;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "only the tests of Redis refuse requests"))]
mod proxy;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod redis_conditional;
#[cfg(feature = "redis")]
mod redis_failover;
#[cfg(feature = "redis")]
mod redis_marks;
#[cfg(feature = "redis")]
mod redis_rights;
#[cfg(all(feature = "redis", feature = "tls"))]
mod redis_tls;
#[cfg(feature = "redis")]
mod redis_users;
#[cfg(feature = "redis")]
mod redis_watch;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod sql_layouts;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql_networks;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod sql_tls;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod sql_users;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(all(unix, feature = "sqlite"))]
mod sqlite_disk;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod trips;
#[cfg(all(unix, any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite")))]
mod two_processes;
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite"))]
mod users;

#[cfg(not(all(feature = "redis", feature = "postgres", feature = "mysql", feature = "sqlite")))]
#[test]
fn stores_without_their_feature_are_skipped() {
    eprintln!("skipped: run with --all-features for RedisStore, PostgresStore, MySqlStore and SqliteStore");
}

/// A server for all tests of this process: the one a variable names, else a private one.
#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
struct Shared {
    /// `None`: there is none to test against.
    url: Option<String>,
    _server: Vec<sessile_test_servers::Server>,
}

#[cfg(any(feature = "redis", feature = "postgres", feature = "mysql"))]
impl Shared {
    fn new(
        variable: &str,
        start: impl FnOnce() -> Option<(String, Vec<sessile_test_servers::Server>)>,
    ) -> Self {
        if let Ok(url) = std::env::var(variable) {
            return Self { url: Some(url), _server: Vec::new() };
        }
        match start() {
            Some((url, server)) => Self { url: Some(url), _server: server },
            None => Self { url: None, _server: Vec::new() },
        }
    }
}
