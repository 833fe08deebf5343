//! A `move` that is killed at any point, and started again, loses nothing and doubles nothing.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sessile::{FileStore, SessionConfig, SessionId, SessionStore, SqliteStore};

use crate::fixture::{SECRET, run};

const SESSIONS: usize = 300;
const DAY: Duration = Duration::from_secs(86_400);

fn user(number: usize) -> String {
    format!("user {}", number / 3)
}

fn config(store: impl SessionStore) -> SessionConfig {
    SessionConfig::builder(SECRET).store(store).build().expect("a configuration")
}

/// Every session, as its id and its text.
async fn all(store: &impl SessionStore) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut ids = store.ids().expect("the store can tell");
    while let Some(id) = ids.try_next().await.expect("it answers") {
        let stored = store.get(&id).await.expect("it answers").expect("it is there");
        let left = stored.expires_in.expect("the store tells");
        assert!(left > 2 * DAY && left <= 3 * DAY, "the rest of life is kept");
        found.insert(id.as_str().to_owned(), stored.record.as_json().to_owned());
    }
    found
}

/// Begins to move everything to a folder of this name.
fn start(folder: &std::path::Path, new: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_sessile"))
        .args(["move", "sqlite:old.db", &format!("file:{new}"), "--yes"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn files(folder: &std::path::Path) -> usize {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
}

fn lists(folder: &std::path::Path) -> usize {
    std::fs::read_dir(folder.join(".users")).map_or(0, Iterator::count)
}

#[test]
fn a_killed_move_is_completed_by_the_next() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let old = run(async {
        let store = SqliteStore::open(folder.path().join("old.db")).await.expect("a file");
        store.migrate().await.expect("tables");
        let config = config(store.clone());
        for number in 0..SESSIONS {
            let user = user(number);
            config.create_session(async |session| session.log_in(&user)).await.expect("it is created");
        }
        let ids: Vec<SessionId> =
            store.ids().expect("the store can tell").try_collect().await.expect("it answers");
        for id in &ids {
            assert!(store.touch(id, 3 * DAY).await.expect("it answers"));
        }
        all(&store).await
    });
    assert_eq!(old.len(), SESSIONS);

    // At the beginning, while sessions are copied, and while the lists of users are.
    let mut kills = 0;
    for (sessions, users) in [(0, 0), (1, 0), (100, 0), (299, 0), (300, 1), (300, 50), (300, 99)] {
        let name = format!("new-{sessions}-{users}");
        let new = folder.path().join(&name);
        let mut child = start(folder.path(), &name);
        while files(&new) < sessions || lists(&new) < users {
            if child.try_wait().expect("it can be asked").is_some() {
                break;
            }
            std::thread::yield_now();
        }
        child.kill().expect("it can be killed");
        kills += usize::from(!child.wait().expect("it ends").success());
        assert!(start(folder.path(), &name).wait().expect("it ends").success());
        run(is_complete(&new, &old));
    }
    assert!(kills >= 5, "only {kills} of the moves were killed before their end");
}

/// Everything is there, once, and the lists lead to it.
async fn is_complete(new: &std::path::Path, old: &BTreeMap<String, String>) {
    let store = FileStore::new(new).expect("the folder");
    assert_eq!(&all(&store).await, old);
    let config = config(store);
    for number in (0..SESSIONS).step_by(3) {
        assert_eq!(config.sessions_of(user(number)).count().await.expect("it answers"), 3);
    }
    assert_eq!(config.sessions_of(user(0)).end_all().await.expect("it answers"), 3);
}
