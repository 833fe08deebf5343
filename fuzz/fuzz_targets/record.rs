//! Whatever is a record stays one when a key is added, and every other value in it stays byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use sessile::Record;
use sessile_fuzz::{holding, run, stored};

fuzz_target!(|text: &str| {
    let Ok(record) = Record::from_json(text) else { return };
    assert_eq!(record.as_json(), text);
    let session = holding(&record);
    let keys = session.keys();
    let value = |key: &str| session.get::<Box<RawValue>>(key).ok().flatten().map(|raw| raw.get().to_owned());
    let before: Vec<_> = keys.iter().map(|key| value(key)).collect();
    if session.insert("added by the target", 1).is_err() {
        return;
    }
    run(session.commit()).map(drop).expect("nothing else writes to this store");
    // A life of nothing ends the session.
    let Some(written) = stored() else { return };
    let read = Record::from_json(written.as_json()).expect("what was composed is a record");
    assert_eq!(read.max_age(), record.max_age());
    let again = holding(&read);
    assert_eq!(again.get::<u8>("added by the target").expect("it is a number"), Some(1));
    for (key, before) in keys.iter().zip(before) {
        if key != "added by the target" {
            let after = again.get::<Box<RawValue>>(key).ok().flatten().map(|raw| raw.get().to_owned());
            assert_eq!(after, before);
        }
    }
});
