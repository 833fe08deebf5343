//! A store whose calls wait until the scheduler lets them go on: before they are carried out, and before they
//! are answered.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use sessile::{Record, Replaced, SessionId, SessionStore, StoreError, Stored, UserIndex, Version};
use smol_str::SmolStr;

use crate::stores::{Base, Side};
use crate::users;

/// A call of a store, with what it was given.
#[derive(Debug, Clone)]
pub(crate) enum Call {
    Get(SessionId),
    Set(SessionId, Record, Duration),
    Destroy(SessionId),
    Touch(SessionId, Duration),
    Create(SessionId, Record, Duration),
    Replace(SessionId, Version, Record, Duration),
    DestroyIf(SessionId, Version),
    GetMany(Vec<SessionId>),
    /// The ids of all sessions.
    Ids,
    /// Of a user's text.
    Read(SmolStr),
    Append(SmolStr, SmolStr),
    /// The user, the text that is expected, and the new one.
    Rewrite(SmolStr, SmolStr, SmolStr),
}

/// What a store answers.
#[derive(Debug)]
pub(crate) enum Reply {
    Stored(Option<Stored>),
    Done,
    Bool(bool),
    Replaced(Replaced),
    Many(Vec<Option<Stored>>),
    Text(String),
    Ids(Vec<SessionId>),
}

impl Call {
    /// The record that it is about; `None`, if it is about several, or about a user's text.
    pub(crate) fn id(&self) -> Option<&SessionId> {
        match self {
            Self::Get(id)
            | Self::Set(id, ..)
            | Self::Destroy(id)
            | Self::Touch(id, _)
            | Self::Create(id, ..)
            | Self::Replace(id, ..)
            | Self::DestroyIf(id, _) => Some(id),
            Self::GetMany(_) | Self::Ids | Self::Read(_) | Self::Append(..) | Self::Rewrite(..) => None,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Set(..) => "set",
            Self::Destroy(_) => "destroy",
            Self::Touch(..) => "touch",
            Self::Create(..) => "create",
            Self::Replace(..) => "replace",
            Self::DestroyIf(..) => "destroy_if",
            Self::GetMany(_) => "get_many",
            Self::Ids => "ids",
            Self::Read(_) => "read",
            Self::Append(..) => "append",
            Self::Rewrite(..) => "replace",
        }
    }

    /// What it is about, for the reader of a run.
    pub(crate) fn subject(&self) -> String {
        match self {
            Self::GetMany(ids) => {
                let ids: Vec<_> = ids.iter().map(SessionId::as_str).collect();
                format!("[{}]", ids.join(", "))
            }
            Self::Read(user) | Self::Append(user, _) | Self::Rewrite(user, ..) => {
                format!("{}'s text", users::name_of(user).unwrap_or("nobody"))
            }
            call => call.id().map(|id| id.as_str().to_owned()).unwrap_or_default(),
        }
    }

    /// Whether it leaves everything as it is.
    pub(crate) fn only_reads(&self) -> bool {
        matches!(self, Self::Get(_) | Self::GetMany(_) | Self::Ids | Self::Read(_))
    }

    /// What it writes.
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Set(_, record, _) | Self::Create(_, record, _) | Self::Replace(_, _, record, _) => {
                Some(record)
            }
            _ => None,
        }
    }

    pub(crate) async fn carry_out(&self, store: &Base) -> Result<Reply, StoreError> {
        match self {
            Self::Get(id) => store.get(id).await.map(Reply::Stored),
            Self::Set(id, record, ttl) => store.set(id, record, *ttl).await.map(|()| Reply::Done),
            Self::Destroy(id) => store.destroy(id).await.map(|()| Reply::Done),
            Self::Touch(id, ttl) => store.touch(id, *ttl).await.map(Reply::Bool),
            Self::Create(id, record, ttl) => store.create(id, record, *ttl).await.map(Reply::Bool),
            Self::Replace(id, version, record, ttl) => {
                store.replace(id, version, record, *ttl).await.map(Reply::Replaced)
            }
            Self::DestroyIf(id, version) => store.destroy_if(id, version).await.map(Reply::Replaced),
            Self::GetMany(ids) => store.get_many(ids).await.map(Reply::Many),
            Self::Ids => match store {
                Base::Memory(store) => Ok(Reply::Ids(store.all_ids())),
                _ => Err(StoreError::unsupported("a list of all ids")),
            },
            Self::Read(user) => store.index().read(user).await.map(Reply::Text),
            Self::Append(user, line) => store.index().append(user, line).await.map(Reply::Text),
            Self::Rewrite(user, expected, text) => {
                store.index().replace(user, expected, text).await.map(Reply::Bool)
            }
        }
    }
}

