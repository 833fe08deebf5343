//! How the stores are opened that a URL can name, and what their servers say the time is.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use sessile::sqlx::{self, Connection as _, Row as _};
use sessile::{FileStore, MySqlStore, PostgresStore, RedisStore, SqliteStore, redis};

use crate::redis_address::RedisAddress;
use crate::store_options::StoreOptions;
use crate::stores::{IfMissing, Opened, Plain};

/// Opens what the URL names.
pub(crate) async fn plain(url: &str, options: &StoreOptions, if_missing: IfMissing) -> anyhow::Result<Plain> {
    if let Some(address) = RedisAddress::of(url)? {
        return redis_store(address, options).await;
    }
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let StoreOptions { table, .. } = options;
    Ok(match scheme {
        "file" => Plain::File(file(Path::new(rest), options, if_missing)?),
        "postgres" | "postgresql" => {
            let mut store = PostgresStore::connect(url).await?.announce_ends(options.announce_ends);
            if options.unprepared {
                store = store.prepared(false);
            }
            if let Some(zone) = &options.time_zone {
                store = store.time_zone(zone);
            }
            if let Some(schema) = &options.schema {
                store = store.schema(schema)?;
            }
            if let Some(table) = table {
                store = store.table(table)?;
            }
            Plain::Postgres(store)
        }
        "mysql" | "mariadb" => {
            let store = MySqlStore::connect(url).await?;
            Plain::MySql(match table {
                Some(table) => store.table(table)?,
                None => store,
            })
        }
        "sqlite" => {
            let is_url = rest.starts_with("//");
            let path = rest.strip_prefix("//").unwrap_or(rest).split('?').next().unwrap_or_default();
            if if_missing == IfMissing::Fail && !Path::new(path).is_file() {
                bail!("there is no file {path:?}");
            }
            let store = SqliteStore::open(if is_url { url } else { rest }).await?;
            Plain::Sqlite(match table {
                Some(table) => store.table(table)?,
                None => store,
            })
        }
        "memory" => bail!("the sessions of a memory store are in the app's own process"),
        _ => bail!(
            "a store is named by file:DIR, sqlite:FILE, redis://HOST, redis+cluster://HOST,HOST, \
             redis+sentinel://HOST,HOST/NAME, postgres://HOST/DB or mysql://HOST/DB"
        ),
    })
}

fn file(folder: &Path, options: &StoreOptions, if_missing: IfMissing) -> anyhow::Result<FileStore> {
    if if_missing == IfMissing::Fail && !folder.is_dir() {
        bail!("there is no folder {folder:?}");
    }
    let mut builder = FileStore::builder(folder).shared_folder(options.shared_folder);
    if let Some(ttl) = options.express_ttl {
        builder = builder.ttl(ttl);
    }
    Ok(builder.build()?)
}

async fn redis_store(address: RedisAddress, options: &StoreOptions) -> anyhow::Result<Plain> {
    let mut builder = RedisStore::builder().announce_ends(options.announce_ends);
    if let Some(prefix) = &options.prefix {
        builder = builder.prefix(prefix);
    }
    if let Some(roots) = roots(options)? {
        builder = builder.root_certificates(roots);
    }
    if let Some((certificate, key)) = client_certificate(options)? {
        builder = builder.client_certificate(certificate, key);
    }
    Ok(match address {
        RedisAddress::Single(url) => Plain::Redis(builder.connect(url).await?),
        RedisAddress::Cluster(nodes) => Plain::RedisCluster(builder.connect_cluster(nodes).await?),
        RedisAddress::Sentinel { sentinels, primary } => {
            Plain::RedisSentinel(builder.connect_sentinel(sentinels, primary).await?)
        }
    })
}

