//! A process that is killed while it logs a user in, changes ids and ends sessions: whatever it leaves
//! behind, an end of all sessions ends it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use sessile::testing::Visitor;
use sessile::{Durability, FileStore, Session, SessionConfig};

/// How often a process is killed, if the variable `SESSILE_CRASHES` does not say so.
const KILLS: u64 = 100;
const CHILD: &str = "SESSILE_TEST_USER_KILLS";

fn config(folder: &Path) -> SessionConfig {
    let store = FileStore::builder(folder).durability(Durability::None).build().unwrap();
    let secret = "a secret of at least 32 bytes, for tests";
    SessionConfig::builder(secret).store(store).save_uninitialized(false).build().unwrap()
}

/// Logs in, changes the id, lets staff act as the user, logs out and ends sessions, until it is killed.
async fn work(folder: &Path) {
    let config = config(folder);
    let ada = config.sessions_of("ada");
    std::io::stdout().write_all(b"\nbegins\n").unwrap();
    for n in 0_u64.. {
        let acts: [fn(&Session); 6] = [
            |session| session.log_in("staff").unwrap(),
            |session| session.impersonate("ada").unwrap(),
            Session::stop_impersonating,
            |session| session.log_in("ada").unwrap(),
            Session::cycle_id,
            |session| session.log_in("ada").unwrap(),
        ];
        let mut visitor = Visitor::new(&config);
        for act in acts {
            let session = visitor.open().await.unwrap();
            act(&session);
            visitor.commit(&session).await.unwrap();
        }
        let session = visitor.open().await.unwrap();
        match n % 6 {
            2 => {
                ada.end(&ada.list().await.unwrap()[1].handle()).await.unwrap();
            }
            3 => {
                session.log_out();
                visitor.commit(&session).await.unwrap();
            }
            4 => {
                ada.end_others(&session).await.unwrap();
            }
            5 => {
                ada.end_all().await.unwrap();
            }
            _ => {}
        }
    }
}

/// The records in the folder that belong to a user.
fn records(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let records = files.filter(|file| file.is_file() && file.extension().is_some_and(|is| is == "json"));
    records.filter(|file| std::fs::read_to_string(file).unwrap().contains("__sessile")).count()
}

#[tokio::test]
async fn an_end_of_all_ends_what_a_killed_process_leaves() {
    if let Ok(folder) = std::env::var(CHILD) {
        return work(Path::new(&folder)).await;
    }
    let kills = std::env::var("SESSILE_CRASHES").map_or(KILLS, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut left = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "user_kills::an_end_of_all_ends_what_a_killed_process_leaves"])
            .env(CHILD, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "begins"), "kill {kill}: the process does not begin");
        std::thread::sleep(Duration::from_micros(kill * 7_919 % 40_000));
        assert!(child.try_wait().unwrap().is_none(), "kill {kill}: the process has failed");
        child.kill().unwrap();
        child.wait().unwrap();

        let config = config(folder.path());
        left += records(folder.path());
        for user in ["ada", "staff"] {
            let listed = config.sessions_of(user).count().await.unwrap();
            assert!(listed <= records(folder.path()), "kill {kill}: a listed session of {user} is dead");
            config.sessions_of(user).end_all().await.unwrap();
            assert_eq!(config.sessions_of(user).count().await.unwrap(), 0, "kill {kill}");
        }
        assert_eq!(records(folder.path()), 0, "kill {kill}: a session outlives the end of all");
    }
    println!("{kills} kills left {left} sessions behind");
    assert!(left > 0, "every process had ended its sessions: this tested nothing");
}
