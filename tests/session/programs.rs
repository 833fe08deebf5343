//! Programs of many changes against a plain model: what a session answers does not depend on how many changes
//! or keys there are.

use std::time::Duration;

use crate::common::stores::RecordingStore;
use crate::common::{TestClient, builder, id};
use proptest::prelude::*;
use serde_json::Value;
use sessile::{Record, Session};

#[derive(Debug, Clone)]
enum Step {
    Insert(usize, u8),
    Remove(usize),
    /// Adds one, or removes the value when it is even.
    Update(usize),
    Clear,
    Flash(usize, u8),
    Take(usize),
    TakeAll,
    MaxAge(Option<u64>),
    Commit,
}

fn step(keys: usize) -> impl Strategy<Value = Step> {
    let (key, kind, value) = (0..keys, 0..keys, 0..3_u8);
    prop_oneof![
        8 => (key.clone(), value.clone()).prop_map(|(key, value)| Step::Insert(key, value)),
        4 => key.clone().prop_map(Step::Remove),
        2 => key.prop_map(Step::Update),
        1 => Just(Step::Clear),
        6 => (kind.clone(), value).prop_map(|(kind, value)| Step::Flash(kind, value)),
        4 => kind.prop_map(Step::Take),
        1 => Just(Step::TakeAll),
        1 => prop_oneof![Just(None), (1..3_u64).prop_map(Some)].prop_map(Step::MaxAge),
        1 => Just(Step::Commit),
    ]
}

/// Some names have escapes in JSON.
fn name(n: usize) -> String {
    if n.is_multiple_of(5) { format!("\"{n}\"") } else { format!("key-{n}") }
}

/// The most messages of a kind.
const MOST: usize = 3;

/// What a session holds.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    data: Vec<(String, u8)>,
    flash: Vec<(String, Vec<u8>)>,
    max_age: Option<Duration>,
}

impl Model {
    fn get(&self, key: &str) -> Option<u8> {
        self.data.iter().find(|(at, _)| at == key).map(|(_, value)| *value)
    }

    fn set(&mut self, key: &str, value: Option<u8>) {
        match (self.data.iter_mut().find(|(at, _)| at == key), value) {
            (Some((_, old)), Some(value)) => *old = value,
            (None, Some(value)) => self.data.push((key.to_owned(), value)),
            (_, None) => self.data.retain(|(at, _)| at != key),
        }
    }

    fn messages(&self, kind: &str) -> &[u8] {
        self.flash.iter().find(|(at, _)| at == kind).map_or(&[], |(_, messages)| messages)
    }

    fn push(&mut self, kind: &str, message: u8) {
        let place = self.flash.iter().position(|(at, _)| at == kind).unwrap_or_else(|| {
            self.flash.push((kind.to_owned(), Vec::new()));
            self.flash.len() - 1
        });
        let messages = &mut self.flash[place].1;
        messages.push(message);
        messages.drain(..messages.len().saturating_sub(MOST));
    }

    fn take(&mut self, kind: &str) {
        self.flash.retain(|(at, _)| at != kind);
    }

    /// Whether both hold the same, in whatever order.
    fn is(&self, other: &Self) -> bool {
        let sorted = |model: &Self| {
            let mut model = model.clone();
            model.data.sort();
            model.flash.sort();
            model
        };
        sorted(self) == sorted(other)
    }

    /// What holds the same in another order is not written: the session then has the order of the store again.
    fn commit(&mut self, stored: &mut Self) {
        if self.is(stored) { self.clone_from(stored) } else { stored.clone_from(self) }
    }
}