impl Opened {
    /// How far the clock of the store's server is from the one here; of several nodes, the one that is furthest.
    /// `None`: the store has no clock but this machine's.
    pub(crate) async fn clock_is_off_by(&self) -> anyhow::Result<Option<Duration>> {
        let millis: i64 = match self.store.plain() {
            Plain::File(_) | Plain::Sqlite(_) => return Ok(None),
            Plain::Redis(_) | Plain::RedisCluster(_) | Plain::RedisSentinel(_) => {
                return redis_clock(&self.url, &self.options).await.map(Some);
            }
            Plain::Postgres(_) => {
                // PgBouncer refuses this option.
                let options: sqlx::postgres::PgConnectOptions = self.url.parse()?;
                let options = options.extra_float_digits(None);
                let mut connection = sqlx::PgConnection::connect_with(&options).await?;
                let sql = "SELECT (extract(epoch from clock_timestamp()) * 1000)::bigint";
                sqlx::raw_sql(sql).fetch_one(&mut connection).await?.try_get(0)?
            }
            Plain::MySql(_) => {
                let mut connection = sqlx::MySqlConnection::connect(&self.url).await?;
                let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED)";
                sqlx::raw_sql(sql).fetch_one(&mut connection).await?.try_get(0)?
            }
        };
        Ok(Some(apart(Duration::from_millis(u64::try_from(millis).unwrap_or_default()))))
    }
}

/// How far a clock that says this, since 1970, is from the one here.
fn apart(there: Duration) -> Duration {
    let (there, here) = (UNIX_EPOCH + there, SystemTime::now());
    there.duration_since(here).unwrap_or_else(|error| error.duration())
}

async fn redis_clock(url: &str, options: &StoreOptions) -> anyhow::Result<Duration> {
    let servers = match RedisAddress::of(url)? {
        Some(RedisAddress::Cluster(nodes)) => nodes,
        Some(RedisAddress::Sentinel { sentinels, primary }) => {
            let mut named = Err(anyhow::anyhow!("no Sentinel is named"));
            for sentinel in sentinels {
                named = primary_of(&sentinel, &primary, options).await;
                if named.is_ok() {
                    break;
                }
            }
            vec![named?]
        }
        _ => vec![url.to_owned()],
    };
    let mut furthest = None;
    let mut failed = None;
    for server in servers {
        match redis_time(&server, options).await {
            Ok(time) => furthest = furthest.max(Some(apart(time))),
            Err(error) => failed = Some(error),
        }
    }
    // Of a cluster, a node may be away.
    furthest.ok_or_else(|| failed.unwrap_or_else(|| anyhow::anyhow!("no server is named")))
}

/// The address of the primary, as a Sentinel tells it. `primary` is the one with its name as the host.
async fn primary_of(sentinel: &str, primary: &str, options: &StoreOptions) -> anyhow::Result<String> {
    let mut primary = url::Url::parse(primary)?;
    let mut command = redis::cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(primary.host_str());
    let (host, port): (String, u16) = command.query_async(&mut connect(sentinel, options).await?).await?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    primary.set_host(Some(&host))?;
    primary.set_port(Some(port)).map_err(|()| anyhow::anyhow!("a Sentinel tells no address"))?;
    Ok(primary.into())
}

async fn redis_time(server: &str, options: &StoreOptions) -> anyhow::Result<Duration> {
    let mut connection = connect(server, options).await?;
    let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(micros))
}

async fn connect(server: &str, options: &StoreOptions) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let (root_cert, client_tls) = (roots(options)?, client_certificate(options)?);
    let certificates = redis::TlsCertificates {
        root_cert,
        client_tls: client_tls
            .map(|(client_cert, client_key)| redis::ClientTlsConfig { client_cert, client_key }),
    };
    // Sentinels may be asked in clear.
    let client = match server.starts_with("rediss:") {
        true => redis::Client::build_with_tls(server, certificates)?,
        false => redis::Client::open(server)?,
    };
    Ok(client.get_multiplexed_async_connection().await?)
}

/// The certificates of a private authority.
fn roots(options: &StoreOptions) -> anyhow::Result<Option<Vec<u8>>> {
    options.root_certificates.as_deref().map(read).transpose()
}

/// The certificate and the key that are shown to servers.
fn client_certificate(options: &StoreOptions) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let (Some(certificate), Some(key)) = (&options.client_certificate, &options.client_key) else {
        return Ok(None);
    };
    Ok(Some((read(certificate)?, read(key)?)))
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {file:?}"))
}
