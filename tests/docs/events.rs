//! The page of events lists every event of the source, with its level, target and fields, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("../../docs/guide/events.md");

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// `sessile::store::retry` for `store/retry.rs`.
fn target(path: &Path) -> String {
    let parts = path.with_extension("");
    let parts = parts.iter().map(|part| part.to_str().unwrap()).filter(|part| !["mod", "lib"].contains(part));
    std::iter::once("sessile").chain(parts).collect::<Vec<_>>().join("::")
}

/// What stands between a macro's parentheses, which begin before `rest`.
fn arguments(rest: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, letter) in rest.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &rest[..at];
        }
    }
    panic!("an event without an end: {rest}")
}

/// A row of the table: level, target, message, fields.
type Event = [String; 4];

/// The events of one file.
fn events(path: &Path, text: &str) -> Vec<Event> {
    let code: String =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let macros = code.split("tracing::").skip(1).filter_map(|rest| rest.split_once("!("));
    let levels = macros.filter(|(level, _)| ["error", "warn", "info", "debug", "trace"].contains(level));
    let event = |(level, rest): (&str, &str)| {
        let (fields, message) = arguments(rest).split_once('"').unwrap();
        let message = message.rsplit_once('"').unwrap().0;
        // A line that ends with a backslash continues without the next one's indentation.
        let message: String = message.split("\\\n").map(str::trim_start).collect();
        let fields = fields.split(',').map(|field| field.split('=').next().unwrap_or_default().trim());
        let fields: Vec<_> = fields.filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
        [
            level.to_uppercase(),
            format!("`{}`", target(path)),
            message.replace("{GOOD_SECRET}", "32"),
            fields.join(", "),
        ]
    };
    levels.map(event).collect()
}

#[test]
fn the_page_lists_every_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let source: BTreeSet<Event> = files
        .iter()
        .flat_map(|path| events(path.strip_prefix(&root).unwrap(), &fs::read_to_string(path).unwrap()))
        .collect();
    let (table, _) = PAGE.split_once("## Spans").expect("the page has a section about spans");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let page: BTreeSet<Event> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().to_owned()).collect();
            cells[1..5].to_vec().try_into().unwrap()
        })
        .collect();
    assert!(source.len() > 15, "{source:#?}");
    let missing: Vec<_> = source.difference(&page).collect();
    assert!(missing.is_empty(), "docs/guide/events.md does not list {missing:#?}");
    let invented: Vec<_> = page.difference(&source).collect();
    assert!(invented.is_empty(), "docs/guide/events.md lists what is not in src/: {invented:#?}");
}

#[test]
fn the_page_lists_every_span() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let mut spans = 0;
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let target = target(path.strip_prefix(&root).unwrap());
        for (before, after) in text.match_indices("_span!(\"").map(|(at, _)| text.split_at(at)) {
            let level = before.rsplit("::").next().unwrap().to_uppercase();
            let name = after.split('"').nth(1).unwrap();
            let row = format!("| {level} | `{target}` | `{name}` |");
            assert!(PAGE.contains(&row), "docs/guide/events.md has no row {row}");
            spans += 1;
        }
    }
    assert!(spans > 0, "no span was found");
}

#[test]
fn an_event_is_read_from_the_source() {
    let text = "// tracing::warn!(\"no\")\n    tracing::warn!(\n        error = cause(&error),\n        path,\n        \
                \"what (it) is; \\\n         and more\"\n    );\n x => tracing::debug!(n, \"two\"),";
    let read = events(Path::new("store/redis/mod.rs"), text);
    let expected = [
        ["WARN", "`sessile::store::redis`", "what (it) is; and more", "`error`, `path`"],
        ["DEBUG", "`sessile::store::redis`", "two", "`n`"],
    ];
    assert_eq!(read, expected.map(|event| event.map(str::to_owned)));
}
