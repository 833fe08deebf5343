//! What a `FileStore` notes of each user's sessions.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sessile::{FileStore, Record, SessionId, SessionStore, StoreError, UserIndex};

const CHILD: &str = "SESSILE_TEST_USERS_CHILD";
const USER: &str = "a-user";

fn index(store: &FileStore) -> &dyn UserIndex {
    store.users().expect("the store has an index")
}

/// The only file of a user's text that is there.
fn file(folder: &Path) -> PathBuf {
    let mut files = fs::read_dir(folder.join(".users")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.next().unwrap();
    assert_eq!(files.next(), None);
    file
}

fn reason(error: &StoreError) -> String {
    let errors =
        std::iter::successors(std::error::Error::source(error), |&error| std::error::Error::source(error));
    errors.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn users_stand_apart_from_the_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    assert_eq!(index(&store).read(USER).await.unwrap(), "");
    assert!(index(&store).replace(USER, "", "").await.unwrap());
    assert!(!folder.path().join(".users").exists(), "who has no users gets no folder for them");
    index(&store).append(USER, "{}\n").await.unwrap();
    let text = file(folder.path());
    assert_eq!(fs::read_to_string(&text).unwrap(), "{}\n");
    // As session-file-store looks for sessions: in the folder itself, by the ending.
    let is_session = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
    assert!(fs::read_dir(folder.path()).unwrap().all(|entry| !is_session(&entry.unwrap().path())));
    assert!(!is_session(&text));
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(text.parent().unwrap()), mode(&text)), (0o700, 0o600));

    let id = SessionId::random();
    store.set(&id, &Record::default(), Duration::from_secs(60)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1);
    store.sweep().await.unwrap();
    store.clear().await.unwrap();
    assert_eq!(index(&store).read(USER).await.unwrap(), "{}\n");
    // Each call works again when somebody has removed the folder.
    fs::remove_dir_all(folder.path().join(".users")).unwrap();
    assert_eq!(index(&store).read(USER).await.unwrap(), "");
    assert_eq!(index(&store).append(USER, "[]\n").await.unwrap(), "[]\n");
    assert!(index(&store).replace(USER, "[]\n", "").await.unwrap());
    assert_eq!(fs::read_dir(folder.path().join(".users")).unwrap().count(), 0, "an empty text is no file");
}

#[tokio::test]
async fn a_vanished_folder_is_an_error_and_not_a_user_without_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let store = FileStore::new(&path).unwrap();
    index(&store).append(USER, "{}\n").await.unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert!(index(&store).read(USER).await.unwrap_err().is_unavailable());
    assert!(index(&store).append(USER, "{}\n").await.unwrap_err().is_unavailable());
    assert!(!path.exists());
}

/// Whoever could write there could hide a session from its user.
#[tokio::test]
async fn a_folder_of_users_that_others_can_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join(".users");
    let store = FileStore::new(folder.path()).unwrap();
    index(&store).append(USER, "{}\n").await.unwrap();
    let refused = async |why: &str| {
        for error in [FileStore::new(folder.path()).unwrap_err(), store.check().await.unwrap_err()] {
            let reason = reason(&error);
            assert!(reason.contains(".users") && reason.contains(why), "{reason}");
        }
        FileStore::builder(folder.path()).shared_folder(true).build().unwrap();
    };
    fs::set_permissions(&users, Permissions::from_mode(0o777)).unwrap();
    refused("is writable for its group or for others").await;
    fs::set_permissions(&users, Permissions::from_mode(0o700)).unwrap();
    store.check().await.unwrap();
    if chown(&users, Some(65_534), None).is_ok() {
        refused("belongs to another user").await;
    }
}

#[tokio::test]
async fn what_is_planted_in_the_place_of_a_text_is_not_read_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::new(folder.path()).unwrap();
    index(&store).append(USER, "{}\n").await.unwrap();
    let text = file(folder.path());
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "{}\n").unwrap();
    let plants: [&dyn Fn(); 3] = [
        &|| symlink(&elsewhere, &text).unwrap(),
        &|| assert!(Command::new("mkfifo").arg(&text).status().unwrap().success()),
        &|| fs::write(&text, b"\xff\n").unwrap(),
    ];
    for plant in plants {
        fs::remove_file(&text).unwrap();
        plant();
        let planted = fs::symlink_metadata(&text).unwrap().ino();
        for error in [
            index(&store).read(USER).await.map(drop).unwrap_err(),
            index(&store).append(USER, "[]\n").await.map(drop).unwrap_err(),
            index(&store).replace(USER, "{}\n", "").await.map(drop).unwrap_err(),
        ] {
            assert!(error.is_unavailable(), "{error:?}");
        }
        assert_eq!(fs::symlink_metadata(&text).unwrap().ino(), planted, "the plant is gone");
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "{}\n");
    }
}

/// Appends numbered lines and replaces the text by itself until it is killed. Says each number once it is
/// kept.
async fn append_until_killed(folder: &str, who: &str) {
    let store = FileStore::new(folder).unwrap();
    for n in 0_u64.. {
        let line = format!("[\"{who}\",{n},\"{}\"]\n", "x".repeat(200));
        let text = index(&store).append(USER, &line).await.unwrap();
        assert!(text.contains(&line));
        let sorted = {
            let mut lines: Vec<_> = text.split_inclusive('\n').collect();
            lines.sort_unstable();
            lines.concat()
        };
        index(&store).replace(USER, &text, &sorted).await.unwrap();
        std::io::stdout().write_all(format!("\nsaid {n}\n").as_bytes()).unwrap();
    }
}

/// Two processes write to one text, and are killed: no line that was acknowledged is lost, none is half
/// there, and the next start removes what they left.
#[tokio::test]
async fn killed_processes_lose_no_line() {
    if let (Ok(who), Ok(folder)) = (std::env::var(CHILD), std::env::var("SESSILE_TEST_USERS_FOLDER")) {
        return append_until_killed(&folder, &who).await;
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let names = ["one", "other"].map(|name| format!("{name}{round}"));
        let mut children = names.clone().map(|who| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--nocapture", "file_users::killed_processes_lose_no_line"])
                .env(CHILD, who)
                .env("SESSILE_TEST_USERS_FOLDER", folder.path())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let said = children.each_mut().map(|child| {
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
            Box::new(lines.filter_map(|line| line.strip_prefix("said ")?.parse::<u64>().ok()))
        });
        let mut kept = Vec::new();
        for (mut said, (child, who)) in said.into_iter().zip(children.iter_mut().zip(names)) {
            let first = said.by_ref().take(5 + round).last().expect("a process has failed");
            child.kill().unwrap();
            child.wait().unwrap();
            kept.push((who, said.last().unwrap_or(first)));
        }
        // As a process leaves it that is killed between writing and renaming.
        let leftover = folder.path().join(".sessile-05-killed.tmp");
        fs::write(&leftover, "half a te").unwrap();
        let store = FileStore::new(folder.path()).unwrap();
        assert!(!leftover.exists());
        let text = index(&store).read(USER).await.unwrap();
        assert!(text.ends_with('\n') && text.lines().all(|line| line.ends_with("x\"]")), "half a line");
        for (who, last) in kept {
            for n in 0..=last {
                let line = format!("[\"{who}\",{n},");
                assert_eq!(text.matches(&line).count(), 1, "{line}");
            }
        }
        file(folder.path());
        let others = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(others.count(), 2, "only the lock files and the users are there");
    }
}
