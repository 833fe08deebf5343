//! What `drain` and `Moving` tell: figures, ids, ends.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use sessile::testing::{Op, Probe};
use sessile::{Ended, MemoryStore, Moving, Record, SessionId, SessionStore, StoreError, Stored};

use super::{Phase, Scene, config, drain, headers};

const DAY: Duration = Duration::from_secs(86_400);

async fn fill(store: &impl SessionStore, sessions: usize) {
    for n in 0..sessions {
        let json = format!(r#"{{"cookie":{{"originalMaxAge":null,"expires":null}},"n":{n}}}"#);
        store.set(&SessionId::random(), &Record::from_json(json).unwrap(), DAY).await.unwrap();
    }
}

#[tokio::test]
async fn the_figures_count_every_session_once() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    fill(&old, 1000).await;
    let moving = Moving::new(old.clone(), new.clone());
    let mut drain = moving.drain();
    let mut pages = Vec::new();
    while let Some(so_far) = drain.next().await.unwrap() {
        pages.push(so_far.moved);
        let ids: Vec<_> = moving.ids().unwrap().try_collect().await.unwrap();
        assert_eq!(ids.len(), 1000, "each session has one id");
    }
    assert_eq!(pages, [256, 512, 768, 1000]);
    assert!(old.is_empty());
    assert_eq!(drain.next().await.unwrap().map(|so_far| so_far.moved), None);
    // What an old process makes after all moves in the next pass.
    fill(&old, 3).await;
    assert_eq!(drain.next().await.unwrap().map(|so_far| so_far.moved), Some(1003));
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    fill(&old, 1000).await;
    let moving = Moving::new(old, new);
    let began = tokio::time::Instant::now();
    let mut drain = moving.drain().per_second(50);
    while drain.next().await.unwrap().is_some() {}
    let seconds = began.elapsed().as_secs();
    assert!((19..=21).contains(&seconds), "1000 sessions at 50 a second took {seconds} seconds");
}

/// A record that cannot be read stays, is counted, and keeps no drain from its end.
#[tokio::test]
async fn what_cannot_be_read_stays() {
    struct Spoilt(MemoryStore, SessionId);

    impl SessionStore for Spoilt {
        sessile::forward_store!(self => self.0, except get, get_many);

        async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
            if *id == self.1 { Err(StoreError::corrupt("spoilt")) } else { self.0.get(id).await }
        }

        async fn get_many(&self, ids: &[SessionId]) -> Result<Vec<Option<Stored>>, StoreError> {
            let found = self.0.get_many(ids).await?;
            let spoilt = |(id, found): (&SessionId, _)| if *id == self.1 { None } else { found };
            Ok(ids.iter().zip(found).map(spoilt).collect())
        }
    }

    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    fill(&old, 5).await;
    let spoilt = old.all_ids().remove(0);
    let moving = Moving::new(Spoilt(old.clone(), spoilt), new.clone());
    let mut drain = moving.drain();
    let mut last = None;
    while let Some(so_far) = drain.next().await.unwrap() {
        last = Some((so_far.moved, so_far.unreadable));
    }
    assert_eq!(last, Some((4, 1)));
    assert_eq!(old.len(), 1);
}

/// An error of a store does not end a drain: the same one goes on, and begins another pass.
#[tokio::test]
async fn a_drain_goes_on_after_an_error() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    fill(&old, 300).await;
    let probe = Probe::new(new.clone());
    let moving = Moving::new(old.clone(), probe.clone());
    let mut drain = moving.drain();
    for n in [0, 1, 40, 400] {
        probe.fail(None, n);
    }
    let mut errors = 0;
    loop {
        match drain.next().await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => errors += 1,
        }
    }
    assert!(errors > 1, "{errors}");
    assert!(old.is_empty());
    assert_eq!(new.len(), 301, "the sessions, and the note that they move");
}

