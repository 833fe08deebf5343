//! On a terminal, the program asks before it ends anything, and shows how far it is.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::fixture::{Fixture, SECRET};

/// Runs the program on a terminal of its own, which `script` of util-linux makes, and types.
fn typed(fixture: &Fixture, command: &str, keys: &str) -> Option<(i32, String)> {
    if Command::new("script").arg("--version").output().is_err() || !cfg!(target_os = "linux") {
        eprintln!("skipped: `script` of util-linux is not installed");
        return None;
    }
    let line = format!("{} {command}", env!("CARGO_BIN_EXE_sessile"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).current_dir(fixture.path());
    script.env("SESSILE_STORE", "file:sessions").env("SESSILE_SECRETS", SECRET).env("TERM", "xterm");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
    let mut keyboard = child.stdin.take().expect("it is piped");
    keyboard.write_all(keys.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    drop(keyboard);
    Some((output.status.code()?, String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn a_no_ends_nothing_and_a_yes_does() {
    let fixture = Fixture::new();
    let Some((code, said)) = typed(&fixture, "end --user ada", "n") else { return };
    assert!(said.contains("End 2 sessions of ada?"), "{said}");
    assert!(said.contains("nothing was done"), "{said}");
    assert_eq!(code, 4, "{said}");
    let list = fixture.shell("sessile list --user ada", "file:sessions");
    assert!(String::from_utf8_lossy(&list.stdout).contains("2 sessions of ada"));

    let (code, said) = typed(&fixture, "end --user ada", "y").expect("script was there before");
    assert!(said.contains("2 sessions ended"), "{said}");
    assert_eq!(code, 0, "{said}");
    let list = fixture.shell("sessile list --user ada", "file:sessions");
    assert!(String::from_utf8_lossy(&list.stdout).contains("0 sessions of ada"));
}

/// Scripts that read JSON are never asked, also on a terminal.
#[test]
fn who_reads_json_is_not_asked() {
    let fixture = Fixture::new();
    let Some((code, said)) = typed(&fixture, "erase --user ada --json", "y") else { return };
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("--yes"), "{said}");
}

/// What has been drawn, without the sequences that move the cursor.
fn drawn(said: &str) -> String {
    regex::Regex::new("\u{1b}\\[[0-9;?]*[A-Za-z]")
        .expect("a regular expression")
        .replace_all(said, "")
        .into_owned()
}

#[test]
fn a_bar_tells_how_many_sessions_are_copied() {
    let fixture = Fixture::new();
    let Some((code, said)) = typed(&fixture, "move file:sessions sqlite:new.db --yes", "") else { return };
    assert_eq!(code, 0, "{said}");
    let bars = drawn(&said);
    assert!(bars.contains("copying sessions") && bars.contains("4/4"), "{bars:?}");
    assert!(bars.contains("copying the lists of users") && bars.contains("2/2"), "{bars:?}");
    // A bar is wiped off, and what stays is the report.
    let left = said.rsplit("\u{1b}[2K").next().unwrap_or_default();
    assert_eq!(drawn(left).trim(), "4 sessions copied, 0 there already; 2 users", "{said:?}");
}

/// A script that sends the report to a file sees the bar, and the file has none of it.
#[test]
fn a_bar_is_no_output() {
    let fixture = Fixture::new();
    let Some((code, said)) = typed(&fixture, "move file:sessions sqlite:new.db --yes --json > report", "")
    else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    let report = std::fs::read_to_string(fixture.path().join("report")).expect("it was written");
    assert!(report.starts_with("{\n") && report.trim_end().ends_with('}'), "{report:?}");
    assert!(drawn(&said).contains("copying sessions"), "{said:?}");
}
