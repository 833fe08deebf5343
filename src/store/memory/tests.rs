//! The order of a bounded store under parallel writers: no public call shows it.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::MemoryStore;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::SessionStore;
use crate::store::version::Version;

const THREADS: usize = 4;
const ROUNDS: usize = 400;
const CALLS: usize = 60;

fn records() -> [Record; 3] {
    ["", r#","a":1"#, r#","a":2"#].map(|data| {
        let json = format!(r#"{{"cookie":{{"originalMaxAge":null}}{data}}}"#);
        Record::from_json(json).expect("a record")
    })
}

fn call(store: &MemoryStore, records: &[Record]) {
    let id = SessionId::new(format!("id {}", fastrand::usize(..24))).expect("an id");
    let record = &records[fastrand::usize(..records.len())];
    let expected = Version::of(&records[fastrand::usize(..records.len())]);
    // A few of them expire while the test runs.
    let ttl = Duration::from_micros(fastrand::u64(100..100_000));
    let answered = match fastrand::u16(..600) {
        0..100 => store.create(&id, record, ttl).now_or_never().map(drop),
        100..200 => store.set(&id, record, ttl).now_or_never().map(drop),
        200..350 => store.replace(&id, &expected, record, ttl).now_or_never().map(drop),
        350..450 => store.touch(&id, ttl).now_or_never().map(drop),
        450..520 => store.destroy_if(&id, &expected).now_or_never().map(drop),
        520..599 => store.destroy(&id).now_or_never().map(drop),
        _ => {
            store.clear();
            Some(())
        }
    };
    assert!(answered.is_some(), "the memory store answers at once");
}

#[test]
fn the_order_names_exactly_the_sessions_that_are_there() {
    const LIMIT: usize = 8;
    let (store, records) = (MemoryStore::with_capacity_limit(LIMIT), records());
    for _ in 0..ROUNDS {
        let all = Barrier::new(THREADS);
        std::thread::scope(|threads| {
            for _ in 0..THREADS {
                threads.spawn(|| {
                    all.wait();
                    for _ in 0..CALLS {
                        call(&store, &records);
                    }
                });
            }
        });
        // The lock keeps the sweep out.
        let order = store.0.order().expect("a bounded store has an order");
        let mut named = BTreeSet::new();
        for (is_blank, place) in order.places() {
            let entry = store.0.map.get(&place.id).expect("the order names only sessions that are there");
            assert_eq!(entry.expires, place.expires, "an old expiry");
            assert_eq!(entry.record.count() == 0, is_blank, "a session with data goes after one without");
            assert!(named.insert(place.id.as_str().to_owned()), "a session is named twice");
        }
        assert_eq!(named.len(), store.0.map.len(), "every session is named");
        assert!(named.len() <= LIMIT);
    }
}
