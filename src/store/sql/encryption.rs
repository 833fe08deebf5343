//! Whether a connection to a server is encrypted, and what is said if it is not.

use std::net::IpAddr;

use sqlx::Error;

use crate::error::{StoreError, cause};

/// A URL asks for TLS, and the driver was built without it.
#[derive(Debug, thiserror::Error)]
#[error("the URL asks for TLS, which needs the feature `tls` of sessile")]
struct TlsFeatureMissing(#[source] Error);

/// Makes the connections of a store. `connect` makes them; its argument says whether only with TLS.
///
/// `prefers` says that the URL leaves it open, as `sqlx` does by default: TLS if the server has it. TLS is
/// then asked for first, and if that succeeds no later connection is made without it. If the server has no
/// TLS, or if the driver was built without it, there is a warning.
pub(super) async fn connect<P, F>(prefers: bool, connect: impl Fn(bool) -> F) -> Result<P, StoreError>
where
    F: Future<Output = Result<P, Error>>,
{
    if prefers {
        match connect(true).await {
            Err(error) if is_without_tls(&error) => tracing::warn!(
                reason = cause(&error),
                "the connections to the session store are not encrypted; with the feature `tls` and \
                 `sslmode=verify-full` (MySQL: `ssl-mode=VERIFY_IDENTITY`) in its URL they are, and \
                 `sslmode=disable` silences this warning"
            ),
            answer => return answer.map_err(StoreError::unavailable),
        }
    }
    connect(false).await.map_err(|error| match error {
        Error::Tls(_) if !driver_has_tls(&error) => StoreError::unavailable(TlsFeatureMissing(error)),
        error => StoreError::unavailable(error),
    })
}

/// Prepares for a connection that checks the certificate of the server.
pub(super) fn prepare_for_certificates() {
    #[cfg(feature = "tls")]
    crate::store::provider::ensure();
}

/// Whether nobody but this machine can read the connections to a host.
pub(super) fn is_this_machine(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse();
    host == "localhost" || address.is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether there was no TLS to be had. Any other error of TLS, a certificate say, is none of these.
fn is_without_tls(error: &Error) -> bool {
    // `sqlx` has no other sign of it than these texts.
    matches!(error, Error::Tls(why) if why.to_string().contains("not support TLS")) || !driver_has_tls(error)
}

fn driver_has_tls(error: &Error) -> bool {
    !matches!(error, Error::Tls(why) if why.to_string().contains("built without TLS support"))
}
