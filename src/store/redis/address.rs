//! The address of a server: what of TLS and of the network belongs to it.

use std::net::IpAddr;
use std::time::Duration;

use redis::io::tcp::socket2::TcpKeepalive;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError};

use crate::error::StoreError;

/// After what time without traffic the system asks whether the other end is still there. Networks in between
/// forget a connection that is silent for some minutes: load balancers of Azure after 4, of AWS after 6.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// After what time the system drops a connection whose packets nobody acknowledges. The default is some 15
/// minutes on Linux.
#[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificates of connections over TLS.
#[derive(Clone, Default)]
pub(super) struct Certificates {
    /// Those of the authorities, in PEM. `None`: those that the system trusts.
    #[cfg(feature = "tls")]
    pub(super) roots: Option<Vec<u8>>,
    /// The store's own, and its key.
    #[cfg(feature = "tls")]
    pub(super) client: Option<redis::ClientTlsConfig>,
}

impl Certificates {
    /// As the driver takes them, if there are any.
    #[cfg(feature = "tls")]
    pub(super) fn given(&self) -> Option<redis::TlsCertificates> {
        let (root_cert, client_tls) = (self.roots.clone(), self.client.clone());
        (root_cert.is_some() || client_tls.is_some())
            .then_some(redis::TlsCertificates { client_tls, root_cert })
    }

    #[cfg(feature = "tls")]
    fn add_to(&self, address: ConnectionInfo) -> Result<ConnectionInfo, StoreError> {
        if is_tls(&address) {
            crate::store::provider::ensure();
        }
        let Some(certificates) = self.given() else { return Ok(address) };
        if !is_tls(&address) {
            return Err(StoreError::unavailable(
                "the store has certificates, and an address does not ask for TLS: write `rediss://` in it",
            ));
        }
        let client = redis::Client::build_with_tls(address, certificates).map_err(StoreError::unavailable)?;
        Ok(client.get_connection_info().clone())
    }

    #[cfg(not(feature = "tls"))]
    fn add_to(&self, address: ConnectionInfo) -> Result<ConnectionInfo, StoreError> {
        Ok(address)
    }
}

/// Reads an address, and adds what the store wants of the connection.
pub(super) fn prepare(
    address: impl IntoConnectionInfo,
    certificates: &Certificates,
) -> Result<ConnectionInfo, StoreError> {
    let no_tls =
        || StoreError::unavailable("the address asks for TLS: build `sessile` with the feature `tls`");
    let address = address
        .into_connection_info()
        .map_err(|error| if asks_for_tls(&error) { no_tls() } else { StoreError::unavailable(error) })?;
    if is_tls(&address) && !address.addr().is_supported() {
        return Err(no_tls());
    }
    Ok(watched(undelayed(certificates.add_to(address)?)))
}

/// Whether the driver refuses an address because it is compiled without TLS.
fn asks_for_tls(error: &RedisError) -> bool {
    cfg!(not(feature = "tls"))
        && error.kind() == redis::ErrorKind::InvalidClientConfig
        && error.to_string().contains("TLS")
}

pub(super) fn is_tls(address: &ConnectionInfo) -> bool {
    matches!(address.addr(), ConnectionAddr::TcpTls { .. })
}

/// The address with a time after which the system drops a connection that has died, unless it says one
/// itself.
pub(super) fn watched(address: ConnectionInfo) -> ConnectionInfo {
    let mut tcp = address.tcp_settings().clone();
    if tcp.keepalive().is_none() {
        tcp = tcp.set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    if tcp.user_timeout().is_none() {
        tcp = tcp.set_user_timeout(USER_TIMEOUT);
    }
    address.set_tcp_settings(tcp)
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
