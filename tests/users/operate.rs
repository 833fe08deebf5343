//! What operators do: they end a session by its handle, erase a user, and bring lists over to another store.

use futures_util::StreamExt as _;
use sessile::testing::{Op, Probe, TestClock, Visitor};
use sessile::{
    EndReason, MemoryStore, Origin, SessionConfig, SessionError, SessionEventKind, SessionId,
    SessionStore as _,
};

use crate::{SECRET, builder, is_alive, log_in, origin};

fn config(store: &MemoryStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store.clone()).save_uninitialized(false).build().unwrap()
}

async fn guest(config: &SessionConfig) -> Visitor {
    let mut visitor = Visitor::new(config);
    let session = visitor.open().await.unwrap();
    session.insert("cart", 1).unwrap();
    visitor.commit(&session).await.unwrap();
    visitor
}

/// The id under which the store has the session of a visitor, found by its handle.
async fn find(config: &SessionConfig, store: &MemoryStore, visitor: &Visitor) -> SessionId {
    let handle = visitor.open().await.unwrap().handle();
    let mut found = Vec::new();
    let mut ids = store.ids().unwrap();
    while let Some(id) = ids.next().await {
        let id = id.unwrap();
        if config.is_handle_of(&handle, &id) {
            assert_eq!(config.handle_of(&id), handle);
            found.push(id);
        }
    }
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[tokio::test]
async fn any_session_is_ended_by_its_id() {
    let store = MemoryStore::new();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = told.clone();
    let config = SessionConfig::builder(SECRET)
        .store(store.clone())
        .on_event(move |event| log.lock().unwrap().push((event.kind(), event.user().is_some())))
        .build()
        .unwrap();
    let (guest, ada, also_ada) =
        (guest(&config).await, log_in(&config, "ada").await.unwrap(), log_in(&config, "ada").await.unwrap());
    told.lock().unwrap().clear();

    let id = find(&config, &store, &guest).await;
    assert!(config.end_session(&id).await.unwrap());
    assert!(!config.end_session(&id).await.unwrap(), "it is over");
    assert_eq!(origin(&guest).await, Origin::Unknown);

    let id = find(&config, &store, &ada).await;
    assert!(config.end_session(&id).await.unwrap());
    assert_eq!(origin(&ada).await, Origin::Unknown);
    assert!(is_alive(&also_ada).await, "the user's other session lives");
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);
    let ended = |reason| SessionEventKind::Ended { reason, sessions: 1 };
    let told: Vec<_> =
        told.lock().unwrap().iter().copied().filter(|(kind, _)| kind.name() == "ended").collect();
    assert_eq!(told, [(ended(EndReason::Destroyed), false), (ended(EndReason::Listed), true)]);
}

/// A session that gets another id while it is about to be ended is ended under that, or lives on and is said not to
/// have ended.
#[tokio::test]
async fn a_session_of_a_user_is_ended_wherever_it_moves() {
    for (op, is_ended) in [(Op::AppendUser, true), (Op::ReadUser, false)] {
        let store = MemoryStore::new();
        let probe = Probe::new(store.clone());
        let config = self::config(&store);
        let slow = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
        let mut ada = log_in(&config, "ada").await.unwrap();
        let id = find(&config, &store, &ada).await;
        let hold = probe.hold_nth(op, 0);
        let ending = tokio::spawn(async move { slow.end_session(&id).await.unwrap() });
        hold.reached().await;
        let session = ada.open().await.unwrap();
        session.cycle_id();
        ada.commit(&session).await.unwrap();
        drop(hold);
        assert_eq!(ending.await.unwrap(), is_ended, "{op:?}");
        assert_eq!(is_alive(&ada).await, !is_ended, "{op:?}");
        assert_eq!(store.len(), usize::from(!is_ended), "{op:?}");
    }
}

#[tokio::test]
async fn with_hashed_ids_a_session_is_ended_by_what_the_store_tells() {
    let store = MemoryStore::new();
    let config =
        SessionConfig::builder(SECRET).store(store.clone()).hash_ids(sessile::HashIds::On).build().unwrap();
    for visitor in [guest(&config).await, log_in(&config, "ada").await.unwrap()] {
        let id = find(&config, &store, &visitor).await;
        assert!(config.end_session(&id).await.unwrap());
        assert_eq!(origin(&visitor).await, Origin::Unknown);
    }
}

