//! Measurements that want a process of their own: this program starts itself for each, pinned to a core or
//! not.

use std::fmt::Debug;
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;

/// The word that tells the program it is such a process.
pub const INNER: &str = "--inner";

/// Where a process may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// On this core alone, which is given up where the machine has no such core.
    Only(usize),
    Any,
}

/// A command that runs on a core; what it starts does as well.
pub fn on(core: Core, program: &str) -> Command {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match core {
        Core::Only(core) if core < cores => {
            let mut command = Command::new("taskset");
            command.args(["-c", &core.to_string(), program]);
            command
        }
        _ => Command::new(program),
    }
}

/// This program once more, or another build of it.
pub fn again(core: Core, arguments: &[&str], build: Option<&Path>) -> Command {
    let own = std::env::current_exe().expect("this program has a path");
    let mut command = on(core, build.unwrap_or(&own).to_str().expect("a path that is text"));
    command.arg(INNER).args(arguments);
    command
}

/// Runs such a process to its end; the number it prints last.
pub fn figure<T: FromStr<Err: Debug>>(core: Core, arguments: &[&str]) -> T {
    let text = output(core, arguments);
    let last = text.lines().last().unwrap_or_default();
    last.parse().unwrap_or_else(|error| panic!("{arguments:?} printed {last:?}: {error:?}"))
}

/// Runs such a process to its end; what it prints.
pub fn output(core: Core, arguments: &[&str]) -> String {
    completed(&mut again(core, arguments, None))
}

/// Runs a command to its end; what it prints.
pub fn completed(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().expect("this program starts");
    assert!(output.status.success(), "{command:?} failed");
    String::from_utf8(output.stdout).expect("text")
}
