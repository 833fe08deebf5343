//! `FileStore`: the files themselves, two processes on one folder, and disks that fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sessile::testing::{TestClock, Visitor};
use sessile::{
    Clock as _, FileStore, MemoryStore, Record, Replaced, SessionConfig, SessionError, SessionId, SessionKey,
    SessionStore, Version,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);
/// As session-file-store 1.5.0 wrote it.
const EXPRESS: &str = r#"{"cookie":{"originalMaxAge":60000,"expires":"2026-11-24T10:09:42.619Z","httpOnly":true,"path":"/"},"user":"bob","n":1,"list":[1,"é",null],"__lastAccess":1795514922619}"#;

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn record(data: &str) -> Record {
    let cookie = r#"{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}"#;
    Record::from_json(format!(r#"{{"cookie":{cookie},{data}}}"#)).unwrap()
}

fn count(n: u64) -> Record {
    record(&format!(r#""count":{n}"#))
}

fn counted(record: &Record) -> u64 {
    serde_json::from_str::<serde_json::Value>(record.as_json()).unwrap()["count"].as_u64().unwrap()
}

/// A store in a folder of its own.
fn store() -> (TempDir, PathBuf, FileStore) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let store = FileStore::new(&path).unwrap();
    (folder, path, store)
}

fn millis() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// An Express file whose `__lastAccess` is a while ago.
fn express(ago: Duration) -> String {
    EXPRESS.replace("1795514922619", &(millis() - ago.as_millis()).to_string())
}

/// What is in the folder beside the sessions and the locks.
fn strays(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| !name.ends_with(".json") && name != ".locks").collect()
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_of_what_is_in_memory_waits_for_no_thread() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (_folder, _path, store) = store();
        store.set(&id("apple"), &count(1), HOUR).await.unwrap();
        store.set(&id("old"), &count(1), Duration::ZERO).await.unwrap();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || released.recv());
        let within = async |name, limit| tokio::time::timeout(limit, store.get(&id(name))).await;
        let found = within("apple", Duration::from_secs(5)).await.expect("it waits for the thread");
        assert_eq!(counted(&found.unwrap().unwrap().record), 1);
        assert!(
            within("old", Duration::from_secs(5)).await.expect("it waits for the thread").unwrap().is_none()
        );
        // What is not there is looked for in the usual way.
        within("pear", Duration::from_millis(100)).await.expect_err("the thread is busy");
        drop(release);
        busy.await.unwrap().unwrap_err();
        assert!(store.get(&id("pear")).await.unwrap().is_none());
    });
}

