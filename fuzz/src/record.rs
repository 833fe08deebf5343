//! From a record's JSON to the record and back.

use std::sync::LazyLock;

use serde_json::value::RawValue;
use sessile::Record;

use super::setup::{Setup, run};

static SETUP: LazyLock<Setup> = LazyLock::new(Setup::new);
const ADDED: &str = "added by the target";

/// Whatever is a record is JSON, reads back as it was written, and stays a record when a key is added: every
/// other value in it stays byte for byte.
pub fn record(text: &str) {
    let Ok(record) = Record::from_json(text) else { return };
    assert_eq!(record.as_json(), text);
    let json: &RawValue = serde_json::from_str(text).expect("a record is JSON");
    let through_serde: Record =
        serde_json::from_str(&serde_json::to_string(&record).expect("JSON")).expect("a record");
    assert_eq!(through_serde.as_json(), json.get());

    let session = SETUP.holding(&record);
    let keys = session.keys();
    let value = |key: &str| session.get::<Box<RawValue>>(key).ok().flatten().map(|raw| raw.get().to_owned());
    let before: Vec<_> = keys.iter().map(|key| value(key)).collect();
    if session.insert(ADDED, 1).is_err() {
        return;
    }
    run(session.commit()).map(drop).expect("nothing else writes to this store");
    // A life of nothing ends the session.
    let Some(written) = SETUP.stored() else { return };
    let read = Record::from_json(written.as_json()).expect("what was composed is a record");
    assert_eq!(read.max_age(), record.max_age());
    let again = SETUP.holding(&read);
    assert_eq!(again.get::<u8>(ADDED).expect("it is a number"), Some(1));
    for (key, before) in keys.iter().zip(before) {
        if key != ADDED {
            let after = again.get::<Box<RawValue>>(key).ok().flatten().map(|raw| raw.get().to_owned());
            assert_eq!(after, before);
        }
    }
}
