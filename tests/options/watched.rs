//! Secrets that change while the app runs.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sessile::testing::{Answer, TestClock, Visitor};
use sessile::{ConfigError, MemoryStore, Origin, Secrets, SessionConfig, SessionConfigBuilder};

use crate::common::id;
use crate::common::logs::Logs;

const OLD: &str = "the old secret of 32 bytes or more";
const NEW: &str = "the new secret of 32 bytes or more";
const MINUTE: Duration = Duration::from_secs(60);

/// A file of secrets, one a line, and how often it was read.
#[derive(Clone, Default)]
struct File(Arc<(Mutex<Option<&'static [&'static str]>>, AtomicUsize)>);

impl File {
    fn of(secrets: &'static [&'static str]) -> Self {
        let file = Self::default();
        file.write(secrets);
        file
    }

    fn write(&self, secrets: &'static [&'static str]) {
        *self.0.0.lock().unwrap() = Some(secrets);
    }

    fn remove(&self) {
        *self.0.0.lock().unwrap() = None;
    }

    fn reads(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn secrets(&self) -> Secrets {
        let file = self.clone();
        Secrets::watched(move || {
            file.0.1.fetch_add(1, Ordering::SeqCst);
            let secrets = *file.0.0.lock().unwrap();
            Ok(secrets.ok_or(io::ErrorKind::NotFound)?.into())
        })
    }

    fn builder(&self, clock: &TestClock) -> SessionConfigBuilder {
        let store = MemoryStore::builder().clock(clock.clone()).build();
        SessionConfig::builder(self.secrets()).store(store).clock(clock.clone())
    }
}

fn signed_by(secret: &str) -> String {
    SessionConfig::new(secret).unwrap().sign(&id("x"))
}

/// Requests until the configuration signs with this secret: the secrets are read beside them.
async fn until_signed_by(config: &SessionConfig, secret: &str) {
    let turns = async {
        while config.sign(&id("x")) != signed_by(secret) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), turns).await.expect("the secrets turn");
}

/// A rotation without a restart: requests under way end well, a cookie under a secret that is still listed is
/// accepted and signed anew, and one under a secret that was taken off the list is not.
#[tokio::test]
async fn secrets_turn_while_requests_are_under_way() {
    let (file, clock) = (File::of(&[OLD]), TestClock::new());
    let config = file.builder(&clock).build().unwrap();
    let mut visitor = Visitor::new(&config);
    let session = visitor.open().await.unwrap();
    session.log_in("ada").unwrap();
    visitor.commit(&session).await.unwrap();
    let copy = visitor.headers();
    let mut slow = Visitor::with_id(&config, &visitor.id().unwrap());
    let under_way = slow.open().await.unwrap();

    file.write(&[NEW, OLD]);
    clock.advance(MINUTE);
    until_signed_by(&config, NEW).await;
    under_way.insert("n", 1).unwrap();
    slow.commit(&under_way).await.unwrap();
    for visitor in [&visitor, &slow] {
        let session = visitor.open().await.unwrap();
        assert_eq!((session.origin(), session.get::<u8>("n").unwrap()), (Origin::Loaded, Some(1)));
        assert!(session.belongs_to("ada"));
    }
    let session = visitor.open().await.unwrap();
    assert_eq!(visitor.commit(&session).await.unwrap(), Answer::Set, "the cookie is signed anew");
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 1);

    file.write(&[NEW]);
    clock.advance(MINUTE);
    until_signed_by(&config, NEW).await;
    let refused = async {
        while config.session_from_headers(&copy).await.unwrap().origin() != Origin::BadSignature {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("the old secret is off the list");
    let other = config.session_from_headers(&visitor.headers()).await.unwrap();
    assert_ne!(other.origin(), Origin::BadSignature, "the cookie that was signed anew");
}

/// The secrets are read at start, and then once a minute at most, however many requests there are.
#[test]
fn secrets_are_read_once_a_minute() {
    let (file, clock) = (File::of(&[OLD]), TestClock::new());
    let config = file.builder(&clock).build().unwrap();
    let many = || (0..100).for_each(|_| assert!(config.verify(&signed_by(OLD)).is_some()));
    many();
    assert_eq!(file.reads(), 1);
    clock.advance(MINUTE - Duration::from_millis(1));
    many();
    assert_eq!(file.reads(), 1);
    clock.advance(Duration::from_millis(1));
    many();
    assert_eq!(file.reads(), 2);
    clock.advance(100 * MINUTE);
    many();
    assert_eq!(file.reads(), 3);
}

/// What cannot be read, or would be refused at start, changes nothing, and an error in the log says so.
#[test]
fn bad_secrets_leave_the_last_ones() {
    let (file, clock) = (File::of(&[OLD]), TestClock::new());
    let config = file.builder(&clock).build().unwrap();
    let strict_file = File::of(&[OLD]);
    let strict = SessionConfig::hardened(strict_file.secrets()).clock(clock.clone()).build().unwrap();
    let logs = Logs::capture();
    let mut errors = 0;
    for bad in [None, Some(&[][..]), Some(&["", OLD][..])] {
        match bad {
            None => file.remove(),
            Some(secrets) => file.write(secrets),
        }
        clock.advance(MINUTE);
        assert_eq!(config.sign(&id("x")), signed_by(OLD), "{bad:?}");
        errors += 1;
        assert_eq!(logs.text().matches("could not be read again").count(), errors, "{}", logs.text());
    }
    strict_file.write(&["short"]);
    clock.advance(MINUTE);
    assert_eq!(strict.sign(&id("x")), signed_by(OLD), "the preset goes on to ask for long secrets");
    file.write(&[NEW]);
    clock.advance(MINUTE);
    let _ = config.sign(&id("x"));
    assert_eq!(config.sign(&id("x")), signed_by(NEW), "and it goes on to read them");
    assert!(!logs.text().contains(OLD) && !logs.text().contains(NEW));
}

#[test]
fn secrets_that_cannot_be_read_at_start_are_refused() {
    let clock = TestClock::new();
    let error = File::default().builder(&clock).build().unwrap_err();
    assert_eq!(error, ConfigError::UnreadSecrets(io::ErrorKind::NotFound));
    assert!(error.to_string().starts_with("`secret`:"), "{error}");
    assert_eq!(File::of(&[]).builder(&clock).build().unwrap_err(), ConfigError::NoSecret);
    assert_eq!(File::of(&[""]).builder(&clock).build().unwrap_err(), ConfigError::EmptySecret);
    let strict = SessionConfig::hardened(File::of(&["short"]).secrets());
    assert_eq!(strict.build().unwrap_err(), ConfigError::ShortSecret);
    // A source within the source counts for nothing.
    let nested = Secrets::watched(|| Ok(Secrets::watched(|| Ok(OLD.into()))));
    assert_eq!(SessionConfig::new(nested).unwrap_err(), ConfigError::NoSecret);
    assert!(!format!("{:?}", File::of(&[OLD]).secrets()).contains(OLD));
}
