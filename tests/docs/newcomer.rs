//! A newcomer's steps work: the `cargo add` lines at the head of each example are all that its code needs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The files that each example needs, the one with `main` first.
fn examples() -> BTreeMap<String, Vec<PathBuf>> {
    let mut examples = BTreeMap::new();
    for entry in fs::read_dir(Path::new(ROOT).join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let files = if path.is_dir() {
            let inside = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            // What the Rust files include comes with them.
            let needed =
                inside.filter(|path| path.extension().is_some_and(|kind| kind == "rs" || kind == "css"));
            let mut files: Vec<_> = needed.collect();
            files.sort_by_key(|path| !path.ends_with("main.rs"));
            files
        } else {
            vec![path]
        };
        examples.insert(name, files);
    }
    assert!(examples.len() > 9, "{examples:?}");
    examples
}

/// The words after `cargo add`, for each such line at the head of an example.
fn additions(text: &str) -> Vec<Vec<&str>> {
    let head = text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim);
    head.filter_map(|line| Some(line.strip_prefix("cargo add ")?.split(' ').collect())).collect()
}

/// Every crate that an example names is in a line at its head. The check is quick and coarse; the next one
/// builds.
#[test]
fn every_example_names_its_crates() {
    for (name, files) in examples() {
        let main = fs::read_to_string(&files[0]).unwrap();
        let lines = additions(&main);
        let added: Vec<_> = lines.iter().flatten().map(|word| word.replace('-', "_")).collect();
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            let is_rust = file.extension().is_some_and(|kind| kind == "rs");
            for line in text.lines().filter(|_| is_rust).filter_map(|line| line.strip_prefix("use ")) {
                let crate_name = line.split([':', ';', ' ']).next().unwrap();
                let known = ["std", "crate", "super", "self"].contains(&crate_name);
                let is_added = added.iter().any(|word| word == crate_name);
                assert!(
                    known || is_added,
                    "examples/{name}: no `cargo add` line for {crate_name} in {lines:?}"
                );
            }
            assert!(
                main.contains("tracing_subscriber::fmt::init()"),
                "examples/{name} installs no subscriber"
            );
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{errors}");
}

/// A new crate for each example, made with these lines, builds. It takes minutes the first time, so it runs
/// where `SESSILE_FRESH_CRATES` is set. All crates share one target folder, and the versions of this
/// repository.
#[test]
fn a_fresh_crate_with_these_lines_builds() {
    if std::env::var_os("SESSILE_FRESH_CRATES").is_none() {
        eprintln!("skipped: SESSILE_FRESH_CRATES is not set");
        return;
    }
    // The folder and the profile of this repository, so that what both have in common is not checked again.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let profile = [r#"profile.dev.debug="line-tables-only""#, r#"profile.dev.package."*".debug=false"#];
    for (name, files) in examples() {
        let folder = tempfile::tempdir().unwrap();
        let cargo = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            command.args(arguments).current_dir(folder.path()).env("CARGO_TARGET_DIR", target);
            run(&mut command);
        };
        cargo(&["init", "--quiet", "--vcs", "none", "--name", &format!("fresh-{}", name.replace('_', "-"))]);
        fs::copy(Path::new(ROOT).join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();
        for file in &files {
            let to = if file == &files[0] { "main.rs".as_ref() } else { file.file_name().unwrap() };
            fs::copy(file, folder.path().join("src").join(to)).unwrap();
        }
        for words in additions(&fs::read_to_string(&files[0]).unwrap()) {
            // This crate comes from its folder, and everything else from the registry, as for a newcomer.
            let (ours, others): (Vec<&str>, Vec<&str>) = words.iter().partition(|word| **word == "sessile");
            let others_are_crates = others.first().is_some_and(|word| !word.starts_with("--"));
            if !ours.is_empty() {
                let features = if others_are_crates { &[] } else { &others[..] };
                cargo(&[&["add", "--quiet", "--path", ROOT], features].concat());
            }
            if others_are_crates {
                cargo(&[&["add", "--quiet"], &others[..]].concat());
            }
        }
        cargo(&["check", "--quiet", "--config", profile[0], "--config", profile[1]]);
    }
}