#[tokio::test]
async fn a_file_is_session_file_stores() {
    let (_folder, path, store) = store();
    let before = millis();
    store.set(&id("apple"), &record(r#""user":"bob""#), HOUR).await.unwrap();
    let text = fs::read_to_string(path.join("apple.json")).unwrap();
    let (record, last) = text.split_once(r#","__lastAccess":"#).unwrap();
    assert_eq!(
        record,
        r#"{"cookie":{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"},"user":"bob""#
    );
    let last: u128 = last.strip_suffix('}').unwrap().parse().unwrap();
    assert!((before..=millis()).contains(&last));
    assert_eq!(strays(&path), [""; 0]);
}

#[tokio::test]
async fn express_files_are_read() {
    let (_folder, path, store) = store();
    fs::write(path.join("apple.json"), express(Duration::from_secs(10))).unwrap();
    let stored = store.get(&id("apple")).await.unwrap().unwrap();
    assert_eq!(stored.record.max_age(), Some(Duration::from_secs(60)));
    assert!(!stored.record.as_json().contains("__lastAccess"));
    let left = stored.expires_in.unwrap();
    assert!(left > Duration::from_secs(45) && left <= Duration::from_secs(50), "{left:?}");
    // In the middle, as after an explicit save in Express; and without it.
    let middle =
        r#"{"cookie":{"originalMaxAge":null},"__lastAccess":1,"n":9007199254740993,"s":"\ud800","f":1.0}"#;
    fs::write(path.join("old.json"), middle).unwrap();
    assert!(store.get(&id("old")).await.unwrap().is_none(), "1970 plus an hour is over");
    let without = middle.replace(r#""__lastAccess":1,"#, "");
    fs::write(path.join("without.json"), &without).unwrap();
    let stored = store.get(&id("without")).await.unwrap().unwrap();
    assert_eq!(stored.record.as_json(), without);
    // A touch leaves the text alone.
    assert!(store.touch(&id("without"), HOUR).await.unwrap());
    let text = fs::read_to_string(path.join("without.json")).unwrap();
    assert!(text.starts_with(without.strip_suffix('}').unwrap()), "{text}");
    let loaded = stored.version.unwrap();
    let replaced = store.replace(&id("without"), &loaded, &count(1), HOUR).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)), "a touch is no conflict: {replaced:?}");
}

/// In session-file-store such a session never expires.
#[tokio::test]
async fn a_session_without_last_access_ages_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let clock = TestClock::new();
    let now = clock.now();
    let minute = Duration::from_secs(60);
    let store = FileStore::builder(folder.path()).ttl(2 * HOUR).clock(clock.clone()).build().unwrap();
    let write = |name: &str, max_age: &str, more: &str| {
        let path = folder.path().join(name).with_extension("json");
        fs::write(&path, format!(r#"{{"cookie":{{"originalMaxAge":{max_age}}},"n":1{more}}}"#)).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(now - minute / 2).unwrap();
    };
    write("minute", "60000", "");
    write("browser", "null", "");
    write("no-number", "60000", r#","__lastAccess":"yesterday""#);
    write("touched", "60000", "");
    write("long", "86400000", "");
    let left =
        async |name: &str| store.get(&id(name)).await.unwrap().map(|stored| stored.expires_in.unwrap());
    assert_eq!(left("minute").await, Some(minute / 2));
    assert_eq!(left("no-number").await, Some(minute / 2));
    assert_eq!(left("browser").await, Some(2 * HOUR - minute / 2), "session-file-store's `ttl`");
    assert!(store.touch(&id("touched"), HOUR).await.unwrap());
    assert!(HOUR - left("touched").await.unwrap() < Duration::from_millis(1), "a file counts milliseconds");

    clock.advance(minute / 2 - Duration::from_millis(1));
    assert!(left("minute").await.is_some());
    clock.advance(Duration::from_millis(1));
    for over in ["minute", "no-number"] {
        assert_eq!(left(over).await, None);
        assert!(!store.touch(&id(over), HOUR).await.unwrap());
    }
    assert_eq!(store.len().await.unwrap(), 3);
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert!(store.create(&id("minute"), &count(1), HOUR).await.unwrap());
    clock.advance(2 * HOUR);
    assert_eq!(store.sweep().await.unwrap(), 3);
    assert!(left("long").await.is_some());
}

/// Files have the time of the last access under this key. It is nobody's in any store, so that a program can
/// change its store.
#[tokio::test]
async fn the_key_of_the_last_access_is_reserved_in_every_store() {
    async fn check(store: impl SessionStore) {
        let secret = "a secret of at least 32 bytes, for tests";
        let config = SessionConfig::builder(secret).store(store).build().unwrap();
        let mut visitor = Visitor::new(&config);
        for _ in 0..2 {
            let session = visitor.open().await.unwrap();
            for refused in [
                session.insert("__lastAccess", "mine"),
                session.update("__lastAccess", |n: Option<u8>| n).map(drop),
                SessionKey::new("__lastAccess").insert(&session, 1),
            ] {
                let error = refused.unwrap_err();
                assert!(
                    matches!(&error, SessionError::Encode { key, .. } if key == "__lastAccess"),
                    "{error:?}"
                );
            }
            session.insert("n", 1).unwrap();
            visitor.commit(&session).await.unwrap();
            assert_eq!(visitor.open().await.unwrap().keys(), ["n"]);
        }
    }
    let (_folder, _, store) = store();
    check(store).await;
    check(MemoryStore::new()).await;
}

#[tokio::test]
async fn expiry_is_checked_at_load_and_swept() {
    let (_folder, path, store) = store();
    fs::write(path.join("over.json"), express(Duration::from_secs(61))).unwrap();
    fs::write(path.join("live.json"), express(Duration::from_secs(1))).unwrap();
    assert!(store.get(&id("over")).await.unwrap().is_none());
    assert!(!store.touch(&id("over"), HOUR).await.unwrap());
    assert!(path.join("over.json").exists(), "a read removed a file");
    assert_eq!(store.len().await.unwrap(), 1);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert!(!path.join("over.json").exists());
    assert!(store.get(&id("live")).await.unwrap().is_some());
    // By itself, until the handle is dropped.
    fs::write(path.join("over.json"), express(Duration::from_secs(61))).unwrap();
    let sweep = store.sweep_every(Duration::from_millis(10));
    let gone = async {
        while path.join("over.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the sweep never came");
    drop(sweep);
}

#[tokio::test]
async fn a_sweep_carries_on_after_an_error() {
    let (_folder, path, store) = store();
    let aside = path.with_file_name("aside");
    fs::rename(&path, &aside).unwrap();
    assert!(store.sweep().await.unwrap_err().is_unavailable());
    let _sweep = store.sweep_every(Duration::from_millis(5));
    tokio::time::sleep(Duration::from_millis(50)).await;
    fs::write(aside.join("over.json"), express(Duration::from_secs(61))).unwrap();
    fs::rename(&aside, &path).unwrap();
    let gone = async {
        while path.join("over.json").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the sweep ended with its first error");
}

#[tokio::test]
async fn foreign_files_break_nothing_and_stay() {
    let (_folder, path, store) = store();
    let foreign = [
        "README.txt",
        "notes.json",
        "array.json",
        "broken.json",
        "binary.json",
        ".sessile-new.tmp",
        ".sessile-40-new.tmp",
    ];
    fs::write(path.join("README.txt"), "hello").unwrap();
    fs::write(path.join("notes.json"), r#"{"title":"not a session"}"#).unwrap();
    fs::write(path.join("array.json"), "[]").unwrap();
    fs::write(path.join("broken.json"), r#"{"cookie":{"#).unwrap();
    fs::write(path.join("binary.json"), [0xff, 0xfe, 0]).unwrap();
    fs::write(path.join(".sessile-new.tmp"), "").unwrap();
    fs::write(path.join(".sessile-40-new.tmp"), "").unwrap();
    fs::create_dir(path.join("folder.json")).unwrap();
    fs::write(path.join("over.json"), express(Duration::from_secs(61))).unwrap();
    store.set(&id("live"), &count(1), HOUR).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1);
    assert!(!store.is_empty().await.unwrap());
    assert_eq!(store.sweep().await.unwrap(), 1);
    store.clear().await.unwrap();
    assert!(store.is_empty().await.unwrap());
    assert!(!path.join("live.json").exists());
    drop(store);
    FileStore::new(&path).unwrap();
    for name in foreign.iter().chain(&["folder.json"]) {
        assert!(path.join(name).exists(), "{name} was deleted");
    }
}

#[tokio::test]
async fn what_is_no_record_is_corrupt_and_stays() {
    let (_folder, path, store) = store();
    let deep = format!(r#"{{"cookie":{}"#, "[".repeat(100_000));
    let cases: [(&str, &[u8]); 7] = [
        ("empty", b""),
        ("truncated", br#"{"cookie":{"originalMaxAge":null},"user":"bo"#),
        ("text", b"\"text\""),
        ("null", b"null"),
        ("bare", b"{}"),
        ("deep", deep.as_bytes()),
        ("binary", &[0xff, 0xfe]),
    ];
    for (name, bytes) in cases {
        let file = path.join(name).with_extension("json");
        fs::write(&file, bytes).unwrap();
        let error = store.get(&id(name)).await.unwrap_err();
        assert!(error.is_corrupt(), "{name}: {error:?}");
        for refused in [
            store.touch(&id(name), HOUR).await.map(drop),
            store.create(&id(name), &count(1), HOUR).await.map(drop),
            store.replace(&id(name), &Version::from(1), &count(1), HOUR).await.map(drop),
        ] {
            assert!(refused.unwrap_err().is_corrupt(), "{name}");
        }
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}");
    }
}

#[tokio::test]
async fn no_id_leaves_the_folder() {
    let (folder, path, store) = store();
    let ids =
        ["../escape", "a/b", "/etc/passwd", "..", ".", "a\\b", ".locks", ".locks/00", "con", "é", "x y"];
    let long = "x".repeat(256);
    for (n, text) in ids.iter().copied().chain([long.as_str()]).enumerate() {
        store.set(&id(text), &count(n as u64), HOUR).await.unwrap();
    }
    for (n, text) in ids.iter().copied().chain([long.as_str()]).enumerate() {
        assert_eq!(counted(&store.get(&id(text)).await.unwrap().unwrap().record), n as u64);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was written beside the folder");
    assert_eq!(store.len().await.unwrap(), ids.len() + 1);
    assert_eq!(strays(&path), [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path, store) = store();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    store.touch(&id("a"), HOUR).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("a.json")), 0o600);
    assert_eq!(mode(&path.join(".locks")), 0o700);
    assert_eq!(mode(&path.join(".locks/00")), 0o600);
}

#[cfg(unix)]
#[tokio::test]
async fn a_planted_link_is_not_followed() {
    let (folder, path, store) = store();
    let target = folder.path().join("target.json");
    fs::write(&target, express(Duration::ZERO)).unwrap();
    std::os::unix::fs::symlink(&target, path.join("planted.json")).unwrap();
    assert!(store.get(&id("planted")).await.unwrap_err().is_corrupt());
    store.set(&id("planted"), &count(1), HOUR).await.unwrap();
    assert!(fs::read_to_string(&target).unwrap().contains("bob"), "the link's target was written to");
    assert!(fs::symlink_metadata(path.join("planted.json")).unwrap().is_file());
}

#[tokio::test]
async fn a_bad_path_is_refused_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), PathBuf::from("/proc/sessions"), PathBuf::from("/sys")] {
        if path.starts_with(folder.path()) || cfg!(target_os = "linux") {
            let error = FileStore::new(&path).expect_err("a store in no folder");
            assert!(
                error.is_unavailable() && std::error::Error::source(&error).is_some(),
                "{path:?}: {error:?}"
            );
        }
    }
    FileStore::new(folder.path().join("made/with/parents")).unwrap();
}

#[tokio::test]
async fn a_folder_that_vanishes_is_an_error_not_an_empty_store() {
    let (_folder, path, store) = store();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    let secret = "a secret of at least 32 bytes, for tests";
    let config = SessionConfig::builder(secret).store(store.clone()).build().unwrap();
    let visitor = Visitor::with_id(&config, &id("a"));
    let session = visitor.open().await.unwrap();
    session.insert("late", 1).unwrap();
    fs::rename(&path, path.with_file_name("aside")).unwrap();
    // A request is under way, and another one begins.
    assert_eq!(visitor.clone().commit(&session).await.unwrap_err().status(), 503);
    assert_eq!(visitor.open().await.unwrap_err().status(), 503);
    assert!(store.get(&id("a")).await.unwrap_err().is_unavailable());
    assert!(store.set(&id("a"), &count(2), HOUR).await.unwrap_err().is_unavailable());
    assert!(store.destroy(&id("a")).await.unwrap_err().is_unavailable());
    assert!(store.len().await.unwrap_err().is_unavailable());
    fs::rename(path.with_file_name("aside"), &path).unwrap();
    assert_eq!(counted(&store.get(&id("a")).await.unwrap().unwrap().record), 1);
}

/// Changes a counter as a session does; returns how often another writer was first.
async fn increment(store: &FileStore, times: usize) -> usize {
    let mut conflicts = 0;
    for _ in 0..times {
        let mut stored = store.get(&id("counter")).await.unwrap().unwrap();
        loop {
            let next = count(counted(&stored.record) + 1);
            let version = stored.version.unwrap();
            match store.replace(&id("counter"), &version, &next, HOUR).await.unwrap() {
                Replaced::Done(_) => break,
                Replaced::Conflict(fresh) => stored = fresh,
                Replaced::Gone => panic!("the counter is gone"),
            }
            conflicts += 1;
        }
    }
    conflicts
}

const CHILD: &str = "SESSILE_TEST_CHILD_FOLDER";

#[tokio::test]
async fn two_processes_lose_no_increment() {
    if let Ok(folder) = std::env::var(CHILD) {
        increment(&FileStore::new(folder).unwrap(), 200).await;
        return;
    }
    let (_folder, path, store) = store();
    store.set(&id("counter"), &count(0), HOUR).await.unwrap();
    let mut children: Vec<_> = (0..2)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "file::two_processes_lose_no_increment"])
                .env(CHILD, &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    // And this process beside them, through two stores on one folder.
    let (other, mut tasks) = (FileStore::new(&path).unwrap(), JoinSet::new());
    for store in [store.clone(), store.clone(), other.clone(), other] {
        tasks.spawn(async move { increment(&store, 50).await });
    }
    let conflicts: usize = tasks.join_all().await.into_iter().sum();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(counted(&store.get(&id("counter")).await.unwrap().unwrap().record), 600);
    assert!(conflicts > 0, "nobody was ever in anybody's way: this tested nothing");
    assert_eq!(strays(&path), [""; 0]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_loses_nothing() {
    if let Ok(folder) = std::env::var(CHILD) {
        // Every file this process writes may be 1 KiB long.
        let store = FileStore::new(folder).unwrap();
        let big = record(&format!(r#""pad":"{}""#, "x".repeat(1 << 16)));
        let old = store.get(&id("a")).await.unwrap().unwrap();
        for refused in [
            store.set(&id("a"), &big, HOUR).await.map(drop),
            store.create(&id("b"), &big, HOUR).await.map(drop),
            store.replace(&id("a"), &old.version.unwrap(), &big, HOUR).await.map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(error.is_unavailable() && std::error::Error::source(&error).is_some(), "{error:?}");
        }
        assert_eq!(counted(&store.get(&id("a")).await.unwrap().unwrap().record), 1);
        assert!(store.get(&id("b")).await.unwrap().is_none());
        return;
    }
    let (_folder, path, store) = store();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    let child = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 1; exec "$0" --exact file::a_full_disk_loses_nothing"#])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, &path)
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    assert_eq!(strays(&path), [""; 0], "half a file was left");
}

#[tokio::test]
async fn each_durability_writes() {
    use sessile::Durability;
    for durability in [Durability::None, Durability::File, Durability::Full] {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::builder(folder.path()).durability(durability).ttl(2 * HOUR).build().unwrap();
        store.set(&id("a"), &count(1), HOUR).await.unwrap();
        let left = store.get(&id("a")).await.unwrap().unwrap().expires_in.unwrap();
        assert!(left <= HOUR && left > HOUR - Duration::from_secs(60), "{left:?}");
        store.destroy(&id("a")).await.unwrap();
        assert!(store.get(&id("a")).await.unwrap().is_none());
    }
    assert_eq!(Durability::default(), Durability::File);
}

#[tokio::test]
async fn an_error_names_no_session() {
    let (_folder, path, store) = store();
    fs::create_dir(path.join("secret-id.json")).unwrap();
    for error in [
        store.get(&id("secret-id")).await.unwrap_err(),
        store.set(&id("secret-id"), &count(1), HOUR).await.unwrap_err(),
        store.destroy(&id("secret-id")).await.unwrap_err(),
    ] {
        let source = std::error::Error::source(&error).unwrap();
        let all = format!("{error} {error:?} {source} {source:?}");
        assert!(!all.contains("secret-id"), "{all}");
    }
}
