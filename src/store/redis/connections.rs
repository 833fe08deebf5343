//! The connections of a [`RedisStore`](super::RedisStore), and when another one takes the place of each.
//!
//! redis-rs reconnects when a connection drops. It keeps a connection that has fallen silent, because a
//! network in between has forgotten it, and one to a server that has become a replica. These are replaced
//! here.

use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::PubSub;
use redis::{ErrorKind, FromRedisValue, RedisError, RedisResult};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::commands::Command;
use super::conditional::Ways;
use crate::store::retry::DriverError;
use crate::sync::lock;

/// How old a connection is at least when another one takes its place. While a server refuses or cannot be
/// reached, this bounds how often the store connects.
const MIN_AGE: u64 = 200;

/// Makes a connection.
pub(super) type Connector<C> = Box<dyn Fn() -> BoxFuture<'static, RedisResult<C>> + Send + Sync>;

pub(super) struct Connections<C> {
    /// Invariant: there is at least one. [`slot`](Self::slot) relies on that.
    slots: Vec<Slot<C>>,
    replacement: Option<Replacement<C>>,
    /// `None`: the connection is one from outside.
    pub(super) listener: Option<Listener>,
    /// Done once the store has said that writes cost more than they need to.
    pub(super) dear_writes: Once,
    /// All times of the connections are milliseconds since this moment.
    began: Instant,
}

/// How a connection is replaced.
pub(super) struct Replacement<C> {
    pub(super) connect: Connector<C>,
    /// Whether the driver connects again when a connection drops.
    pub(super) driver_reconnects: bool,
}

/// How the store listens to what the server announces.
pub(super) struct Listener {
    pub(super) connect: Connector<PubSub>,
    /// The database whose keys hold the sessions. `None`: the keys are on several servers, and none of them
    /// announces the events of another one's keys.
    pub(super) database: Option<i64>,
}

/// The place of one connection.
type Slot<C> = Mutex<Arc<Line<C>>>;

/// One connection, and what was heard over it.
pub(super) struct Line<C> {
    connection: Shared<BoxFuture<'static, RedisResult<C>>>,
    made: u64,
    /// When the first question was asked that is still unanswered; 0 if there is none.
    ///
    /// The answer to a question of a request that was dropped is not noticed. If the next request is dropped
    /// as well, much later, the connection is replaced without need.
    asked: AtomicU64,
    /// When the last answer came; at first, when the connection was made.
    answered: AtomicU64,
    /// What the server knows of conditional commands.
    pub(super) ways: Ways,
}

impl<C: Clone + Send + Sync + 'static> Connections<C> {
    /// A connection from outside, which cannot be replaced.
    pub(super) fn of(connection: C) -> Self {
        let began = Instant::now();
        let line = Line::new(std::future::ready(Ok(connection)).boxed(), 1);
        let dear_writes = Once::new();
        Self { slots: vec![Mutex::new(line)], replacement: None, listener: None, dear_writes, began }
    }

    pub(super) fn new(count: usize, replacement: Replacement<C>, listener: Listener) -> Self {
        let line = |_| Mutex::new(Line::new((replacement.connect)(), 1));
        let slots = (0..count).map(line).collect();
        let (replacement, listener) = (Some(replacement), Some(listener));
        Self { slots, replacement, listener, dear_writes: Once::new(), began: Instant::now() }
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// The place of the connection for a session's id, or for a user. All requests of a session have the same
    /// one, so that the server receives them in the order in which they were made.
    pub(super) fn slot(&self, name: &str) -> usize {
        let hash = foldhash::fast::FixedState::default().hash_one(name);
        // Invariant: there is at least one connection, so the divisor is not zero.
        hash as usize % self.slots.len()
    }

    /// Whether the server at the other end of this connection compares and writes itself, as far as is known.
    pub(super) fn compares_itself(&self, slot: usize) -> bool {
        lock(&self.slots[slot]).ways.are_native()
    }

    /// The first connection, for work that belongs to no session.
    pub(super) async fn first(&self) -> RedisResult<C> {
        let connecting = lock(&self.slots[0]).connection.clone();
        connecting.await
    }

    /// Asks over the connection in this place. `limit` is how long an answer may take.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        slot: usize,
        limit: Duration,
        command: Command<'_>,
    ) -> RedisResult<T>
    where
        C: redis::aio::ConnectionLike,
    {
        let question = Question::begin(self, slot, silence(limit));
        let connecting = question.line.connection.clone();
        let mut connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) => {
                question.end(Heard::Nothing);
                return Err(error);
            }
        };
        let answer = command.send(&mut connection, &question.line.ways).await;
        question.end(match &answer {
            Err(error) if error.is_refused_by_replica() => Heard::Refusal,
            Err(error) if is_lost(error, self.replacement.as_ref()) => Heard::Nothing,
            _ => Heard::Answer,
        });
        answer
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64 + 1
    }

    /// Replaces each connection that is still in its place and for which this holds. The new ones are made in
    /// the background, if this is called inside of a runtime, and at their first use otherwise.
    fn replace(&self, holds: impl Fn(&Arc<Line<C>>) -> bool) {
        let Some(replacement) = &self.replacement else { return };
        for slot in &self.slots {
            let mut line = lock(slot);
            if holds(&line) {
                tracing::debug!("replacing a connection to the session store");
                *line = Line::new((replacement.connect)(), self.now());
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(line.connection.clone().map(drop));
                }
            }
        }
    }

    /// Replaces a connection that has been silent for too long, if there is one, and every other one over
    /// which nothing was heard in that time: as a rule, what has silenced one has silenced all.
    fn replace_silent(&self, limit: u64) {
        let now = self.now();
        let asked = |slot: &Slot<C>| lock(slot).asked.load(Ordering::Relaxed);
        let first = self.slots.iter().map(asked).filter(|asked| *asked != 0).min();
        let Some(since) = first.filter(|since| now.saturating_sub(*since) >= limit) else { return };
        self.replace(|line| line.answered.load(Ordering::Relaxed) <= since);
    }
}

