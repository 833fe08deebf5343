//! The folder of a `FileStore`: who may write to it, what killed processes leave in it, and what happens when
//! it is full, cannot be written to, or is gone.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use sessile::testing::{Answer, Visitor};
use sessile::{
    FileStore, Origin, Record, Replaced, SessionConfig, SessionError, SessionId, SessionStore, StoreError,
    Version,
};
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);
/// The user who owns nothing.
const NOBODY: u32 = 65_534;

fn count(n: u64) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{"originalMaxAge":null}},"count":{n}}}"#)).unwrap()
}

fn big() -> Record {
    let json = format!(r#"{{"cookie":{{"originalMaxAge":null}},"pad":"{}"}}"#, "x".repeat(1 << 16));
    Record::from_json(json).unwrap()
}

fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

fn config(store: &FileStore) -> SessionConfig {
    let secret = "a secret of at least 32 bytes, for tests";
    SessionConfig::builder(secret).store(store.clone()).build().unwrap()
}

fn reason(error: &StoreError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".locks").collect()
}

/// A folder, and whether this process can give files away, as root can.
fn folder_of_root() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let probe = folder.path().join("probe");
    fs::create_dir(&probe).unwrap();
    if chown(&probe, Some(NOBODY), None).is_err() {
        eprintln!("skipped: only root can give a folder to another user");
        return None;
    }
    fs::remove_dir(&probe).unwrap();
    Some(folder)
}

/// A refused folder: the error says why and what to do, and the option accepts the folder.
fn refused(path: &Path, why: &str) {
    let error = FileStore::new(path).expect_err(why);
    let reason = reason(&error);
    assert!(error.is_unavailable());
    for said in [why, "chmod 700", "shared_folder(true)", &format!("{path:?}")] {
        assert!(reason.contains(said), "{said:?} is not in {reason:?}");
    }
    let again = FileStore::builder(path).shared_folder(false).build().unwrap_err();
    assert_eq!(self::reason(&again), reason);
    FileStore::builder(path).shared_folder(true).build().unwrap();
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    for mode in [0o777, 0o1777, 0o770, 0o720, 0o702, 0o2775] {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), mode);
        assert!(FileStore::new(folder.path()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something was made in a refused folder");
        refused(folder.path(), "is writable for its group or for others");
    }
    // Others may read it, as the folder that session-file-store makes.
    for mode in [0o755, 0o750, 0o711, 0o700] {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), mode);
        FileStore::new(folder.path()).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o777, mode);
    }
    let folder = tempfile::tempdir().unwrap();
    let locks = folder.path().join(".locks");
    fs::create_dir(&locks).unwrap();
    set_mode(&locks, 0o777);
    let error = FileStore::new(folder.path()).unwrap_err();
    assert!(reason(&error).contains(".locks"), "{error:?}");
    FileStore::builder(folder.path()).shared_folder(true).build().unwrap();
}

#[test]
fn a_folder_of_another_user_is_refused() {
    let Some(folder) = folder_of_root() else { return };
    let [theirs, locked, ours] = ["theirs", "locked", "ours"].map(|name| folder.path().join(name));
    for path in [&theirs, &locked, &ours, &locked.join(".locks")] {
        fs::create_dir(path).unwrap();
        set_mode(path, 0o700);
    }
    chown(&theirs, Some(NOBODY), None).unwrap();
    refused(&theirs, "belongs to another user");
    chown(locked.join(".locks"), Some(NOBODY), None).unwrap();
    let error = FileStore::new(&locked).unwrap_err();
    assert!(reason(&error).contains("belongs to another user"), "{error:?}");
    // A link in the folder's place: of another user, to a folder that is ours; with and without a slash.
    let link = folder.path().join("link");
    symlink(&ours, &link).unwrap();
    FileStore::new(&link).unwrap();
    lchown(&link, Some(NOBODY), None).unwrap();
    refused(&link, "is a link of another user");
    refused(&link.join(""), "is a link of another user");
}

/// A folder in which everybody could write, and in which somebody has written.
#[tokio::test]
async fn a_shared_folder_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o777);
    let store = FileStore::builder(folder.path()).shared_folder(true).build().unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    assert_eq!(store.get(&id("a")).await.unwrap().unwrap().record.as_json(), count(1).as_json());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(folder.path().into()), mode(folder.path().join("a.json"))), (0o777, 0o600));
}

