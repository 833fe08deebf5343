//! What stands in the place of a session's file and is no session: such a request gets a new session, and
//! what stands there stays.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sessile::testing::{Answer, Visitor};
use sessile::{FileStore, Origin, Record, SessionConfig, SessionId, SessionStore, StoreError, Version};

const HOUR: Duration = Duration::from_secs(3600);
const PLANTED: &str = "planted";
/// A session of somebody who would like to be an administrator.
const ADMIN: &str = r#"{"cookie":{"originalMaxAge":null},"user":"admin"}"#;

/// What is put into the session's place.
struct Plant {
    what: &'static str,
    put: fn(&Path),
    /// Whether `set` can write a session over it, and `destroy` can remove it.
    gives_way: bool,
}

/// Where a plant keeps what it points to: beside the folder of the sessions.
fn outside(place: &Path) -> PathBuf {
    place.parent().unwrap().with_file_name("outside")
}

fn link(to: impl AsRef<Path>, place: &Path) {
    symlink(to, place).unwrap();
}

fn pipe(place: &Path) {
    assert!(Command::new("mkfifo").arg(place).status().unwrap().success());
}

fn plants() -> Vec<Plant> {
    let plant = |what, put: fn(&Path)| Plant { what, put, gives_way: true };
    vec![
        plant("a link to a session", |place| {
            fs::write(outside(place), ADMIN).unwrap();
            link(outside(place), place);
        }),
        plant("a link to a file without an end", |place| link("/dev/zero", place)),
        plant("a link to nothing", |place| link(outside(place), place)),
        plant("a link to itself", |place| link(place, place)),
        plant("a link to a folder", |place| link("/", place)),
        Plant { what: "an empty folder", put: |place| fs::create_dir(place).unwrap(), gives_way: false },
        Plant {
            what: "a folder with a file",
            put: |place| {
                fs::create_dir(place).unwrap();
                fs::write(place.join("file"), ADMIN).unwrap();
            },
            gives_way: false,
        },
        plant("a pipe that nobody writes to", pipe),
        plant("a pipe with a session in it", |place| {
            pipe(place);
            // Open for reading as well, so that the open does not wait for a reader.
            let mut both_ends = OpenOptions::new().read(true).write(true).open(place).unwrap();
            both_ends.write_all(ADMIN.as_bytes()).unwrap();
            std::mem::forget(both_ends);
        }),
        plant("a socket", |place| std::mem::forget(UnixListener::bind(place).unwrap())),
        plant("an empty file", |place| fs::write(place, "").unwrap()),
        plant("half a session", |place| fs::write(place, &ADMIN[..ADMIN.len() / 2]).unwrap()),
        plant("binary data", |place| fs::write(place, [0, 159, 146, 150, 0]).unwrap()),
        plant("a session in Latin-1", |place| {
            fs::write(place, b"{\"cookie\":{},\"name\":\"Ren\xe9\"}").unwrap();
        }),
        plant("another JSON document", |place| fs::write(place, r#"["a","list"]"#).unwrap()),
        plant("a session without a cookie object", |place| fs::write(place, r#"{"user":"admin"}"#).unwrap()),
        plant("a file of more than 64 MiB", |place| {
            let file = File::create(place).unwrap();
            file.set_len((64 << 20) + 1).unwrap();
        }),
        plant("a device", |place| {
            // Only root may make one, and not in every container.
            if !Command::new("mknod").arg(place).args(["c", "1", "5"]).status().unwrap().success() {
                eprintln!("no device can be made here: a pipe stands in its place");
                pipe(place);
            }
        }),
    ]
}

/// What stands there, so that it can be compared: kind, inode, length and, of a file, its first bytes.
fn look(place: &Path) -> (String, u64, u64, Option<Vec<u8>>) {
    let about = fs::symlink_metadata(place).unwrap();
    let bytes = (about.is_file() && about.len() < 1 << 20).then(|| fs::read(place).unwrap());
    (format!("{:?}", about.file_type()), about.ino(), about.len(), bytes)
}

/// Calls `work` for each plant, with a store in a new folder and the place of the planted session.
async fn each_plant(work: impl AsyncFn(&Plant, &FileStore, &Path)) {
    for plant in plants() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::new(folder.path().join("sessions")).unwrap();
        let place = folder.path().join("sessions").join(PLANTED).with_extension("json");
        (plant.put)(&place);
        let done = tokio::time::timeout(Duration::from_secs(60), work(&plant, &store, &place)).await;
        done.unwrap_or_else(|_| panic!("{}: the store waits for it", plant.what));
    }
}

fn planted() -> SessionId {
    SessionId::new(PLANTED).unwrap()
}

fn record() -> Record {
    Record::from_json(r#"{"cookie":{"originalMaxAge":null},"n":1}"#).unwrap()
}

#[tokio::test]
async fn a_plant_is_corrupt_in_every_call_and_stays() {
    each_plant(async |plant, store, place| {
        let (before, id) = (look(place), planted());
        let expected = Version::of(&record());
        for (call, answer) in [
            ("get", store.get(&id).await.map(drop)),
            ("touch", store.touch(&id, HOUR).await.map(drop)),
            ("create", store.create(&id, &record(), HOUR).await.map(drop)),
            ("replace", store.replace(&id, &expected, &record(), HOUR).await.map(drop)),
            ("destroy_if", store.destroy_if(&id, &expected).await.map(drop)),
        ] {
            let error = answer.expect_err(plant.what);
            assert!(error.is_corrupt(), "{call} of {}: {error:?}", plant.what);
            assert_eq!(look(place), before, "{call} changed {}", plant.what);
        }
        let other = SessionId::random();
        store.set(&other, &record(), HOUR).await.unwrap();
        let many = store.get_many(&[id.clone(), other.clone()]).await.unwrap();
        assert!(matches!(&*many, [None, Some(_)]), "{} among many", plant.what);
        store.destroy(&other).await.unwrap();
        assert_eq!(store.len().await.unwrap(), 0, "{} counts", plant.what);
        assert_eq!(store.sweep().await.unwrap(), 0);
        store.clear().await.unwrap();
        assert_eq!(look(place), before, "{} was swept", plant.what);
    })
    .await;
}

/// What points elsewhere is replaced itself. A folder cannot be: its content is nobody's to remove.
#[tokio::test]
async fn set_and_destroy_act_on_the_plant_alone() {
    each_plant(async |plant, store, place| {
        let (id, before, target) = (planted(), look(place), fs::read(outside(place)).ok());
        let check = |answer: Result<(), StoreError>| match plant.gives_way {
            true => answer.expect(plant.what),
            false => assert!(answer.expect_err(plant.what).is_corrupt(), "{}", plant.what),
        };
        check(store.set(&id, &record(), HOUR).await);
        if plant.gives_way {
            assert!(store.get(&id).await.unwrap().is_some(), "{}", plant.what);
            fs::remove_file(place).unwrap();
            (plant.put)(place);
        } else {
            assert_eq!(look(place), before, "{}", plant.what);
        }
        check(store.destroy(&id).await);
        assert_eq!(fs::symlink_metadata(place).is_err(), plant.gives_way, "{}", plant.what);
        assert_eq!(fs::read(outside(place)).ok(), target, "{}", plant.what);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_meets_a_plant_gets_a_new_session() {
    each_plant(async |plant, store, place| {
        let secret = "a secret of at least 32 bytes, for tests";
        let config = SessionConfig::builder(secret).store(store.clone()).build().unwrap();
        let before = look(place);
        for what in ["write", "cycle", "regenerate", "destroy", "clear"] {
            let mut visitor = Visitor::with_id(&config, &planted());
            let session = visitor.open().await.unwrap_or_else(|error| panic!("{}: {error:?}", plant.what));
            assert_eq!(session.origin(), Origin::Undecodable, "{}", plant.what);
            match what {
                "cycle" => session.cycle_id(),
                "regenerate" => session.regenerate(),
                "clear" => session.clear(),
                _ => {}
            }
            match what {
                "destroy" => session.destroy(),
                _ => session.insert("user", "bob").unwrap(),
            }
            let answer = visitor.commit(&session).await.unwrap();
            assert_eq!(look(place), before, "{what} over {}", plant.what);
            if what == "destroy" {
                continue;
            }
            assert_eq!(answer, Answer::Set, "{what} over {}", plant.what);
            assert_ne!(visitor.id().unwrap(), planted());
            let session = visitor.open().await.unwrap();
            assert_eq!(session.origin(), Origin::Loaded);
            assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("bob"));
        }
    })
    .await;
}

/// What stands in a pipe is for whoever reads from it.
#[tokio::test]
async fn a_pipe_keeps_what_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    let place = folder.path().join(PLANTED).with_extension("json");
    pipe(&place);
    let mut both_ends = OpenOptions::new();
    both_ends.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let mut both_ends = both_ends.open(&place).unwrap();
    both_ends.write_all(ADMIN.as_bytes()).unwrap();
    assert!(store.get(&planted()).await.unwrap_err().is_corrupt());
    let mut left = vec![0; ADMIN.len()];
    both_ends.read_exact(&mut left).expect("the store has read from the pipe");
    assert_eq!(left, ADMIN.as_bytes());
}

/// A record that could not be read again is not written.
#[tokio::test]
async fn a_record_of_more_than_64_mib_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    let id = SessionId::random();
    store.set(&id, &record(), HOUR).await.unwrap();
    let padded = |pad| format!(r#"{{"cookie":{{"originalMaxAge":null}},"pad":"{}"}}"#, "x".repeat(pad));
    // One byte more.
    let big = Record::from_json(padded((64 << 20) + 1 - padded(0).len())).unwrap();
    let expected = Version::of(&record());
    for refused in [
        store.set(&id, &big, HOUR).await,
        store.create(&SessionId::random(), &big, HOUR).await.map(drop),
        store.replace(&id, &expected, &big, HOUR).await.map(drop),
    ] {
        assert!(refused.unwrap_err().is_unavailable());
    }
    assert_eq!(store.get(&id).await.unwrap().unwrap().record.as_json(), record().as_json());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "a file was left behind");
    // Another program has written it.
    fs::write(folder.path().join(PLANTED).with_extension("json"), big.as_json()).unwrap();
    assert!(store.get(&planted()).await.unwrap_err().is_corrupt());
}
