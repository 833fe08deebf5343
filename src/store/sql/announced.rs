//! The ends of sessions that a Postgres server announces.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sqlx::Error;
use sqlx::postgres::{PgListener, PgPool, PgPoolOptions};

use super::statements::Settings;
use crate::error::{StoreError, cause};
use crate::id::SessionId;
use crate::store::retry::with_timeout;

/// How long a connection may say nothing before it is asked whether it is still there. A load balancer
/// forgets an idle connection after some minutes, and a host that is gone says nothing at all.
const SILENCE: Duration = Duration::from_secs(60);

/// Listens on a connection of its own, made when the stream is first polled, until the connection is lost.
pub(super) fn ends(pool: &PgPool, settings: &Arc<Settings>) -> Option<BoxStream<'static, SessionId>> {
    let channel = settings.ends_channel()?;
    let (options, timeout) = (pool.connect_options(), settings.timeout);
    let listening = async move {
        let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let connect = async {
            let mut listener = PgListener::connect_with(&own.connect_lazy_with((*options).clone())).await?;
            listener.eager_reconnect(false);
            listener.listen(&channel).await.map(|()| listener)
        };
        match with_limit(timeout, connect).await {
            Ok(listener) => stream::unfold(listener, move |listener| next(listener, timeout)).boxed(),
            Err(error) => {
                tracing::debug!(
                    error = cause(&error),
                    "the ends of sessions that the store announces cannot be heard"
                );
                stream::empty().boxed()
            }
        }
    };
    Some(stream::once(listening).flatten().boxed())
}

/// The next id. `None` when the connection is lost.
async fn next(mut listener: PgListener, timeout: Duration) -> Option<(SessionId, PgListener)> {
    loop {
        match tokio::time::timeout(SILENCE, listener.try_recv()).await {
            Ok(said) => {
                // Another program may have said something that is no id.
                if let Ok(id) = SessionId::parse(said.ok()??.payload()) {
                    return Some((id, listener));
                }
            }
            Err(_) => {
                with_limit(timeout, sqlx::query("SELECT 1").execute(&mut listener)).await.ok()?;
            }
        }
    }
}

async fn with_limit<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, StoreError> {
    with_timeout(timeout, async { work.await.map_err(StoreError::unavailable) }).await
}
