//! The check, checked on small trees.

use crate::rules::{self, Room};
use crate::tree::Tree;

const FLOORS: &[Room] = &[
    Room { floor: 4, name: "lib", what: "the root" },
    Room { floor: 3, name: "http", what: "the top" },
    Room { floor: 2, name: "commit", what: "writes" },
    Room { floor: 2, name: "load", what: "reads" },
    Room { floor: 1, name: "json", what: "text" },
    Room { floor: 1, name: "error", what: "errors" },
];

/// The faults of imports among these files.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    rules::not_downwards(&Tree::of(files.iter().copied()), FLOORS)
}

/// What `commit.rs` with this text imports, each with its line.
fn imports(text: &str) -> Vec<(usize, String)> {
    let others =
        ["lib.rs", "http/mod.rs", "http/layer.rs", "load.rs", "json/mod.rs", "json/text.rs", "error.rs"];
    let files =
        others.iter().map(|path| (*path, "")).chain([("commit/mod.rs", text), ("commit/guard.rs", "")]);
    let tree = Tree::of(files);
    let commit = tree.files.iter().find(|file| file.path == "commit/mod.rs").unwrap();
    commit.imports.iter().map(|import| (import.line, tree.files[import.to].path.clone())).collect()
}

fn imported(text: &str) -> Vec<String> {
    imports(text).into_iter().map(|(_, path)| path).collect()
}

#[test]
fn an_import_from_a_lower_floor_is_no_fault() {
    let files = [
        ("lib.rs", "mod http; mod load; pub use http::Layer;"),
        ("http/mod.rs", "mod layer;"),
        ("http/layer.rs", "use crate::load::load; use crate::error::Error;"),
        ("load.rs", "use crate::error::Error;"),
        ("error.rs", ""),
    ];
    assert_eq!(faults(&files), [""; 0]);
}

#[test]
fn an_upward_import_is_found() {
    let faults = faults(&[("load.rs", "\nuse crate::http::Layer;"), ("http/mod.rs", "")]);
    assert_eq!(
        faults,
        [
            "load.rs:2 imports `crate::http::Layer`: `load` on floor 2 (reads) uses `http` on floor 3 (the top), \
          and imports run downwards"
        ]
    );
}

#[test]
fn the_root_is_above_those_it_re_exports() {
    let files = [("lib.rs", "mod load; mod error; pub use error::Error;"), ("load.rs", "use crate::Error;")];
    let faults = faults(&files);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("`lib` on floor 4"), "{faults:?}");
}

#[test]
fn a_sibling_import_is_found() {
    let faults = faults(&[("load.rs", "use crate::commit::guard::Guard;"), ("commit/guard.rs", "")]);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].ends_with("rooms on one floor do not see each other"), "{faults:?}");
}

#[test]
fn a_room_of_the_ground_floor_imports_from_those_listed_below_it() {
    let error = ("error.rs", "");
    assert_eq!(faults(&[("json/mod.rs", "use crate::error::Error;"), error]), [""; 0]);
    assert_eq!(faults(&[("error.rs", "use crate::json::Text;"), ("json/mod.rs", "")]).len(), 1);
}

#[test]
fn a_file_without_a_floor_is_found() {
    let tree = Tree::of([("lib.rs", ""), ("queues.rs", ""), ("json/text.rs", ""), ("helpers/mod.rs", "")]);
    let faults = rules::without_a_floor(&tree, FLOORS);
    assert_eq!(faults, ["queues.rs is in no room of the plan", "helpers/mod.rs is in no room of the plan"]);
}

#[test]
fn a_circle_inside_a_folder_is_found() {
    let tree = Tree::of([
        ("json/mod.rs", "mod date; mod object; mod text; use text::Text;"),
        ("json/date.rs", "use super::object::Object;"),
        ("json/object.rs", "\nuse super::text;"),
        ("json/text.rs", "fn f() -> super::Text { super::date::now() }"),
        ("error.rs", "use crate::json::Text;"),
    ]);
    assert_eq!(
        rules::circles(&tree),
        ["4 files import each other in a circle (json/mod.rs, json/date.rs, json/object.rs, json/text.rs); \
          one way round: json/mod.rs:1 → json/text.rs:1 → json/mod.rs"]
    );
}

#[test]
fn a_declaration_is_no_import() {
    let tree = Tree::of([
        ("lib.rs", "pub mod json;"),
        ("json/mod.rs", "mod text; pub(crate) mod date;"),
        ("json/text.rs", "use super::Json;"),
        ("json/date.rs", "use super::Json; use crate::json::text::Text;"),
    ]);
    assert_eq!(rules::circles(&tree), [""; 0]);
}

#[test]
fn a_long_file_is_found_and_tests_do_not_count() {
    let text = "fn f() {}\n".repeat(6);
    let tested = format!("fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{text}}}\n");
    let tree = Tree::of([
        ("load.rs", text.as_str()),
        ("error.rs", &tested),
        ("json/mod.rs", "#[cfg(test)]\nmod examples;\n"),
        ("json/examples.rs", &text),
        ("json/tests.rs", &text),
    ]);
    assert_eq!(rules::too_long(&tree, 5), ["load.rs has 6 lines, over 5"]);
    assert_eq!(tree.files[1].lines, 1);
}