/// A store that lists no ids: sessions move with what is written to them.
#[tokio::test]
async fn without_a_list_of_ids_sessions_move_one_by_one() {
    struct Unlisted(MemoryStore);

    impl SessionStore for Unlisted {
        sessile::forward_store!(self => self.0, except ids);
    }

    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    let cookie = super::log_in(&config(old.clone())).await;
    let moving = Moving::new(Unlisted(old.clone()), new.clone());
    assert!(drain(&moving).await.is_err_and(|error| error.is_unsupported()));
    let config = config(moving);
    let session = config.session_from_headers(&headers(&cookie)).await.unwrap();
    assert_eq!(old.len(), 1, "a read moves nothing");
    session.insert("note", 1).unwrap();
    drop(session.commit().await.unwrap());
    assert!(old.is_empty());
    assert_eq!(config.sessions_of(super::USER).list().await.unwrap().len(), 1);
}

/// Whoever waits for the end of a session is not told of one when the session moves.
#[tokio::test]
async fn a_session_that_moves_has_not_ended() {
    struct Told(MemoryStore, tokio::sync::broadcast::Sender<SessionId>);

    impl SessionStore for Told {
        sessile::forward_store!(self => self.0, except destroy, destroy_if, watch);

        async fn destroy(&self, id: &SessionId) -> Result<(), StoreError> {
            self.0.destroy(id).await?;
            drop(self.1.send(id.clone()));
            Ok(())
        }

        async fn destroy_if(
            &self,
            id: &SessionId,
            expected: &sessile::Version,
        ) -> Result<sessile::Replaced, StoreError> {
            let answer = self.0.destroy_if(id, expected).await;
            drop(self.1.send(id.clone()));
            answer
        }

        fn watch(&self) -> Option<futures_util::stream::BoxStream<'static, SessionId>> {
            let ends = futures_util::stream::unfold(self.1.subscribe(), async |mut ends| {
                Some((ends.recv().await.ok()?, ends))
            });
            Some(Box::pin(ends))
        }
    }

    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    let cookie = super::log_in(&config(old.clone())).await;
    let tell = tokio::sync::broadcast::channel(16).0;
    let moving = Moving::new(Told(old.clone(), tell.clone()), new.clone());
    let config = config(moving.clone());
    let session = config.session_from_headers(&headers(&cookie)).await.unwrap();
    let ended = tokio::spawn(session.ended());
    while tell.receiver_count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drain(&moving).await.unwrap();
    assert!(old.is_empty());
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert!(!ended.is_finished(), "the move was taken for an end");
    session.destroy();
    drop(session.commit().await.unwrap());
    assert_eq!(ended.await.unwrap(), Ended::Destroyed);
}

/// `check` asks both stores.
#[tokio::test]
async fn both_stores_are_checked() {
    let scene = Scene::new(Phase::Before).await;
    scene.first.config.check().await.unwrap();
    for probe in [&scene.old, &scene.new] {
        assert_eq!(probe.calls(Op::Check), 1);
        probe.fail(Op::Check, 0);
        assert!(scene.first.config.check().await.is_err());
    }
}

/// The life of a session moves along: whole, and no longer than it was.
#[tokio::test]
async fn the_life_of_a_session_moves_along() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    let (short, long) = (SessionId::random(), SessionId::random());
    for (id, life) in [(&short, DAY / 24), (&long, 30 * DAY)] {
        old.set(id, &Record::default(), life).await.unwrap();
    }
    drain(&Moving::new(old, new.clone())).await.unwrap();
    for (id, life) in [(&short, DAY / 24), (&long, 30 * DAY)] {
        let left = new.get(id).await.unwrap().unwrap().expires_in.unwrap();
        assert!(left <= life && left > life - Duration::from_secs(60), "{left:?} of {life:?}");
    }
}

