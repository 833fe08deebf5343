//! Flash messages that something else has stored.

use std::sync::LazyLock;

use serde_json::Value;
use sessile::Record;

use super::setup::{Setup, run};

static SETUP: LazyLock<Setup> = LazyLock::new(Setup::new);
const KIND: &str = "pushed by the target";
const OTHER: &str = "info";

/// Foreign flash messages are read or refused; what is pushed beside them comes back once.
pub fn flash(stored: &str) {
    let text = format!("{{\"cookie\":{{\"originalMaxAge\":null,\"expires\":null}},\"flash\":{stored}}}");
    let Ok(record) = Record::from_json(text) else { return };
    let session = SETUP.holding(&record);
    let peeked = session.peek_flash::<Value>(OTHER);
    let taken = session.take_flash::<Value>(OTHER);
    if let (Ok(peeked), Ok(taken)) = (&peeked, &taken) {
        assert_eq!(peeked, taken);
        assert_eq!(session.peek_flash::<Value>(OTHER).expect("it was just taken"), Vec::<Value>::new());
    }
    let pushed = session.flash(KIND, "message").and_then(|()| session.flash(KIND, "another"));
    if pushed.is_err() || run(session.commit()).map(drop).is_err() {
        // Not connect-flash's shape: an error, and nothing was written.
        assert_eq!(
            SETUP.stored().map(|record| record.as_json().to_owned()),
            Some(record.as_json().to_owned())
        );
        return;
    }
    let Some(written) = SETUP.stored() else { return };
    let again = SETUP.holding(&written);
    if taken.is_ok() {
        assert_eq!(again.peek_flash::<Value>(OTHER).expect("it was taken"), Vec::<Value>::new());
    }
    let Ok(messages) = again.take_flash::<Value>(KIND) else { return };
    assert!(messages.ends_with(&["message".into(), "another".into()]));
    assert_eq!(again.peek_flash::<Value>(KIND).expect("it was just read"), Vec::<Value>::new());
    // What Rust can represent is taken at once.
    again.take_all_flash();
    assert!(again.take_all_flash().is_empty());
}
