//! The plan of the library's folders: imports run downwards, and no files import each other in a circle.
//!
//! Without it a file cannot be read, tested or replaced without the files above it. The check reads the
//! sources as text, with the standard library alone: [`source`] splits them into words, [`imports`] finds out
//! which file each `use` and each path leads to, and [`rules`] compares that with the plan below. Tests are
//! no part of the plan, because they may use whatever they test.

mod examples;
mod imports;
mod rules;
mod source;
mod tree;

use rules::Room;
use tree::Tree;

/// The rooms of `src/`, from the top floor down. A room is a file or a folder of `src/`.
///
/// A room imports from rooms on lower floors. Rooms on the same floor do not import each other, except on the
/// ground floor, where a room imports from those that are listed below it. A new file or folder of `src/`
/// needs a line here.
const FLOORS: &[Room] = &[
    Room { floor: 11, name: "testing", what: "the conformance kit, which uses whatever is public" },
    Room { floor: 10, name: "lib", what: "the front page and the re-exports, which may name everything" },
    Room { floor: 9, name: "tower_sessions", what: "reserved for an adapter to tower-sessions" },
    Room { floor: 9, name: "dbsc", what: "the endpoints to which a bound session's device brings its proof" },
    Room { floor: 9, name: "cookie_session", what: "sessions that the browser keeps" },
    Room {
        floor: 9,
        name: "users",
        what: "a user's sessions, to list and to end; sessions outside of requests",
    },
    Room { floor: 8, name: "http", what: "axum's side: the extractor and the layer" },
    Room { floor: 7, name: "load", what: "makes a session of a request's cookie" },
    Room { floor: 7, name: "commit", what: "makes a write and a cookie of what a request did" },
    Room { floor: 6, name: "session", what: "the handle that collects what a request does" },
    Room { floor: 5, name: "config", what: "the options, and the configuration they make" },
    Room { floor: 4, name: "store", what: "the contract of a store, and the stores" },
    Room { floor: 3, name: "record", what: "reads and writes the text of a stored session" },
    Room { floor: 2, name: "cookie", what: "the cookie's value, signature, attributes and header lines" },
    Room { floor: 1, name: "json", what: "JSON as text: members, strings, dates, equality" },
    Room { floor: 1, name: "request", what: "method, path and transport of a request" },
    Room { floor: 1, name: "id", what: "the id of a session" },
    Room { floor: 1, name: "clock", what: "the time, which a test can move" },
    Room { floor: 1, name: "error", what: "every error" },
    Room { floor: 1, name: "sync", what: "locks that a panic does not poison" },
];

/// The `mod.rs` files that re-export from their children all the same, because a public path leads through
/// them.
const RE_EXPORTING: &[&str] = &[
    // `sessile::testing::Probe` and the other tools of the kit.
    "testing/mod.rs",
    // `session_store_tests!` names each promise as `sessile::testing::promises::…`.
    "testing/promises/mod.rs",
];

/// How many lines a file may have, tests not counted: what a reader keeps in view in one sitting.
const LONGEST_FILE: usize = 350;

fn library() -> Tree {
    Tree::read("src")
}

/// Fails with one fault on each line.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_room_of_the_library_has_a_floor() {
    none(rules::without_a_floor(&library(), FLOORS));
}

#[test]
fn imports_of_the_library_run_downwards() {
    none(rules::not_downwards(&library(), FLOORS));
}

#[test]
fn no_files_of_the_library_import_each_other_in_a_circle() {
    none(rules::circles(&library()));
}

#[test]
fn no_file_of_the_library_is_too_long() {
    none(rules::too_long(&library(), LONGEST_FILE));
}

#[test]
fn no_mod_file_of_the_library_re_exports_from_its_children() {
    none(rules::re_exports(&library(), RE_EXPORTING));
}

#[test]
fn no_files_of_the_comparison_with_peers_import_each_other_in_a_circle() {
    none(rules::circles(&Tree::read("benches/peers/src")));
}