#[test]
fn a_re_export_from_the_own_folder_is_found() {
    let tree = Tree::of([
        ("lib.rs", "mod json; pub use json::text::Text;"),
        (
            "json/mod.rs",
            "mod text;\npub use text::Text;\npub(crate) use self::text::{escape, quote};\nuse text::other;",
        ),
        ("json/text.rs", ""),
        ("http/mod.rs", "mod layer; pub use layer::Layer;"),
        ("http/layer.rs", ""),
    ]);
    let faults = rules::re_exports(&tree, &["http/mod.rs"]);
    let lines: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["json/mod.rs:2", "json/mod.rs:3", "json/mod.rs:3"]);
}

#[test]
fn grouped_nested_and_multi_line_imports_are_resolved() {
    let text = "
use std::fmt;
use crate::{
    error::{self, Error},
    json::{
        Json as Text,
        text::{escape, *},
    },
    load,
};
pub(crate) use crate::http::layer::Layer;
";
    let found = [
        (4, "error.rs"),
        (4, "error.rs"),
        (6, "json/mod.rs"),
        (7, "json/text.rs"),
        (7, "json/text.rs"),
        (9, "load.rs"),
        (11, "http/layer.rs"),
    ];
    assert_eq!(imports(text), found.map(|(line, path)| (line, path.to_owned())));
}

#[test]
fn relative_imports_are_resolved() {
    assert_eq!(imported("mod guard; use guard::Guard;"), ["commit/guard.rs"]);
    assert_eq!(imported("mod guard; use self::guard::Guard;"), ["commit/guard.rs"]);
    assert_eq!(imported("use super::load::load;"), ["load.rs"]);
    assert_eq!(imported("use super::*;"), ["lib.rs"]);
    assert_eq!(imported("mod inside { use super::super::load::load; use super::Here; }"), ["load.rs"]);
    assert_eq!(imported("mod inside { fn f() {} } use super::load::load;"), ["load.rs"]);
}

#[test]
fn paths_in_code_are_imports() {
    assert_eq!(
        imported("fn f(id: crate::error::Error) { crate::load::load::<u8>(id) }"),
        ["error.rs", "load.rs"]
    );
    assert_eq!(imported("mod guard; fn f() { guard::make() }"), ["commit/guard.rs"]);
    assert_eq!(imported("impl<T> super::http::layer::Layer<T> {}"), ["http/layer.rs"]);
    assert_eq!(imported("macro_rules! m { () => { $crate::load::load() } }"), ["load.rs"]);
    assert_eq!(imported("macro_rules! m { () => { use $crate::load::load; } }"), ["load.rs"]);
    // A module that was imported, and what is used of the modules below it.
    assert_eq!(imported("use crate::json; fn f() { json::text::escape() }"), ["json/mod.rs", "json/text.rs"]);
    assert_eq!(imported("use crate::json::text as t; fn f() { t::escape() }"), ["json/text.rs"; 2]);
}

#[test]
fn other_crates_are_no_imports() {
    let text = "
use error::Error; use ::load::Load; use json::{text, Json};
fn f(error: serde_json::Error) -> ::http::StatusCode { http::layer::f() }
pub(crate) fn g() {} pub(in crate::http) struct S; fn h() -> impl Sized + use<> {}
";
    assert_eq!(imported(text), [""; 0]);
}

#[test]
fn comments_and_strings_are_no_imports() {
    let text = r####"
//! See [`crate::load`].
/* use crate::load; /* use crate::http; */ use crate::http; */
/// ```
/// use crate::http::Layer;
/// ```
fn f<'a>(quote: &'a str) -> char {
    let all = ["use crate::load;", "\" use crate::load;", r"\", r#"" use crate::load; "#, "//"];
    let some = (b"use crate::load", br##""# crate::load::x "##, c"crate::load::x", b'"', '"', '\'', '\u{1F600}');
    let r#use = crate::error::Error; // crate::load::x
    '/'
}
"####;
    assert_eq!(imports(text), [(10, "error.rs".to_owned())]);
}

#[test]
fn tests_may_import_what_they_test() {
    assert_eq!(
        imported("#[cfg(test)] mod tests { use crate::http::Layer; } use crate::load::load;"),
        ["load.rs"]
    );
    assert_eq!(imported("#[cfg(test)] use crate::http::Layer; use crate::load::load;"), ["load.rs"]);
    assert_eq!(imported("#[cfg(all(test, unix))] #[allow(x)] fn f<A, B>() { crate::http::f() }"), [""; 0]);
    assert_eq!(imported("struct S { #[cfg(test)] a: crate::http::A, b: crate::load::B }"), ["load.rs"]);
    assert_eq!(imported("#![cfg(test)] use crate::http::Layer;"), [""; 0]);
    // These are compiled for users as well.
    assert_eq!(imported("#[cfg(any(test, feature = \"x\"))] use crate::http::Layer;"), ["http/mod.rs"]);
    assert_eq!(imported("#[cfg(not(test))] use crate::http::Layer;"), ["http/mod.rs"]);
    let files = [("load.rs", "#[cfg(test)] mod tests;"), ("load/tests.rs", "use crate::http::Layer;")];
    assert_eq!(faults(&[files[0], files[1], ("http/mod.rs", "")]), [""; 0]);
}

#[test]
fn an_exported_macro_is_text_of_its_callers() {
    let text =
        "#[macro_export] macro_rules! m { () => { use super::*; $crate::http::f() } } use crate::load::load;";
    assert_eq!(imported(text), ["load.rs"]);
}
