//! Node.js programs, with their packages as their lock file names them.

use std::path::Path;
use std::process::Command;

use crate::process::{Program, Server, find};

/// A Node.js server: `script`, which listens on 127.0.0.1 on the port that the variable `PORT` names, with
/// these further variables. `None`, said aloud, where Node.js or the packages beside the script are not
/// installed.
pub fn node(script: &Path, environment: &[(&str, &str)]) -> Option<Server> {
    let node = find(&["node"])?;
    let packages = script.parent().is_some_and(|folder| folder.join("node_modules").is_dir());
    if !packages {
        let folder = script.parent().unwrap_or(script).display();
        assert!(std::env::var_os("SESSILE_REQUIRE_SERVERS").is_none(), "`npm ci` was not run in {folder}");
        eprintln!("skipped: run `npm ci` in {folder}");
        return None;
    }
    let script = script.to_owned();
    let environment: Vec<_> = environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(Server::start(move |port, _| {
        let mut command = Command::new("env");
        command.arg(format!("PORT={port}")).args(&environment).arg(&node).arg(&script);
        Program { command, stop: "TERM" }
    }))
}
