//! Where the figures come from: the machine, and the versions of what was measured.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_lock::Lockfile;

/// What is measured, and what it is built on.
const CRATES: [&str; 18] = [
    "actix-session",
    "actix-web",
    "axum",
    "axum-extra",
    "axum_session",
    "axum_session_redispool",
    "axum-login",
    "cookie",
    "fred",
    "hyper",
    "redis",
    "sessile",
    "sqlx",
    "tokio",
    "tower-sessions",
    "tower-sessions-file-store",
    "tower-sessions-redis-store",
    "tower-sessions-sqlx-store",
];

pub fn describe() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.trim();
    let rustc = said("rustc", &["--version"]);
    format!(
        "Machine: {model}, {cores} cores; Linux {kernel}; {rustc}, release build with `lto = \"fat\"` and one codegen unit. \
         Versions, from the lock files in `benches/peers`: {}. Programs: {}.\n",
        [versions(), packages()].concat().join(", "),
        programs().join(", "),
    )
}

/// The first line a program prints, or that it does not.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("not installed").to_owned()
}

/// Servers and the client that loads them.
fn programs() -> Vec<String> {
    let programs: [(&str, &[&str]); 4] = [
        ("redis-server", &["--version"]),
        ("psql", &["--version"]),
        ("node", &["--version"]),
        ("wrk", &["-v"]),
    ];
    let version = |(program, arguments): (&str, &[&str])| {
        let said = said(program, arguments);
        // What looks like a version in what it says of itself.
        let numbered = |word: &&str| {
            word.trim_start_matches(['v', '=']).starts_with(|first: char| first.is_ascii_digit())
        };
        let version = said.split([' ', '/']).find(numbered).unwrap_or("not installed");
        format!("{program} {}", version.trim_start_matches(['v', '=']))
    };
    programs.map(version).to_vec()
}

/// The packages of the Express side.
fn packages() -> Vec<String> {
    let lock: serde_json::Value =
        serde_json::from_str(include_str!("../node/package-lock.json")).expect("a lock file");
    let version = |name: &str| {
        let version = lock["packages"][format!("node_modules/{name}")]["version"].as_str();
        format!("{name} {}", version.expect("the lock file has it"))
    };
    ["express", "express-session", "session-file-store", "bun"].map(version).to_vec()
}

pub fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

fn versions() -> Vec<String> {
    let lock: Lockfile = include_str!("../Cargo.lock").parse().expect("a lock file");
    CRATES
        .iter()
        .map(|&name| {
            let versions: BTreeSet<_> = lock
                .packages
                .iter()
                .filter(|package| package.name.as_str() == name)
                .map(|package| &package.version)
                .collect();
            let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
            format!("{name} {}", versions.join(" and "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_crate_has_a_version() {
        assert!(
            super::versions()
                .iter()
                .all(|line| line.split(' ').nth(1).is_some_and(|version| !version.is_empty()))
        );
    }
}
