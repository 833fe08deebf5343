//! No `Cookie` header panics, and none opens a session that was not signed here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sessile::{Origin, SessionId};
use sessile_fuzz::{CONFIG, open};

fuzz_target!(|input: &[u8]| {
    let session = open(input.split(|&byte| byte == b'\n'));
    assert_ne!(session.origin(), Origin::Loaded);
    let Ok(text) = std::str::from_utf8(input) else { return };
    assert!(CONFIG.verify(text).is_none());
    if let Ok(id) = SessionId::new(text) {
        let value = CONFIG.sign(&id);
        assert!(value.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte)));
        assert_eq!(CONFIG.verify(&value), Some(id));
    }
});
