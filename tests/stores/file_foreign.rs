//! Session files that somebody changes who takes no locks, as Express does, while the store is about to.

use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

use sessile::{FileStore, Record, Replaced, SessionId, SessionStore, Version};

const ROUNDS: u32 = 150;
const LIFE: Duration = Duration::from_secs(60);

fn record(by: &str) -> Record {
    Record::from_json(format!(r#"{{"cookie":{{"originalMaxAge":60000}},"by":"{by}"}}"#)).unwrap()
}

/// Lets the store and somebody else work on one file at a time, each round a little later; `check` sees what
/// both left.
fn race<T: Send>(
    store: impl AsyncFn(&FileStore, &SessionId) -> T + Sync,
    other: impl Fn(&Path) + Sync,
    mut check: impl FnMut(T, Option<String>),
) {
    let folder = tempfile::tempdir().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let files = FileStore::new(folder.path()).unwrap();
    for round in 0..ROUNDS {
        let id = SessionId::random();
        let path = folder.path().join(format!("{}.json", id.as_str()));
        runtime().block_on(files.set(&id, &record("before"), LIFE)).unwrap();
        let start = Barrier::new(2);
        let left = std::thread::scope(|scope| {
            let ours = scope.spawn(|| {
                let runtime = runtime();
                start.wait();
                runtime.block_on(store(&files, &id))
            });
            start.wait();
            // From at once to long after the file has reached the disk.
            std::thread::sleep(Duration::from_nanos(1_500) * round * round);
            other(&path);
            ours.join().unwrap()
        });
        check(left, std::fs::read_to_string(&path).ok());
    }
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".sessile-")), "left over: {left:?}");
}

async fn replace(store: &FileStore, id: &SessionId) -> Replaced {
    store.replace(id, &Version::of(&record("before")), &record("us"), LIFE).await.unwrap()
}

fn write_as_express_does(path: &Path) {
    let beside = path.with_extension("json.1");
    std::fs::write(
        &beside,
        r#"{"cookie":{"originalMaxAge":60000},"by":"them","__lastAccess":99999999999999}"#,
    )
    .unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[test]
fn what_they_removed_stays_away() {
    let mut seen = [0; 2];
    race(
        replace,
        |path| std::fs::remove_file(path).unwrap(),
        |answer, file| {
            assert_eq!(file, None, "brought back after {answer:?}");
            seen[usize::from(matches!(answer, Replaced::Gone))] += 1;
        },
    );
    println!("the store was first in {} rounds, they in {}", seen[0], seen[1]);
    assert!(seen.iter().all(|&rounds| rounds > 0), "{seen:?}: nobody raced");
}

#[test]
fn what_they_wrote_is_not_overwritten() {
    let mut seen = [0; 2];
    race(replace, write_as_express_does, |answer, file| {
        assert!(file.is_some_and(|file| file.contains("them")), "overwritten after {answer:?}");
        seen[usize::from(matches!(answer, Replaced::Done(_)))] += 1;
    });
    println!("they were first in {} rounds, the store in {}", seen[0], seen[1]);
    assert!(seen.iter().all(|&rounds| rounds > 0), "{seen:?}: nobody raced");
}

#[test]
fn a_touch_brings_nothing_back_and_overwrites_nothing() {
    let touch = async |store: &FileStore, id: &SessionId| store.touch(id, LIFE).await.unwrap();
    race(
        touch,
        |path| std::fs::remove_file(path).unwrap(),
        |answer, file| {
            assert_eq!(file, None, "brought back after {answer}");
        },
    );
    race(touch, write_as_express_does, |answer, file| {
        assert!(answer);
        assert!(file.is_some_and(|file| file.contains("them")), "overwritten");
    });
}
