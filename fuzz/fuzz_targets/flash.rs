//! Foreign flash messages are read or refused; what is pushed beside them comes back once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use sessile::Record;
use sessile_fuzz::{holding, run, stored};

const KIND: &str = "pushed by the target";

fuzz_target!(|flash: &str| {
    let text = format!("{{\"cookie\":{{\"originalMaxAge\":null,\"expires\":null}},\"flash\":{flash}}}");
    let Ok(record) = Record::from_json(text) else { return };
    let session = holding(&record);
    let _ = session.peek_flash::<Value>("info");
    let _ = session.take_flash::<Value>("info");
    if session.flash(KIND, "message").is_err() || run(session.commit()).map(drop).is_err() {
        // Not connect-flash's shape: an error, and nothing was written.
        assert_eq!(stored().map(|record| record.as_json().to_owned()), Some(record.as_json().to_owned()));
        return;
    }
    let Some(written) = stored() else { return };
    let again = holding(&written);
    let Ok(mut messages) = again.take_flash::<Value>(KIND) else { return };
    assert_eq!(messages.pop(), Some(Value::from("message")));
    assert_eq!(again.peek_flash::<Value>(KIND).expect("it was just read"), Vec::<Value>::new());
});
