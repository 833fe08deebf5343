//! The ways to connect a [`RedisStore`], and [`RedisStoreBuilder`]: the options that have to be known before.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::IntoConnectionInfo;
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;

use super::address::Certificates;
use super::connect::{cluster, sentinel, single};
use super::connections::Connections;
use super::{RedisStore, Settings};
use crate::error::StoreError;

impl RedisStore {
    /// Sets options before the store connects: its prefix, its timeout, its certificates.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::default()
    }

    /// Connects to one server.
    ///
    /// All sessions share three connections, which are replaced when they drop, when they fall silent, and
    /// when their server has become a replica. They use `TCP_NODELAY` unless the server is on this machine.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or asks for TLS without the feature `tls`, when
    /// the server does not answer, and when it refuses the password or a command; the source says which.
    /// Rights to the keys are tried only by [`check`](crate::SessionStore::check) and by a
    /// [`builder`](Self::builder) with a prefix.
    pub async fn connect(address: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        Self::builder().connect(address).await
    }
}

impl RedisStore<ClusterConnection> {
    /// Connects to a cluster through some of its nodes. The connections use `TCP_NODELAY`.
    ///
    /// With TLS, all nodes are addressed as `rediss://`, and each one's certificate has to be for the name
    /// that the cluster announces for it: an IP address, unless `cluster-announce-hostname` and
    /// `cluster-preferred-endpoint-type hostname` are set.
    ///
    /// If a connection drops, the driver itself sends the command again, and does not say so. If a node had
    /// carried it out, a record may be left under an id that nobody has, until it expires.
    ///
    /// # Errors
    /// Those of [`RedisStore::connect`].
    pub async fn connect_cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<Self, StoreError> {
        RedisStore::builder().connect_cluster(nodes).await
    }
}

impl RedisStore<MultiplexedConnection> {
    /// Connects to the primary that Sentinels name, and after a fail-over to the new one. `primary` is an
    /// address with the name of the primary in the place of the host, and holds the user, the password and
    /// the database there: `redis://user:password@mymaster/0`. The addresses of the Sentinels hold their own;
    /// one user serves for all of them.
    ///
    /// The server's user needs the right `+role` as well.
    ///
    /// With TLS, each address says for itself whether it is used: `rediss://user:password@mymaster/0` for the
    /// servers, `rediss://` for each Sentinel. The certificate of a server has to be for the name that the
    /// Sentinels announce: an IP address, unless `sentinel announce-hostnames` is set.
    ///
    /// # What a fail-over may cost
    /// Redis answers a write before its replicas have it. What the old primary had not passed on when it
    /// failed is lost; `min-replicas-to-write` on the servers bounds that. A write that the new primary has
    /// is not lost.
    ///
    /// # Errors
    /// Those of [`RedisStore::connect`], and when no Sentinel knows the primary.
    pub async fn connect_sentinel<A: IntoConnectionInfo>(
        sentinels: impl IntoIterator<Item = A>,
        primary: impl IntoConnectionInfo,
    ) -> Result<Self, StoreError> {
        RedisStore::builder().connect_sentinel(sentinels, primary).await
    }
}

/// Builds a [`RedisStore`]: sets what it has to know before it connects.
///
/// The store is connected and checked when the last call returns, with the builder's prefix: an error there
/// names a wrong password or a missing right.
///
/// ```no_run
/// use sessile::RedisStore;
///
/// # async fn start() -> Result<(), sessile::StoreError> {
/// let store = RedisStore::builder()
///     .prefix("shop:")
///     .connect_sentinel(
///         ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"],
///         "redis://shop:password@mymaster/0",
///     )
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
#[must_use = "call `.connect(address).await`"]
pub struct RedisStoreBuilder {
    settings: Arc<Settings>,
    is_prefix_set: bool,
    certificates: Certificates,
}

