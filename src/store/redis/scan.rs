//! `len`, `clear` and `ids` of [`RedisStore`]: they scan all keys with the prefix, on each node of a cluster.

use std::any::Any;
use std::collections::HashSet;
use std::future::ready;

use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use redis::aio::{ConnectionLike, ConnectionManager, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue as _, RedisResult, Value};

use super::RedisStore;
use super::mark::is_beside;
use super::users::is_user_key;
use crate::error::StoreError;
use crate::id::SessionId;
use crate::store::retry::with_timeout;

/// How many keys the server looks at in one step of a scan: many, to need few round trips, but not so many
/// that a step delays other clients noticeably.
const KEYS_PER_STEP: u32 = 1000;

/// Why `len` and `clear` are refused without a prefix.
const EMPTY_PREFIX: &str = "with an empty prefix every key of the database counts as a session: \
    give the sessions a prefix with `RedisStore::prefix`, or use `DBSIZE` and `FLUSHDB` if the database holds nothing else";

/// A server that holds keys.
trait Node: Send {
    fn send(&mut self, command: Cmd) -> impl Future<Output = RedisResult<Value>> + Send;
}

/// The only server.
struct Single<C>(C);

impl<C: ConnectionLike + Send> Node for Single<C> {
    async fn send(&mut self, command: Cmd) -> RedisResult<Value> {
        self.0.req_packed_command(&command).await
    }
}

/// The primary of one part of a cluster.
struct Primary {
    cluster: ClusterConnection,
    host: String,
    port: u16,
}

impl Node for Primary {
    async fn send(&mut self, command: Cmd) -> RedisResult<Value> {
        let at = SingleNodeRoutingInfo::ByAddress { host: self.host.clone(), port: self.port };
        self.cluster.route_command(command, RoutingInfo::SingleNode(at)).await
    }
}

impl<C: ConnectionLike + Clone + Send + Sync + 'static> RedisStore<C> {
    /// The keys with the prefix on these nodes. It is a set because a scan may return a key twice.
    ///
    /// An empty prefix is refused: every key would have it, those of other programs included.
    async fn keys(&self, nodes: Vec<impl Node>) -> Result<HashSet<Vec<u8>>, StoreError> {
        let pages = nodes.into_iter().map(|node| self.pages(node));
        stream::iter(pages)
            .flatten()
            .try_fold(HashSet::new(), async |mut keys, page| {
                keys.extend(page);
                Ok(keys)
            })
            .await
    }

    /// The keys with the prefix on a node, a few at a time. A key may come twice.
    fn pages<N: Node>(&self, node: N) -> impl Stream<Item = Result<Vec<Vec<u8>>, StoreError>> + Send {
        stream::try_unfold(Some((node, 0_u64)), async move |place| {
            let Some((mut node, cursor)) = place else { return Ok(None) };
            if self.settings.prefix.is_empty() {
                return Err(StoreError::unavailable(EMPTY_PREFIX));
            }
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(pattern(&self.settings.prefix)).arg("COUNT").arg(KEYS_PER_STEP);
            let step = async {
                let answer = node.send(scan).await.map_err(StoreError::unavailable)?;
                <(u64, Vec<Vec<u8>>)>::from_redis_value(answer).map_err(StoreError::unavailable)
            };
            let (next, mut found) = with_timeout(self.settings.timeout, step).await?;
            let prefix = &self.settings.prefix;
            found.retain(|key| !is_user_key(prefix, key) && !is_beside(prefix, key));
            Ok(Some((found, (next != 0).then_some((node, next)))))
        })
    }

    /// The ids of the sessions, on each node of a cluster.
    pub(super) fn scanned_ids(&self) -> BoxStream<'_, Result<SessionId, StoreError>> {
        let nodes = async move {
            let connection = self.any_connection().await?;
            let cluster = (&connection as &dyn Any).downcast_ref::<ClusterConnection>();
            Ok::<_, StoreError>(match cluster {
                Some(cluster) => {
                    primaries(cluster).await?.into_iter().map(|node| self.pages(node).boxed()).collect()
                }
                None => vec![self.pages(Single(connection)).boxed()],
            })
        };
        let id = |key: Vec<u8>| {
            let id = std::str::from_utf8(key.strip_prefix(self.settings.prefix.as_bytes())?).ok()?;
            SessionId::new(id).ok().map(Ok)
        };
        stream::once(nodes)
            .map_ok(|nodes: Vec<_>| stream::iter(nodes).flatten())
            .try_flatten()
            .map_ok(move |page| stream::iter(page).filter_map(move |key| ready(id(key))))
            .try_flatten()
            .boxed()
    }

    async fn any_connection(&self) -> Result<C, StoreError> {
        let connecting = async { self.connections.first().await.map_err(StoreError::unavailable) };
        with_timeout(self.settings.timeout, connecting).await
    }

    async fn remove(&self, keys: HashSet<Vec<u8>>) -> Result<(), StoreError> {
        let mut connection = self.any_connection().await?;
        for key in keys {
            let mut unlink = redis::cmd("UNLINK");
            unlink.arg(key);
            let step =
                async { unlink.query_async::<()>(&mut connection).await.map_err(StoreError::unavailable) };
            with_timeout(self.settings.timeout, step).await?;
        }
        Ok(())
    }
}

macro_rules! len_and_clear {
    ($connection:ty, $nodes:ident) => {
        impl RedisStore<$connection> {
            /// How many sessions there are. This scans all keys of the server.
            ///
            /// # Errors
            /// [`StoreError::unavailable`], also when the [`prefix`](Self::prefix) is empty.
            pub async fn len(&self) -> Result<usize, StoreError> {
                Ok(self.keys($nodes(&self.any_connection().await?).await?).await?.len())
            }

            /// Whether there is no session.
            ///
            /// # Errors
            /// Those of [`len`](Self::len).
            pub async fn is_empty(&self) -> Result<bool, StoreError> {
                Ok(self.len().await? == 0)
            }

            /// Removes every session. Keys without the prefix stay.
            ///
            /// # Errors
            /// [`StoreError::unavailable`], also when the [`prefix`](Self::prefix) is empty: every key of the
            /// database would be removed.
            pub async fn clear(&self) -> Result<(), StoreError> {
                let keys = self.keys($nodes(&self.any_connection().await?).await?).await?;
                self.remove(keys).await
            }
        }
    };
}

len_and_clear!(ConnectionManager, single);
len_and_clear!(MultiplexedConnection, single);
len_and_clear!(ClusterConnection, primaries);

async fn single<C: ConnectionLike + Clone + Send>(connection: &C) -> Result<Vec<Single<C>>, StoreError> {
    Ok(vec![Single(connection.clone())])
}

async fn primaries(cluster: &ClusterConnection) -> Result<Vec<Primary>, StoreError> {
    // An entry is the first and the last slot of a range, and its nodes, each as host, port and more. The
    // primary is the first node, and the only one that is read here.
    type Slots = Vec<(u16, u16, (String, u16, Value, Value))>;
    let mut connection = cluster.clone();
    let answer: Value = redis::cmd("CLUSTER")
        .arg("SLOTS")
        .query_async(&mut connection)
        .await
        .map_err(StoreError::unavailable)?;
    let slots = Slots::from_redis_value(answer).map_err(StoreError::unavailable)?;
    let addresses: HashSet<_> = slots.into_iter().map(|(_, _, (host, port, ..))| (host, port)).collect();
    Ok(addresses.into_iter().map(|(host, port)| Primary { cluster: cluster.clone(), host, port }).collect())
}

/// A glob pattern that matches the prefix literally, and anything after it.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for letter in prefix.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('*');
    pattern
}