/// How far a call is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// It was asked for.
    Waiting,
    /// The store has done it.
    CarriedOut(Result<Reply, StoreError>),
    /// Its caller may know.
    Answered(Result<Reply, StoreError>),
    Over,
}

#[derive(Debug)]
pub(crate) struct Entry {
    /// The request on whose behalf it was made, as far as that can be told.
    pub(crate) actor: usize,
    pub(crate) call: Call,
    pub(crate) side: Side,
    pub(crate) stage: Stage,
    /// Nobody waits for the answer.
    pub(crate) abandoned: bool,
    waker: Option<Waker>,
}

impl Entry {
    /// A call that is in the hands of the driver, and whose caller no longer waits.
    pub(crate) fn abandoned(actor: usize, call: Call, side: Side) -> Self {
        Self { actor, call, side, stage: Stage::Waiting, abandoned: true, waker: None }
    }
}

/// What the gates, the requests and the scheduler have in common.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) calls: Vec<Entry>,
    /// Grows with everything that happens.
    pub(crate) activity: u64,
    /// The request that is being polled, or was moved last.
    pub(crate) current: usize,
    pub(crate) tasks: HashMap<tokio::task::Id, usize>,
    /// Whether a call whose caller was dropped may be carried out later.
    pub(crate) outlive: bool,
    /// Ids that were given by the generator, or were there from the start.
    pub(crate) minted: Vec<SmolStr>,
    pub(crate) known: HashSet<SmolStr>,
    /// Ids of records that cannot be decoded.
    pub(crate) undecodable: HashSet<SmolStr>,
    /// What was done that must never be.
    pub(crate) offence: Option<String>,
}

pub(crate) type Shared = Arc<Mutex<Board>>;

pub(crate) fn lock(shared: &Shared) -> MutexGuard<'_, Board> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Board {
    fn submit(&mut self, call: Call, side: Side) -> usize {
        // A task belongs to the request that was at work when it made its first call.
        let actor = match tokio::task::try_id() {
            Some(task) => *self.tasks.entry(task).or_insert(self.current),
            None => self.current,
        };
        let id = call.id().map(SessionId::as_str).unwrap_or_default();
        if call.record().is_some() && !self.known.contains(id) {
            self.offence = Some(format!("{} to {id}, an id that nobody minted", call.name()));
        }
        if call.record().is_some() && self.undecodable.contains(id) {
            self.offence = Some(format!("{} over the record {id}, which cannot be decoded", call.name()));
        }
        self.activity += 1;
        self.calls.push(Entry { actor, call, side, stage: Stage::Waiting, abandoned: false, waker: None });
        self.calls.len() - 1
    }

    pub(crate) fn answer(&mut self, ticket: usize, reply: Result<Reply, StoreError>) {
        self.activity += 1;
        let entry = &mut self.calls[ticket];
        entry.stage = Stage::Answered(reply);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }
}

/// A call that waits for its answer.
struct Asked {
    shared: Shared,
    ticket: usize,
}