/// A touch by a process that does not know of the move, after another one has read how long the session lives.
#[tokio::test]
async fn a_touch_is_not_lost() {
    for way in ["touch", "replace", "set"] {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        let id = SessionId::random();
        old.set(&id, &Record::default(), DAY / 24).await.unwrap();
        let probe = Probe::new(new.clone());
        let drains = Moving::new(old.clone(), probe.clone());
        let hold = probe.hold(Op::Create);
        let draining = tokio::spawn(async move { drain(&drains).await });
        hold.reached().await;
        let unaware = Moving::new(old.clone(), new.clone());
        // The record's bytes stay the same.
        match way {
            "touch" => assert!(unaware.touch(&id, 30 * DAY).await.unwrap()),
            "set" => unaware.set(&id, &Record::default(), 30 * DAY).await.unwrap(),
            _ => {
                let version = unaware.get(&id).await.unwrap().unwrap().version.unwrap();
                let replaced = unaware.replace(&id, &version, &Record::default(), 30 * DAY).await.unwrap();
                assert!(matches!(replaced, sessile::Replaced::Done(_)));
            }
        }
        drop(hold);
        draining.await.unwrap().unwrap();
        let left = new.get(&id).await.unwrap().unwrap().expires_in.unwrap();
        assert!(left > 29 * DAY, "only {left:?} are left after a {way}");
    }
}

/// Of two processes that create a record under one id, one of which does not know of the move, one does it.
#[tokio::test]
async fn one_of_two_creates_a_record() {
    let record = |n: u32| {
        let json = format!(r#"{{"cookie":{{"originalMaxAge":null,"expires":null}},"n":{n}}}"#);
        Record::from_json(json).unwrap()
    };
    for n in 0..6 {
        let (old, new) = (MemoryStore::new(), MemoryStore::new());
        drain(&Moving::new(old.clone(), new.clone())).await.unwrap();
        let aware = Moving::new(old.clone(), new.clone());
        drain(&aware).await.unwrap();
        let (old_probe, new_probe) = (Probe::new(old.clone()), Probe::new(new.clone()));
        let unaware = Moving::new(old_probe.clone(), new_probe.clone());
        let hold = if n < 3 { old_probe.hold_nth(None, n) } else { new_probe.hold_nth(None, n - 3) };
        let id = SessionId::random();
        let creating = tokio::spawn({
            let (id, record) = (id.clone(), record(1));
            async move { unaware.create(&id, &record, DAY).await }
        });
        hold.reached().await;
        let other = aware.create(&id, &record(2), DAY).await.unwrap();
        drop(hold);
        let one = creating.await.unwrap().unwrap();
        assert!(one != other, "call {n}: {one}, {other}");
        let stored = Moving::new(old.clone(), new.clone()).get(&id).await.unwrap().unwrap();
        assert!(stored.record.as_json() == record(if one { 1 } else { 2 }).as_json(), "call {n}");
        assert!(old.is_empty(), "call {n}: something is left in the old store");
    }
}

/// A write to the old store, after another process has read the session, by one that is killed right after.
#[tokio::test]
async fn a_write_is_not_lost() {
    let (old, new) = (MemoryStore::new(), MemoryStore::new());
    let id = SessionId::random();
    old.set(&id, &Record::default(), DAY).await.unwrap();
    let probe = Probe::new(new.clone());
    let drains = Moving::new(old.clone(), probe.clone());
    let hold = probe.hold(Op::Create);
    let draining = tokio::spawn(async move { drain(&drains).await });
    hold.reached().await;
    let json = r#"{"cookie":{"originalMaxAge":null,"expires":null},"written":true}"#;
    let version = old.get(&id).await.unwrap().unwrap().version.unwrap();
    old.replace(&id, &version, &Record::from_json(json).unwrap(), DAY).await.unwrap();
    drop(hold);
    draining.await.unwrap().unwrap();
    assert_eq!(new.get(&id).await.unwrap().unwrap().record.as_json(), json);
    assert!(old.is_empty());
}