impl RedisStoreBuilder {
    /// Sets the prefix of every key: see [`RedisStore::prefix`]. Default: `sess:`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.settings).prefix = prefix.into();
        self.is_prefix_set = true;
        self
    }

    /// Sets the longest that one operation may take: see [`RedisStore::timeout`]. Default: 5 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.settings).timeout = timeout;
        self
    }

    /// Whether the store announces which sessions end, and hears of those that others end. Default: no.
    ///
    /// The store then publishes the id of each session that it ends on the channel `sessile:ended:` with its
    /// prefix, and [`watch`](crate::SessionStore::watch) listens to that channel, over a connection of its
    /// own. Nobody waits for the announcement, and a logout does not fail because of it.
    ///
    /// `watch` also hears of the keys of its database that are removed, expire or are evicted, so of logouts
    /// in Express as well, where the server tells so: `CONFIG SET notify-keyspace-events Egxe`. Without that,
    /// and on a cluster, whose nodes tell this of their own keys alone, it hears of the announcements only.
    ///
    /// The user of the connection needs `+publish +subscribe &sessile:ended:*`, and `&__keyevent@0__:*` to
    /// hear of keys in database 0. The ids of sessions are all that somebody who hears the channel learns; a
    /// cookie holds a signature as well.
    pub fn announce_ends(mut self, announce: bool) -> Self {
        Arc::make_mut(&mut self.settings).announce_ends = announce;
        self
    }

    /// The certificates of the authorities that sign the servers' certificates, in PEM. Default: those that
    /// the system trusts.
    ///
    /// They take the place of the system's. Every address then has to ask for TLS, `rediss://`, except that
    /// Sentinels may be asked in clear.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots = Some(pem.into());
        self
    }

    /// The certificate and the private key, both in PEM, that the store shows to servers which ask for one.
    /// Default: none.
    #[cfg(feature = "tls")]
    pub fn client_certificate(
        mut self,
        certificate_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        let (client_cert, client_key) = (certificate_pem.into(), key_pem.into());
        self.certificates.client = Some(redis::ClientTlsConfig { client_cert, client_key });
        self
    }

    /// Connects to one server: see [`RedisStore::connect`].
    ///
    /// # Errors
    /// Those of [`RedisStore::connect`].
    pub async fn connect(
        self,
        address: impl IntoConnectionInfo,
    ) -> Result<RedisStore<ConnectionManager>, StoreError> {
        let connections = single(address, &self.certificates)?;
        self.checked(connections).await
    }

    /// Connects to a cluster: see [`RedisStore::connect_cluster`].
    ///
    /// # Errors
    /// Those of [`RedisStore::connect_cluster`].
    pub async fn connect_cluster<A: IntoConnectionInfo>(
        self,
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<RedisStore<ClusterConnection>, StoreError> {
        let connections = cluster(nodes, &self.certificates)?;
        self.checked(connections).await
    }

    /// Connects through Sentinels: see [`RedisStore::connect_sentinel`].
    ///
    /// # Errors
    /// Those of [`RedisStore::connect_sentinel`].
    pub async fn connect_sentinel<A: IntoConnectionInfo>(
        self,
        sentinels: impl IntoIterator<Item = A>,
        primary: impl IntoConnectionInfo,
    ) -> Result<RedisStore<MultiplexedConnection>, StoreError> {
        let connections = sentinel(sentinels, primary, &self.certificates)?;
        self.checked(connections).await
    }

    async fn checked<C: ConnectionLike + Clone + Send + Sync + 'static>(
        self,
        connections: Connections<C>,
    ) -> Result<RedisStore<C>, StoreError> {
        let store = RedisStore::over(connections, self.settings);
        if self.is_prefix_set {
            store.check_rights_and_keys().await?;
        } else {
            store.check_rights().await?;
        }
        Ok(store)
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.settings.prefix)
            .field("timeout", &self.settings.timeout)
            .finish_non_exhaustive()
    }
}
