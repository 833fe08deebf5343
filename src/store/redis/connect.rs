//! How [`RedisStore`] connects to a server or a cluster.

use std::net::IpAddr;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use super::RedisStore;
use crate::error::StoreError;
use crate::store::retry::{DEFAULT_TIMEOUT, with_timeout};

/// How many connections [`RedisStore::connect`] makes.
///
/// Commands that wait for the same connection are sent in one batch, and answered in one. With a single
/// connection the server is idle while the client handles a batch, and the client while the server does. More
/// connections let both work at the same time. Writes did better over three than over four.
const CONNECTIONS: usize = 3;

impl RedisStore<ConnectionManager> {
    /// Connects to one server.
    ///
    /// All sessions share three connections, which reconnect when they drop. They use `TCP_NODELAY` unless
    /// the server is on this machine.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when the address is wrong or the server does not answer.
    pub async fn connect(address: impl IntoConnectionInfo) -> Result<Self, StoreError> {
        let address = undelayed(address.into_connection_info().map_err(StoreError::unavailable)?);
        let client = Client::open(address).map_err(StoreError::unavailable)?;
        // The store has a timeout of its own, which includes the retry.
        let config = ConnectionManagerConfig::new().set_response_timeout(None).set_number_of_retries(1);
        let connecting = async {
            let mut connections = Vec::with_capacity(CONNECTIONS);
            for _ in 0..CONNECTIONS {
                let connecting = ConnectionManager::new_with_config(client.clone(), config.clone());
                connections.push(connecting.await.map_err(StoreError::unavailable)?);
            }
            Ok(connections)
        };
        Ok(Self::over(with_timeout(DEFAULT_TIMEOUT, connecting).await?))
    }
}

impl RedisStore<ClusterConnection> {
    /// Connects to a cluster through some of its nodes. The connections use `TCP_NODELAY`.
    ///
    /// If a connection drops, the driver itself sends the command again, and does not say so. If a node had
    /// carried it out, an [`update`](crate::Session::update) may count twice, and a record may be left under
    /// an id that nobody has, until it expires.
    ///
    /// # Errors
    /// [`StoreError::unavailable`] when an address is wrong or no node answers.
    pub async fn connect_cluster<A: IntoConnectionInfo>(
        nodes: impl IntoIterator<Item = A>,
    ) -> Result<Self, StoreError> {
        let tcp = TcpSettings::default().set_nodelay(true);
        let client = ClusterClient::builder(nodes).retries(3).tcp_settings(tcp);
        let client = client.build().map_err(StoreError::unavailable)?;
        let connecting = client.get_async_connection();
        let connection =
            with_timeout(DEFAULT_TIMEOUT, async { connecting.await.map_err(StoreError::unavailable) })
                .await?;
        Ok(Self::new(connection))
    }
}

/// The address with `TCP_NODELAY`, unless the server is on this machine.
///
/// Without `TCP_NODELAY` a command may wait until the answer to the previous one has crossed the network
/// (Nagle's algorithm). On one machine that wait is negligible, and fewer packets are less work for both
/// ends.
fn undelayed(address: ConnectionInfo) -> ConnectionInfo {
    let host = match address.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => &**host,
        _ => return address,
    };
    let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()) {
        return address;
    }
    let tcp = address.tcp_settings().clone().set_nodelay(true);
    address.set_tcp_settings(tcp)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nodelay_is_set_over_a_network_only() {
        for (address, nodelay) in [
            ("redis://127.0.0.1", false),
            ("redis://localhost:7000/2", false),
            ("redis://[::1]:7000", false),
            ("redis+unix:///run/redis.sock", false),
            ("redis://user:pass@10.1.2.3", true),
            ("redis://cache.internal:7000/2", true),
        ] {
            let address = address.into_connection_info().unwrap();
            let tcp = address.tcp_settings().clone().set_linger_time(Duration::from_secs(3));
            let address = address.set_tcp_settings(tcp.clone());
            // Every other setting stays.
            let expected = address.clone().set_tcp_settings(tcp.set_nodelay(nodelay));
            assert_eq!(format!("{:?}", undelayed(address)), format!("{expected:?}"));
        }
    }
}
