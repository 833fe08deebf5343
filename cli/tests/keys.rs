//! Secrets that the app makes of a `Key` of axum-extra, or of the bytes that a text encodes: the program finds the
//! users and the handles of that app.

use axum_extra::extract::cookie::Key;
use sessile::{FileStore, Sealed, Secrets, Session, SessionConfig, SessionStore};

use crate::fixture::{Fixture, run};

/// 64 letters and more: long enough for `Key::from`.
const TEXT: &str = "a text of sixty-four letters or more without a comma that somebody has thought of";
/// 64 bytes in base64, with both letters of its own.
const BASE64: &str =
    "+/+/AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7Zw==";
const HEX: &str = "FBffbf000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c";

fn decoded(base64: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(base64).expect("base64")
}

fn bytes_of_hex() -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&HEX[at..at + 2], 16).expect("hexadecimal digits");
    (0..HEX.len()).step_by(2).map(digits).collect()
}

/// Logs Ada in at an app with these secrets, and tells the handle.
fn log_in(fixture: &Fixture, folder: &str, secrets: Secrets) -> String {
    log_in_over(FileStore::new(fixture.path().join(folder)).expect("a folder"), secrets)
}

fn log_in_over(store: impl SessionStore, secrets: Secrets) -> String {
    run(async {
        let config = SessionConfig::builder(secrets).store(store).build().expect("a configuration");
        let created = config.create_session(async |session: Session| session.log_in("ada")).await;
        created.expect("it is created").handle().to_string()
    })
}

#[test]
fn the_program_finds_what_an_app_with_such_secrets_has() {
    let fixture = Fixture::new();
    let url_safe = BASE64.replace('+', "-").replace('/', "_").replace('=', "");
    let cases: [(&str, &str, Secrets); 7] = [
        ("--cookie-key from", TEXT, Key::from(TEXT.as_bytes()).into()),
        ("--cookie-key derive_from", TEXT, Key::derive_from(TEXT.as_bytes()).into()),
        ("--cookie-key from --secrets-encoding base64", BASE64, Key::from(&decoded(BASE64)).into()),
        ("--cookie-key from --secrets-encoding base64", &url_safe, Key::from(&decoded(BASE64)).into()),
        ("--cookie-key derive_from --secrets-encoding hex", HEX, Key::derive_from(&bytes_of_hex()).into()),
        ("--secrets-encoding base64", BASE64, decoded(BASE64).into()),
        ("--secrets-encoding hex", HEX, bytes_of_hex().into()),
    ];
    for (at, (options, text, secrets)) in cases.into_iter().enumerate() {
        let folder = format!("app-{at}");
        let handle = log_in(&fixture, &folder, secrets);
        let store = format!("file:{folder}");
        std::fs::write(fixture.path().join("key"), format!("{text}\n")).expect("it can be written");
        let say = |line: &str| {
            let output = fixture.shell(line, &store);
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        for given in [format!("--secrets-file key {options}"), options.to_owned()] {
            let before =
                if given.contains("file") { String::new() } else { format!("SESSILE_SECRETS='{text}' ") };
            let list = say(&format!("{before}sessile list --user ada {given}"));
            assert!(list.contains("1 session of ada") && list.contains(&handle), "{given}: {list}");
        }
        let show = say(&format!("sessile show --handle {handle} --secrets-file key {options}"));
        assert!(show.contains(&handle), "{options}: {show}");
        // The same text as it stands is another secret.
        let list = say("sessile list --user ada --secrets-file key");
        assert!(list.contains("0 sessions of ada"), "{options}: {list}");
        let check = say(&format!("sessile check --secrets-file key {options}"));
        assert!(check.contains("one, of 32 bytes or more"), "{options}: {check}");
    }
}

#[test]
fn the_program_opens_what_an_app_with_such_keys_has_sealed() {
    let fixture = Fixture::new();
    std::fs::write(fixture.path().join("secret"), TEXT).expect("it can be written");
    let cases = [("base64", BASE64, decoded(BASE64)), ("hex", HEX, bytes_of_hex())];
    for (encoding, text, key) in cases {
        let store = FileStore::new(fixture.path().join(encoding)).expect("a folder");
        let handle = log_in_over(Sealed::new(store, key), TEXT.into());
        std::fs::write(fixture.path().join("key"), format!("{text}\n")).expect("it can be written");
        let list = |options: &str| {
            let line =
                format!("sessile list --user ada --secrets-file secret --sealing-key-file key {options}");
            let output = fixture.shell(&line, &format!("file:{encoding}"));
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let opened = list(&format!("--sealing-key-encoding {encoding}"));
        assert!(opened.contains("1 session of ada") && opened.contains(&handle), "{encoding}: {opened}");
        // The text as it stands is another key.
        let other = list("");
        assert!(!other.contains("1 session of ada"), "{encoding}: {other}");
        // No error quotes a key.
        let wrong = list(if encoding == "hex" {
            "--sealing-key-encoding base64"
        } else {
            "--sealing-key-encoding hex"
        });
        assert!(!wrong.contains("1 session of ada") && !wrong.contains(text), "{encoding}: {wrong}");
    }
}
