//! TLS to PostgreSQL and MariaDB, with certificates made here.

use std::error::Error as _;
use std::time::Duration;

use sessile::{Record, SessionId, SessionStore, StoreError};
use sessile_test_servers as servers;
#[cfg(feature = "tls")]
use sessile_test_servers::Certificates;

use crate::logs::Logs;

/// An address of this machine that does not say so, as that of a database elsewhere.
const ELSEWHERE: &str = "0.0.0.0";

fn chain(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.map(|error| format!(": {error}")).collect()
}

async fn serves(store: &impl SessionStore) {
    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    assert!(store.get(&id).await.unwrap().is_some());
}

#[cfg(feature = "postgres")]
mod postgres {
    use sessile::PostgresStore;
    #[cfg(feature = "tls")]
    use sqlx::postgres::PgPool;

    use super::*;

    fn url(host: &str, server: &servers::Server, options: &str) -> String {
        format!("postgres://postgres@{host}:{}/postgres?{options}", server.port)
    }

    #[cfg(feature = "tls")]
    fn with_tls(files: &Certificates) -> Option<servers::Server> {
        let [certificate, key] = [("ssl_cert_file", "server"), ("ssl_key_file", "key")]
            .map(|(option, file)| format!("{option}={}", files.path(file).display()));
        servers::postgres("UTC", &["-c", "ssl=on", "-c", &certificate, "-c", &key])
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn each_mode_keeps_its_word() {
        let files = Certificates::new("postgres", "localhost");
        let Some(server) = with_tls(&files) else { return };
        let [ca, other] = ["ca", "other"].map(|file| files.path(file).display().to_string());
        let admin = PgPool::connect(&url("127.0.0.1", &server, "sslmode=disable")).await.unwrap();
        PostgresStore::new(admin.clone()).migrate().await.unwrap();
        let logs = Logs::capture();
        for (host, options) in [
            ("127.0.0.1", "sslmode=require".to_owned()),
            ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}")),
            ("localhost", format!("sslmode=verify-full&sslrootcert={ca}")),
            // It prefers TLS, and gets it.
            (ELSEWHERE, String::new()),
        ] {
            let store = PostgresStore::connect(&url(host, &server, &options)).await.unwrap();
            serves(&store).await;
            let clear = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
                         WHERE backend_type = 'client backend' AND NOT ssl AND pid <> pg_backend_pid()";
            let clear: i64 = sqlx::query_scalar(clear).fetch_one(&admin).await.unwrap();
            assert_eq!(clear, 0, "{options}");
        }
        for (host, options) in [
            ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}")),
            ("localhost", format!("sslmode=verify-full&sslrootcert={other}")),
            ("localhost", "sslmode=verify-full".to_owned()),
        ] {
            let error = PostgresStore::connect(&url(host, &server, &options)).await.unwrap_err();
            assert!(chain(&error).contains("certificate"), "{options}: {}", chain(&error));
        }
        assert_eq!(logs.warnings(), [""; 0]);
    }

    #[tokio::test]
    async fn what_goes_in_clear_is_said_once() {
        let Some(server) = servers::postgres("UTC", &["-c", "listen_addresses=*"]) else { return };
        let logs = Logs::capture();
        let store = PostgresStore::connect(&url("127.0.0.1", &server, "")).await.unwrap();
        store.migrate().await.unwrap();
        PostgresStore::connect(&url("127.0.0.1", &server, "sslmode=disable")).await.unwrap();
        assert_eq!(logs.warnings(), [""; 0]);
        let store = PostgresStore::connect(&url(ELSEWHERE, &server, "")).await.unwrap();
        for _ in 0..3 {
            serves(&store).await;
        }
        let warnings = logs.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("not encrypted"), "{warnings:?}");
        let error = PostgresStore::connect(&url(ELSEWHERE, &server, "sslmode=require")).await.unwrap_err();
        let names_the_feature = chain(&error).contains("needs the feature `tls`");
        assert_eq!(names_the_feature, cfg!(not(feature = "tls")), "{}", chain(&error));
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use sessile::MySqlStore;
    #[cfg(feature = "tls")]
    use sqlx::mysql::MySqlPool;

    use super::*;

    fn url(host: &str, server: &servers::Server, options: &str) -> String {
        format!("mysql://sessile:sessile@{host}:{}/test?{options}", server.port)
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn each_mode_keeps_its_word() {
        let files = Certificates::new("mysql", "localhost");
        let options = [("--ssl-cert", "server"), ("--ssl-key", "key")];
        let options = options.map(|(option, file)| format!("{option}={}", files.path(file).display()));
        // A user who may not come without.
        let Some(server) = servers::mariadb(&[&options[0], &options[1]]) else { return };
        let [ca, other] = ["ca", "other"].map(|file| files.path(file).display().to_string());
        let admin = MySqlPool::connect(&url("127.0.0.1", &server, "ssl-mode=DISABLED")).await.unwrap();
        MySqlStore::new(admin.clone()).migrate().await.unwrap();
        sqlx::raw_sql("ALTER USER sessile@'%' REQUIRE SSL").execute(&admin).await.unwrap();
        MySqlStore::connect(&url("127.0.0.1", &server, "ssl-mode=DISABLED")).await.unwrap_err();
        let logs = Logs::capture();
        for (host, options) in [
            ("127.0.0.1", "ssl-mode=REQUIRED".to_owned()),
            ("127.0.0.1", format!("ssl-mode=VERIFY_CA&ssl-ca={ca}")),
            ("localhost", format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}")),
            // It prefers TLS, and gets it.
            (ELSEWHERE, String::new()),
        ] {
            serves(&MySqlStore::connect(&url(host, &server, &options)).await.unwrap()).await;
        }
        for (host, options) in [
            ("127.0.0.1", format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={ca}")),
            ("localhost", format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={other}")),
            ("localhost", "ssl-mode=VERIFY_IDENTITY".to_owned()),
        ] {
            let error = MySqlStore::connect(&url(host, &server, &options)).await.unwrap_err();
            assert!(chain(&error).contains("certificate"), "{options}: {}", chain(&error));
        }
        assert_eq!(logs.warnings(), [""; 0]);
    }

    #[tokio::test]
    async fn what_goes_in_clear_is_said_once() {
        let Some(server) = servers::mariadb(&["--bind-address=0.0.0.0", "--skip-ssl"]) else { return };
        let logs = Logs::capture();
        let store = MySqlStore::connect(&url("127.0.0.1", &server, "")).await.unwrap();
        store.migrate().await.unwrap();
        MySqlStore::connect(&url("127.0.0.1", &server, "ssl-mode=DISABLED")).await.unwrap();
        assert_eq!(logs.warnings(), [""; 0]);
        let store = MySqlStore::connect(&url(ELSEWHERE, &server, "")).await.unwrap();
        for _ in 0..3 {
            serves(&store).await;
        }
        let warnings = logs.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("not encrypted"), "{warnings:?}");
        let error = MySqlStore::connect(&url(ELSEWHERE, &server, "ssl-mode=REQUIRED")).await.unwrap_err();
        let names_the_feature = chain(&error).contains("needs the feature `tls`");
        assert_eq!(names_the_feature, cfg!(not(feature = "tls")), "{}", chain(&error));
    }
}
