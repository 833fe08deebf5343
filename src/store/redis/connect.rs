//! How a [`RedisStore`] connects: to a server, to a cluster, or through Sentinels.

use std::sync::Arc;

use futures_util::FutureExt as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo,
    RedisResult, TlsMode,
};
use tokio::sync::Mutex;

use super::address::{Certificates, is_tls, prepare};
use super::connections::{Connections, Listener, Replacement};
use crate::error::StoreError;

/// How many connections a store makes to one server.
///
/// Commands that wait for the same connection are sent in one batch, and answered in one. With a single
/// connection the server is idle while the client handles a batch, and the client while the server does. More
/// connections let both work at the same time. Writes did better over three than over four.
const CONNECTIONS: usize = 3;

pub(super) fn single(
    address: impl IntoConnectionInfo,
    certificates: &Certificates,
) -> Result<Connections<ConnectionManager>, StoreError> {
    let client = Client::open(prepare(address, certificates)?).map_err(StoreError::unavailable)?;
    let database = Some(client.get_connection_info().redis_settings().db());
    let listening = client.clone();
    let listen = move || {
        let client = listening.clone();
        async move { client.get_async_pubsub().await }.boxed()
    };
    let listener = Listener { connect: Box::new(listen), database };
    // The store has a timeout of its own, which includes the retry.
    let config = ConnectionManagerConfig::new().set_response_timeout(None).set_number_of_retries(1);
    let connect = move || {
        let (client, config) = (client.clone(), config.clone());
        // It connects when it is first used, and again when that has failed.
        async move { ConnectionManager::new_lazy_with_config(client, config) }.boxed()
    };
    let replacement = Replacement { connect: Box::new(connect), driver_reconnects: true };
    Ok(Connections::new(CONNECTIONS, replacement, listener))
}

pub(super) fn cluster<A: IntoConnectionInfo>(
    nodes: impl IntoIterator<Item = A>,
    certificates: &Certificates,
) -> Result<Connections<ClusterConnection>, StoreError> {
    let nodes: Result<Vec<_>, _> = nodes.into_iter().map(|node| prepare(node, certificates)).collect();
    let nodes = nodes?;
    let tcp = nodes.first().map(|node| node.tcp_settings().clone().set_nodelay(true)).unwrap_or_default();
    let addresses: Arc<[_]> = nodes.clone().into();
    let listen = move || listen_to_any(Arc::clone(&addresses)).boxed();
    let listener = Listener { connect: Box::new(listen), database: None };
    let client = ClusterClient::builder(nodes).retries(3).tcp_settings(tcp);
    #[cfg(feature = "tls")]
    let client = match certificates.given() {
        Some(certificates) => client.certs(certificates),
        None => client,
    };
    let client = client.build().map_err(StoreError::unavailable)?;
    let connect = move || {
        let client = client.clone();
        async move { client.get_async_connection().await }.boxed()
    };
    let replacement = Replacement { connect: Box::new(connect), driver_reconnects: true };
    Ok(Connections::new(1, replacement, listener))
}

/// Listens to the first node that can be reached. A node announces what was published on any other one.
async fn listen_to_any(nodes: Arc<[ConnectionInfo]>) -> RedisResult<PubSub> {
    let mut answer = Err((ErrorKind::InvalidClientConfig, "a cluster without nodes").into());
    for node in nodes.iter().cloned() {
        answer = Client::open(node)?.get_async_pubsub().await;
        if answer.is_ok() {
            break;
        }
    }
    answer
}

pub(super) fn sentinel<A: IntoConnectionInfo>(
    sentinels: impl IntoIterator<Item = A>,
    primary: impl IntoConnectionInfo,
    certificates: &Certificates,
) -> Result<Connections<MultiplexedConnection>, StoreError> {
    let sentinels: Result<Vec<_>, StoreError> = sentinels
        .into_iter()
        .map(|sentinel| {
            let sentinel = prepare(sentinel, &Certificates::default())?;
            // A Sentinel may be asked in clear: a server that it does not speak for has not the certificate
            // that the primary has to show.
            if is_tls(&sentinel) { prepare(sentinel, certificates) } else { Ok(sentinel) }
        })
        .collect();
    let sentinels = sentinels?;
    let primary = prepare(primary, certificates)?;
    let client = sentinel_client(&sentinels, &primary, certificates)?;
    let client = Arc::new(Mutex::new(client.build().map_err(StoreError::unavailable)?));
    let listening = Arc::clone(&client);
    let listen = move || {
        let client = Arc::clone(&listening);
        async move {
            let primary = client.lock().await.async_get_client().await?;
            primary.get_async_pubsub().await
        }
        .boxed()
    };
    let listener = Listener { connect: Box::new(listen), database: Some(primary.redis_settings().db()) };
    // The store has a timeout of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connect = move || {
        let (client, config) = (Arc::clone(&client), config.clone());
        async move {
            let primary = client.lock().await.async_get_client().await?;
            primary.get_multiplexed_async_connection_with_config(&config).await
        }
        .boxed()
    };
    let replacement = Replacement { connect: Box::new(connect), driver_reconnects: false };
    Ok(Connections::new(CONNECTIONS, replacement, listener))
}

/// The driver's client of Sentinels. The host of `primary` is the name under which they know it; all else of
/// it holds for the server itself.
fn sentinel_client(
    sentinels: &[ConnectionInfo],
    primary: &ConnectionInfo,
    certificates: &Certificates,
) -> Result<SentinelClientBuilder, StoreError> {
    let (name, tls) = match primary.addr() {
        ConnectionAddr::Tcp(name, _) => (name, None),
        ConnectionAddr::TcpTls { host, insecure: false, .. } => (host, Some(TlsMode::Secure)),
        ConnectionAddr::TcpTls { host, insecure: true, .. } => (host, Some(TlsMode::Insecure)),
        _ => return Err(StoreError::unavailable("the primary of Sentinels has no socket")),
    };
    let addresses = sentinels.iter().map(|sentinel| sentinel.addr().clone());
    let mut client = SentinelClientBuilder::new(addresses, name, SentinelServerType::Master)
        .map_err(StoreError::unavailable)?
        .set_client_to_redis_tcp_settings(primary.tcp_settings().clone().set_nodelay(true))
        .set_client_to_redis_db(primary.redis_settings().db())
        .set_client_to_redis_protocol(primary.redis_settings().protocol());
    if let Some(tls) = tls {
        client = client.set_client_to_redis_tls_mode(tls);
    }
    if let Some(name) = primary.redis_settings().username() {
        client = client.set_client_to_redis_username(name);
    }
    if let Some(password) = primary.redis_settings().password() {
        client = client.set_client_to_redis_password(password);
    }
    // The driver takes one user for all Sentinels.
    if let Some(first) = sentinels.first() {
        client = client.set_client_to_sentinel_tcp_settings(first.tcp_settings().clone());
        if let Some(name) = first.redis_settings().username() {
            client = client.set_client_to_sentinel_username(name);
        }
        if let Some(password) = first.redis_settings().password() {
            client = client.set_client_to_sentinel_password(password);
        }
    }
    #[cfg(feature = "tls")]
    if let Some(certificates) = certificates.given() {
        client = client.set_client_to_redis_certificates(certificates);
    }
    #[cfg(not(feature = "tls"))]
    let _ = certificates;
    Ok(client)
}
