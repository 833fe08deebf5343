//! From a `Cookie` header to an id.

use std::sync::LazyLock;

use sessile::{Origin, Record, SessionId};

use super::setup::Setup;

static EMPTY: LazyLock<Setup> = LazyLock::new(Setup::new);
static ONE: LazyLock<Setup> = LazyLock::new(|| {
    let setup = Setup::new();
    setup.put(&Record::from_json(r#"{"cookie":{"originalMaxAge":null,"expires":null}}"#).expect("a record"));
    setup
});

/// No header panics, none opens a session that was not signed here, and none in front of a good cookie hides
/// it.
pub fn cookie(input: &[u8]) {
    let lines = || input.split(|&byte| byte == b'\n');
    assert_ne!(EMPTY.open(lines()).origin(), Origin::Loaded);

    // Four cookies of the name are looked at.
    let name = b"connect.sid";
    let planted = input.windows(name.len()).filter(|part| part == name).count();
    if planted < 4 {
        let good = ONE.pair();
        assert_eq!(ONE.open(lines().chain([good.as_bytes()])).origin(), Origin::Loaded);
    }

    let Ok(text) = std::str::from_utf8(input) else { return };
    assert!(EMPTY.config.verify(text).is_none());
    if let Ok(id) = SessionId::new(text) {
        let value = EMPTY.config.sign(&id);
        assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte)));
        assert_eq!(EMPTY.config.verify(&value), Some(id));
    }
}