/// Waits until something holds, for at most a minute.
#[tokio::test]
async fn a_check_notices_what_became_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let config = config(&FileStore::new(&path).unwrap());
    config.check().await.unwrap();
    assert_eq!(names(&path), Vec::<String>::new(), "a check leaves nothing behind");
    set_mode(&path, 0o777);
    let shared = config.check().await.unwrap_err();
    assert!(shared.is_unavailable() && reason(&shared).contains("shared_folder"), "{shared:?}");
    set_mode(&path, 0o700);
    config.check().await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert!(config.check().await.unwrap_err().is_unavailable());
    assert!(!path.exists(), "a check makes no folder in the place of one that is gone");
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// A temporary file stays while the lock that its name tells is held, and goes when nobody holds it.
#[tokio::test]
async fn what_killed_processes_left_goes_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    let [left, written] =
        [".sessile-05-killed.tmp", ".sessile-2a-alive.tmp"].map(|name| folder.path().join(name));
    let open = || {
        let path = folder.path().to_owned();
        tokio::task::spawn_blocking(|| FileStore::new(path).map(drop))
    };
    let sweep = || {
        let store = store.clone();
        tokio::spawn(async move { store.sweep().await.map(drop) })
    };
    for round in 0..2 {
        fs::write(&left, "half a record").unwrap();
        fs::write(&written, "half a record").unwrap();
        // The lock of the writer that is alive, taken as another process takes it.
        let lock = File::options().write(true).open(folder.path().join(".locks/2a")).unwrap();
        lock.lock().unwrap();
        let cleaning = if round == 0 { open() } else { sweep() };
        until("the file of a killed writer goes", || !left.exists()).await;
        // By now the cleaning waits for the lock.
        assert!(written.exists(), "the file of a live writer was removed");
        fs::rename(&written, folder.path().join("written")).unwrap();
        lock.unlock().unwrap();
        cleaning.await.unwrap().unwrap();
        assert!(folder.path().join("written").exists());
    }
    fs::write(&written, "").unwrap();
    open().await.unwrap().unwrap();
    assert_eq!(names(folder.path()), ["written"]);
}

const CHILD: &str = "SESSILE_TEST_WRITING_CHILD";