fn run(session: &Session, model: &mut Model, step: &Step) {
    match *step {
        Step::Insert(key, value) => {
            session.insert(&name(key), value).unwrap();
            model.set(&name(key), Some(value));
        }
        Step::Remove(key) => {
            assert_eq!(session.remove::<u8>(&name(key)).unwrap(), model.get(&name(key)));
            model.set(&name(key), None);
        }
        Step::Update(key) => {
            let next = |n: Option<u8>| n.filter(|n| n % 2 == 1).map(|n| n + 1);
            let after = next(model.get(&name(key)));
            assert_eq!(session.update(&name(key), next).unwrap(), after);
            model.set(&name(key), after);
        }
        Step::Clear => {
            session.clear();
            model.data.clear();
        }
        Step::Flash(kind, message) => {
            session.flash(&name(kind), message).unwrap();
            model.push(&name(kind), message);
        }
        Step::Take(kind) => {
            assert_eq!(session.take_flash::<u8>(&name(kind)).unwrap(), model.messages(&name(kind)));
            model.take(&name(kind));
        }
        Step::TakeAll => {
            let taken = session.take_all_flash();
            assert_eq!(taken.len(), model.flash.iter().map(|(_, messages)| messages.len()).sum::<usize>());
            for (kind, messages) in &model.flash {
                assert_eq!(taken.get(kind), messages.iter().map(|n| Value::from(*n)).collect::<Vec<_>>());
            }
            model.flash.clear();
        }
        Step::MaxAge(days) => {
            model.max_age = days.map(|days| crate::common::stores::DAY * days as u32);
            session.set_max_age(model.max_age);
        }
        Step::Commit => {}
    }
}

/// The session holds what the model holds; `stored` is what the store holds.
fn check(session: &Session, model: &Model, stored: &Model, keys: usize) {
    assert_eq!(session.is_modified(), !model.is(stored), "{model:?} over {stored:?}");
    assert_eq!(session.max_age(), model.max_age);
    assert_eq!((session.len(), session.is_empty()), (model.data.len(), model.data.is_empty()));
    assert_eq!(session.keys(), model.data.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>());
    for key in (0..keys).map(name) {
        assert_eq!(session.get::<u8>(&key).unwrap(), model.get(&key), "{key}");
        assert_eq!(session.contains_key(&key), model.get(&key).is_some(), "{key}");
        assert_eq!(session.peek_flash::<u8>(&key).unwrap(), model.messages(&key), "{key}");
    }
}

/// A stored session of so many keys and kinds.
fn model(keys: usize, kinds: usize) -> Model {
    let data = (0..keys).map(|n| (name(n), 1)).collect();
    let flash = (0..kinds).map(|n| (name(n), (0..MOST as u8).collect())).collect();
    Model { data, flash, max_age: None }
}

fn record(model: &Model) -> String {
    let quote = |text: &str| serde_json::to_string(text).unwrap();
    let mut text = r#"{"cookie":{"originalMaxAge":null,"expires":null}"#.to_owned();
    for (key, value) in &model.data {
        text += &format!(",{}:{value}", quote(key));
    }
    let lists = model.flash.iter().map(|(kind, messages)| format!("{}:{messages:?}", quote(kind)));
    text + &format!(",\"flash\":{{{}}}}}", lists.collect::<Vec<_>>().join(","))
}

proptest! {
    // Failures are printed; no file of seeds is kept.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_session_answers_as_a_plain_map_does(
        (keys, steps) in prop_oneof![Just(3), Just(30)].prop_flat_map(|keys: usize| {
            (Just(keys), proptest::collection::vec(step(keys), 0..90))
        }),
        (stored_keys, kinds) in (0..40_usize, 0..40_usize),
        every in 1..20_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = RecordingStore::default();
            let config = builder().browser_session().max_flash(MOST).store(store.clone()).build().unwrap();
            let mut stored = model(stored_keys, kinds);
            store.plant(&id("apple"), &record(&stored)).await;
            let mut browser = TestClient::holding(&config, &id("apple"));
            let (session, mut model) = (browser.open(&config).await, stored.clone());
            for (n, step) in steps.iter().enumerate() {
                run(&session, &mut model, step);
                if matches!(step, Step::Commit) {
                    browser.commit(&session).await;
                    model.commit(&mut stored);
                }
                // What is asked seldom is asked after many changes at once.
                if n % every == 0 {
                    check(&session, &model, &stored, keys);
                }
            }
            check(&session, &model, &stored, keys);
            browser.commit(&session).await;
            model.commit(&mut stored);
            check(&session, &model, &stored, keys);
            let text = store.text(&id("apple")).await.unwrap();
            assert!(Record::from_json(text).is_ok());
            let again = browser.open(&config).await;
            check(&again, &model, &stored, keys);
        });
    }
}