#[tokio::test]
async fn an_erased_user_leaves_nothing() {
    let (store, new) = (MemoryStore::new(), "the new secret of at least 32 bytes for tests");
    let old = config(&store);
    let before = log_in(&old, "ada").await.unwrap();
    let config =
        SessionConfig::builder([new, SECRET]).store(store.clone()).save_uninitialized(false).build().unwrap();
    let (ada, bob) = (log_in(&config, "ada").await.unwrap(), log_in(&config, "bob").await.unwrap());
    let sessions = config.sessions_of("ada").list().await.unwrap();
    let hashes: Vec<_> = sessions.iter().flat_map(|session| session.record().user_hashes()).collect();
    assert_eq!(hashes.len(), 2, "one under each secret");

    assert_eq!(config.sessions_of("ada").erase().await.unwrap(), 2);
    for gone in [&before, &ada] {
        assert_eq!(origin(gone).await, Origin::Unknown);
    }
    for hash in &hashes {
        assert_eq!(store.users().unwrap().read(hash).await.unwrap(), "", "the list is gone");
    }
    assert!(is_alive(&bob).await);
    assert_eq!(config.sessions_of("bob").count().await.unwrap(), 1);
    assert_eq!(config.sessions_of("ada").erase().await.unwrap(), 0);
}

/// A login that comes between the end of all sessions and the removal of the list is ended as well, and is not
/// left without a list.
#[tokio::test]
async fn a_login_during_an_erasure_is_no_session_without_a_list() {
    // Before the list is read, and before it is removed.
    for op in [Op::ReadUser, Op::ReplaceUser] {
        let store = MemoryStore::new();
        let probe = Probe::new(store.clone());
        let config = SessionConfig::builder(SECRET).store(probe.clone()).build().unwrap();
        let other = self::config(&store);
        log_in(&other, "ada").await.unwrap();
        let hold = probe.hold_nth(op, 0);
        let erasure = tokio::spawn(async move { config.sessions_of("ada").erase().await });
        hold.reached().await;
        let late = log_in(&other, "ada").await.unwrap();
        drop(hold);
        assert_eq!(erasure.await.unwrap().unwrap(), 2, "{op:?}");
        assert_eq!(origin(&late).await, Origin::Unknown, "{op:?}");
        assert_eq!(store.len(), 0, "{op:?}");
    }
}

#[tokio::test]
async fn an_erasure_without_lists_is_an_error() {
    struct Bare(MemoryStore);
    impl sessile::SessionStore for Bare {
        sessile::forward_store!(self => self.0, except users);
    }
    let config = SessionConfig::builder(SECRET).store(Bare(MemoryStore::new())).build().unwrap();
    let refused = config.sessions_of("ada").erase().await;
    assert!(matches!(refused, Err(SessionError::Store(error)) if error.is_unsupported()));
}

#[tokio::test]
async fn a_list_is_brought_over_and_merged() {
    let clock = TestClock::new();
    let (from, to) = (MemoryStore::new(), MemoryStore::new());
    let at = |store: &MemoryStore| builder(&clock).store(store.clone()).build().unwrap();
    let (old, new) = (at(&from), at(&to));
    let mut moved = [log_in(&old, "ada").await.unwrap(), log_in(&old, "ada").await.unwrap()];
    // One of them has another id by now.
    let session = moved[1].open().await.unwrap();
    session.cycle_id();
    moved[1].commit(&session).await.unwrap();
    let user = old.sessions_of("ada").list().await.unwrap()[0].record().user_hashes().remove(0);
    let (source, target) = (from.users().unwrap(), to.users().unwrap());
    for id in from.all_ids() {
        let stored = from.get(&id).await.unwrap().unwrap();
        to.create(&id, &stored.record, stored.expires_in.unwrap()).await.unwrap();
    }
    let handles = async |config: &SessionConfig| {
        let list = config.sessions_of("ada").list().await.unwrap();
        list.iter().map(|session| session.handle()).collect::<Vec<_>>()
    };

    assert!(target.bring_over(source, &user).await.unwrap());
    assert!(!target.bring_over(source, &user).await.unwrap(), "it is there already");
    assert_eq!(handles(&new).await, handles(&old).await);
    // Who has logged in there meanwhile stays, and comes first.
    let own = log_in(&new, "ada").await.unwrap();
    assert!(!target.bring_over(source, &user).await.unwrap(), "nothing is missing");
    let third = log_in(&old, "ada").await.unwrap();
    let id = find(&old, &from, &third).await;
    let stored = from.get(&id).await.unwrap().unwrap();
    to.create(&id, &stored.record, stored.expires_in.unwrap()).await.unwrap();
    assert!(target.bring_over(source, &user).await.unwrap());
    assert_eq!(handles(&new).await.len(), 4);
    assert_eq!(handles(&new).await[0], old.handle_of(&id), "what was brought over comes after");
    // An end that only one of the two knows of has come.
    let one = old.sessions_of("ada").list().await.unwrap().remove(0).handle();
    old.sessions_of("ada").end(&one).await.unwrap();
    assert!(target.bring_over(source, &user).await.unwrap());
    assert_eq!(handles(&new).await.len(), 3);
    assert!(is_alive(&own).await);
    assert_eq!(new.sessions_of("ada").end_all().await.unwrap(), 3);
    assert_eq!(to.len(), 0);
}