/// Another process writes while this one opens the folder again and again.
#[tokio::test]
async fn a_start_disturbs_no_writer_in_another_process() {
    if let Ok(folder) = std::env::var(CHILD) {
        let store = FileStore::builder(folder).durability(sessile::Durability::None).build().unwrap();
        let mut said = std::io::stdout();
        for n in 0.. {
            store.set(&id(&format!("s{}", n % 100)), &count(n), HOUR).await.unwrap();
            if said.write_all(b"written\n").is_err() {
                return;
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "file_folder::a_start_disturbs_no_writer_in_another_process"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let mut written = 0;
    while written < 1_000 {
        FileStore::new(folder.path()).unwrap();
        for line in lines.by_ref().take(10) {
            written += usize::from(line.unwrap() == "written");
        }
        assert!(child.try_wait().unwrap().is_none(), "the writer failed after {written} writes");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The lock files are those that stand in the folder, not those that stood there once.
#[test]
fn a_folder_that_was_removed_and_made_again_is_locked_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let before = FileStore::new(&path).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime().block_on(before.set(&id("a"), &count(1), HOUR)).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let gone = runtime().block_on(before.set(&id("a"), &count(2), HOUR)).unwrap_err();
    assert!(gone.is_unavailable() && !path.exists(), "a folder that was removed came back as an empty one");

    fs::create_dir(&path).unwrap();
    set_mode(&path, 0o777);
    let error = runtime().block_on(before.set(&id("a"), &count(2), HOUR)).unwrap_err();
    assert!(reason(&error).contains("shared_folder(true)"), "{error:?}");
    set_mode(&path, 0o700);
    assert!(runtime().block_on(before.get(&id("a"))).unwrap().is_none());
    runtime().block_on(before.set(&id("a"), &count(2), HOUR)).unwrap();

    // A store that was opened before and one that is opened now exclude each other.
    let after = FileStore::new(&path).unwrap();
    for round in 0..200 {
        let (id, start) = (id(&format!("round-{round}")), Barrier::new(2));
        let create = |store: &FileStore| {
            let runtime = runtime();
            start.wait();
            runtime.block_on(store.create(&id, &count(0), HOUR)).unwrap()
        };
        let created = std::thread::scope(|threads| {
            let other = threads.spawn(|| create(&after));
            [create(&before), other.join().unwrap()]
        });
        assert!(created[0] != created[1], "round {round}: {created:?}");
    }
}

/// A file system of this size in the memory. `None`, and a message: this process may not mount one.
struct Disk(TempDir);

impl Disk {
    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: only root can mount a small disk, and not in every container");
            return None;
        }
        Some(Self(folder))
    }

    /// Puts a view over the disk that cannot be written to, whatever is open on it.
    fn make_read_only(&self) {
        let mount = |options: &str, from: Option<&Path>| {
            Command::new("mount").args(["-o", options]).args(from).arg(self.0.path()).status().unwrap()
        };
        assert!(mount("bind", Some(self.0.path())).success());
        assert!(mount("remount,bind,ro", None).success());
    }

    fn unmount(&self) -> bool {
        let unmount = Command::new("umount").arg("--lazy").arg(self.0.path()).stderr(Stdio::null()).status();
        unmount.is_ok_and(|status| status.success())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("sessions")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        while self.unmount() {}
    }
}

/// Each write fails as unavailable and leaves the session that was there.
async fn nothing_can_be_written(store: &FileStore, record: &Record) {
    let stored = store.get(&id("a")).await.unwrap().unwrap();
    let version = stored.version.clone().unwrap();
    for (call, refused) in [
        ("set", store.set(&id("a"), record, HOUR).await),
        ("create", store.create(&id("b"), record, HOUR).await.map(drop)),
        ("replace", store.replace(&id("a"), &version, record, HOUR).await.map(drop)),
        ("touch", store.touch(&id("a"), HOUR).await.map(drop)),
    ] {
        // A touch writes a small file, for which there may be room.
        if call == "touch" && refused.is_ok() {
            continue;
        }
        assert!(refused.unwrap_err().is_unavailable(), "{call}");
    }
    assert_eq!(store.get(&id("a")).await.unwrap().unwrap().record.as_json(), count(1).as_json());
    assert!(store.get(&id("b")).await.unwrap().is_none());

    let visitor = Visitor::with_id(&config(store), &id("a"));
    let session = visitor.open().await.unwrap();
    assert_eq!((session.origin(), session.get::<u64>("count").unwrap()), (Origin::Loaded, Some(1)));
    session.insert("pad", record.as_json()).unwrap();
    let error = visitor.clone().commit(&session).await.unwrap_err();
    assert!(matches!(&error, SessionError::Store(error) if error.is_unavailable()), "{error:?}");
    assert_eq!(visitor.open().await.unwrap().keys(), ["count"]);
}

/// Everything works, as if nothing had happened.
async fn all_is_well(store: &FileStore, path: &Path) {
    let replaced = store.replace(&id("a"), &Version::of(&count(1)), &big(), HOUR).await.unwrap();
    assert!(matches!(replaced, Replaced::Done(_)));
    let mut visitor = Visitor::new(&config(store));
    let session = visitor.open().await.unwrap();
    session.insert("user", "bob").unwrap();
    assert_eq!(visitor.commit(&session).await.unwrap(), Answer::Set);
    assert_eq!(visitor.open().await.unwrap().get::<String>("user").unwrap().as_deref(), Some("bob"));
    assert_eq!(store.len().await.unwrap(), 2);
    assert!(names(path).iter().all(|name| name.ends_with(".json")), "half a file was left");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_works_again_when_it_has_room() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let store = FileStore::new(disk.path()).unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    let filler = disk.0.path().join("filler");
    let mut file = File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    nothing_can_be_written(&store, &big()).await;
    assert!(FileStore::new(disk.path()).is_ok(), "a full disk can still be read");
    // A session can end on a full disk.
    store.destroy(&id("a")).await.unwrap();
    assert!(store.get(&id("a")).await.unwrap().is_none());

    drop(file);
    fs::remove_file(filler).unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    all_is_well(&store, &disk.path()).await;
}

/// The disk has room, but not for one more file.
#[tokio::test]
async fn a_disk_without_room_for_a_file_loses_nothing() {
    let Some(disk) = Disk::mount("size=4m,nr_inodes=200") else { return };
    let store = FileStore::new(disk.path()).unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    let filler = disk.0.path().join("filler");
    fs::create_dir(&filler).unwrap();
    for n in 0.. {
        if File::create(filler.join(n.to_string())).is_err() {
            break;
        }
    }
    nothing_can_be_written(&store, &count(2)).await;
    assert!(FileStore::new(disk.path()).unwrap_err().is_unavailable());
    fs::remove_dir_all(filler).unwrap();
    all_is_well(&store, &disk.path()).await;
}

#[tokio::test]
async fn a_read_only_disk_is_read() {
    let Some(disk) = Disk::mount("size=1m") else { return };
    let store = FileStore::new(disk.path()).unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    disk.make_read_only();
    nothing_can_be_written(&store, &count(2)).await;
    assert!(store.destroy(&id("a")).await.unwrap_err().is_unavailable());
    assert!(FileStore::new(disk.path()).unwrap_err().is_unavailable());
    assert!(disk.unmount());
    all_is_well(&store, &disk.path()).await;
}

/// The same by permissions, which bind everybody but root.
#[tokio::test]
async fn a_read_only_folder_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    store.set(&id("a"), &count(1), HOUR).await.unwrap();
    set_mode(folder.path(), 0o500);
    if File::create(folder.path().join("probe")).is_ok() {
        eprintln!("skipped: root writes to every folder");
        return;
    }
    nothing_can_be_written(&store, &count(2)).await;
    assert!(FileStore::new(folder.path()).unwrap_err().is_unavailable());
    set_mode(folder.path(), 0o700);
    all_is_well(&store, folder.path()).await;
}
