//! Pages with commands and what they print. The commands of a section run one after the other, in a folder of the
//! [`fixture`](crate::fixture) that only this section has. After the output of a command that fails comes its exit code:
//! `? 3`.

use std::path::{Path, PathBuf};

use snapbox::{Assert, Data, IntoData as _, Redactions};

use crate::fixture::Fixture;

const OPERATING: &str = "../docs/guide/operating.md";

/// Runs the commands of a page and compares what they print.
pub(crate) fn check(page: &str, store: &str) {
    let (path, text) = read(page);
    assert_eq(transcripts(&text, store, || {}), Data::read_from(&path, None), store);
}

/// Walks through the page for operators over a store that `fill` fills for each section, as [`Fixture`] does the folders.
/// `instead` has what the page says of files, each with what is so for this store.
pub(crate) fn walk_through_operating(store: &str, instead: &[(&str, &str)], fill: impl Fn()) {
    let (_, mut text) = read(OPERATING);
    let name = if store.contains("://") { "[STORE]" } else { store };
    for (files, this) in
        instead.iter().chain(&[("move file:sessions", "move $SESSILE_STORE"), ("file:sessions", name)])
    {
        assert!(text.contains(files), "the page does not say {files:?}");
        text = text.replace(files, this);
    }
    assert_eq(transcripts(&text, store, fill), text.into_data(), store);
}

fn read(page: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (path, text)
}

fn assert_eq(run: String, page: Data, store: &str) {
    Assert::new().action_env("SNAPSHOTS").normalize_paths(false).redact_with(redactions(store)).eq(run, page);
}

/// The text, with what its commands print now.
fn transcripts(text: &str, store: &str, fill: impl Fn()) -> String {
    let mut fixture = Fixture::new();
    fill();
    let mut run = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        run += &format!("{line}\n");
        if line.starts_with("## ") {
            fixture = Fixture::new();
            fill();
        }
        if line != "```console" {
            continue;
        }
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let commands = block.iter().filter_map(|line| line.strip_prefix("$ "));
        for (at, command) in commands.enumerate() {
            if at > 0 {
                run += "\n";
            }
            run += &transcript(&fixture, command, store);
        }
        run += "```\n";
    }
    run
}

fn transcript(fixture: &Fixture, command: &str, store: &str) -> String {
    let output = fixture.shell(command, store);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).expect("it prints text");
    assert!(!said.contains("geheim"), "{command} prints a password:\n{said}");
    let mut text = format!("$ {command}\n{said}");
    if !output.status.success() {
        text += &format!("? {}\n", output.status.code().map_or("killed".into(), |code| code.to_string()));
    }
    text
}

/// What differs from run to run.
fn redactions(store: &str) -> Redactions {
    let mut redactions = Redactions::new();
    let regex = |text| regex::Regex::new(text).expect("a regular expression");
    redactions.insert("[TIME]", regex(r"\d{4}-\d\d-\d\dT[\d:.]+Z")).expect("a placeholder");
    redactions.insert("[MILLIS]", regex(r"\b\d{13}\b")).expect("a placeholder");
    redactions.insert("[SECRET]", regex("[A-Za-z0-9+/]{43}=")).expect("a placeholder");
    if let Some((scheme, rest)) = store.split_once("://") {
        let place = rest.rsplit('@').next().unwrap_or(rest);
        redactions.insert("[STORE]", format!("{scheme}://{place}")).expect("a placeholder");
    }
    redactions
}

/// The pages that are the same over files and over SQLite, but for what follows from the store itself.
macro_rules! pages {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            check(concat!("tests/golden/", stringify!($name), ".md"), "file:sessions");
            check(concat!("tests/golden/", stringify!($name), ".md"), "sqlite:sessions.db");
        }
    )*};
}

pages! { list end show export secret usage }

#[test]
fn erase() {
    check("tests/golden/erase.md", "file:sessions");
}

#[test]
fn stats() {
    check("tests/golden/stats.md", "file:sessions");
    check("tests/golden/stats_sqlite.md", "sqlite:sessions.db");
}

#[test]
fn check_() {
    check("tests/golden/check.md", "file:sessions");
}

#[test]
fn errors() {
    check("tests/golden/errors.md", "file:sessions");
}

#[test]
fn sweep() {
    check("tests/golden/sweep.md", "file:sessions");
}

#[test]
fn moving() {
    check("tests/golden/move.md", "file:sessions");
}

#[test]
fn sealed() {
    check("tests/golden/sealed.md", "file:sessions");
}

/// The commands of the pages for readers work.
#[test]
fn readme() {
    check("README.md", "file:sessions");
}

#[test]
fn operating() {
    check(OPERATING, "file:sessions");
    walk_through_operating("sqlite:sessions.db", &[], || {});
}