/// After what time without an answer a connection is silent: slightly less than an operation may take, so
/// that a timeout finds it silent.
fn silence(limit: Duration) -> u64 {
    (limit * 9 / 10).as_millis() as u64
}

impl<C> Line<C> {
    fn new(connecting: BoxFuture<'static, RedisResult<C>>, now: u64) -> Arc<Self>
    where
        C: Clone,
    {
        Arc::new(Self {
            connection: connecting.shared(),
            made: now,
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(now),
            ways: Ways::default(),
        })
    }
}

/// What was heard of a question.
enum Heard {
    Answer,
    /// The server does not serve the store now, and has carried out nothing.
    Refusal,
    /// The connection could not be made, or it dropped.
    Nothing,
}

/// A question that was asked over a connection.
struct Question<'c, C: Clone + Send + Sync + 'static> {
    connections: &'c Connections<C>,
    line: Arc<Line<C>>,
    /// When it was asked.
    asked: u64,
    limit: u64,
    is_over: bool,
}

impl<'c, C: Clone + Send + Sync + 'static> Question<'c, C> {
    fn begin(connections: &'c Connections<C>, slot: usize, limit: u64) -> Self {
        let now = connections.now();
        let line = Arc::clone(&lock(&connections.slots[slot]));
        let _ = line.asked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        Self { connections, line, asked: now, limit, is_over: false }
    }

    fn end(mut self, heard: Heard) {
        self.is_over = true;
        let now = self.connections.now();
        self.line.asked.store(0, Ordering::Relaxed);
        let is_old = |line: &Arc<Line<C>>| now.saturating_sub(line.made) >= MIN_AGE;
        match heard {
            Heard::Answer => self.line.answered.store(now, Ordering::Relaxed),
            // As a rule, all connections lead to the same server.
            Heard::Refusal => self.connections.replace(|line| line.made <= self.asked && is_old(line)),
            Heard::Nothing => {
                self.connections.replace(|line| Arc::ptr_eq(line, &self.line) && is_old(line));
            }
        }
    }
}

/// Whether nothing more will be heard over a connection after this error, and the driver keeps it
/// nevertheless.
fn is_lost<C>(error: &RedisError, replacement: Option<&Replacement<C>>) -> bool {
    let driver_reconnects = replacement.is_some_and(|replacement| replacement.driver_reconnects);
    match error.kind() {
        ErrorKind::Io => !driver_reconnects,
        // redis-rs' `ConnectionManager` connects again if the network has failed. What else ends an attempt
        // to connect, such as a password that has changed, ends all attempts.
        ErrorKind::AuthenticationFailed => true,
        _ => false,
    }
}

/// A request that is given up, because the store's timeout has passed or because its visitor has gone, finds
/// out whether a connection is silent. One that has waited for a shorter time than the store's timeout does
/// so as well: the questions of others count.
impl<C: Clone + Send + Sync + 'static> Drop for Question<'_, C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.connections.replace_silent(self.limit);
        }
    }
}