impl Future for Asked {
    type Output = Result<Reply, StoreError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut board = lock(&self.shared);
        let entry = &mut board.calls[self.ticket];
        match std::mem::replace(&mut entry.stage, Stage::Over) {
            Stage::Answered(reply) => {
                board.activity += 1;
                Poll::Ready(reply)
            }
            stage => {
                entry.stage = stage;
                entry.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut board = lock(&self.shared);
        board.activity += 1;
        let outlive = board.outlive;
        let entry = &mut board.calls[self.ticket];
        if !entry.abandoned {
            entry.abandoned = true;
            if !(outlive && matches!(entry.stage, Stage::Waiting)) {
                entry.stage = Stage::Over;
            }
        }
    }
}

/// A store behind gates that overrides everything.
#[derive(Debug, Clone)]
pub(crate) struct Gated(pub(crate) Way);

/// A store behind gates with the three required methods.
#[derive(Debug, Clone)]
pub(crate) struct GatedThree(pub(crate) Way);

/// The board, and which of two stores is behind the gates.
#[derive(Debug, Clone)]
pub(crate) struct Way(pub(crate) Shared, pub(crate) Side);

async fn ask(Way(shared, side): &Way, call: Call) -> Result<Reply, StoreError> {
    let ticket = lock(shared).submit(call, *side);
    Asked { shared: Arc::clone(shared), ticket }.await
}

async fn ask_stored(way: &Way, call: Call) -> Result<Option<Stored>, StoreError> {
    match ask(way, call).await? {
        Reply::Stored(stored) => Ok(stored),
        reply => unreachable!("{reply:?}"),
    }
}

async fn ask_bool(way: &Way, call: Call) -> Result<bool, StoreError> {
    match ask(way, call).await? {
        Reply::Bool(found) => Ok(found),
        reply => unreachable!("{reply:?}"),
    }
}

async fn ask_text(way: &Way, call: Call) -> Result<String, StoreError> {
    match ask(way, call).await? {
        Reply::Text(text) => Ok(text),
        reply => unreachable!("{reply:?}"),
    }
}

async fn ask_replaced(way: &Way, call: Call) -> Result<Replaced, StoreError> {
    match ask(way, call).await? {
        Reply::Replaced(replaced) => Ok(replaced),
        reply => unreachable!("{reply:?}"),
    }
}

macro_rules! required {
    () => {
        async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
            ask_stored(&self.0, Call::Get(id.clone())).await
        }

        async fn set(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<(), StoreError> {
            ask(&self.0, Call::Set(id.clone(), record.clone(), ttl)).await.map(drop)
        }

        async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
            ask(&self.0, Call::Destroy(id.clone())).await.map(drop)
        }
    };
}

impl SessionStore for GatedThree {
    required!();
}

impl SessionStore for Gated {
    required!();

    async fn touch(&self, id: &SessionId, ttl: Duration) -> Result<bool, StoreError> {
        ask_bool(&self.0, Call::Touch(id.clone(), ttl)).await
    }

    async fn create(&self, id: &SessionId, record: &Record, ttl: Duration) -> Result<bool, StoreError> {
        ask_bool(&self.0, Call::Create(id.clone(), record.clone(), ttl)).await
    }

    async fn replace(
        &self,
        id: &SessionId,
        expected: &Version,
        record: &Record,
        ttl: Duration,
    ) -> Result<Replaced, StoreError> {
        ask_replaced(&self.0, Call::Replace(id.clone(), expected.clone(), record.clone(), ttl)).await
    }

    async fn destroy_if(&self, id: &SessionId, expected: &Version) -> Result<Replaced, StoreError> {
        ask_replaced(&self.0, Call::DestroyIf(id.clone(), expected.clone())).await
    }

    async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
        match ask(&self.0, Call::GetMany(ids.to_vec())).await? {
            Reply::Many(many) => Ok(many),
            reply => unreachable!("{reply:?}"),
        }
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        let listing = async {
            match ask(&self.0, Call::Ids).await? {
                Reply::Ids(ids) => Ok(stream::iter(ids).map(Ok)),
                reply => unreachable!("{reply:?}"),
            }
        };
        Some(stream::once(listing).try_flatten().boxed())
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl UserIndex for Gated {
    fn read<'a>(&'a self, user: &'a str) -> Boxed<'a, String> {
        Box::pin(ask_text(&self.0, Call::Read(user.into())))
    }

    fn append<'a>(&'a self, user: &'a str, line: &'a str) -> Boxed<'a, String> {
        Box::pin(ask_text(&self.0, Call::Append(user.into(), line.into())))
    }

    fn replace<'a>(&'a self, user: &'a str, expected: &'a str, text: &'a str) -> Boxed<'a, bool> {
        Box::pin(ask_bool(&self.0, Call::Rewrite(user.into(), expected.into(), text.into())))
    }
}
