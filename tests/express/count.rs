//! Counts the rows: each is a test or has a reason, and `docs/express-tests.md` says which.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// How many tests express-session 1.19 has: 142 in `test/session.js`, 18 in `test/cookie.js`.
const ROWS: [(char, u32); 2] = [('s', 142), ('c', 18)];

/// The rows that ask for something only Node.js or JavaScript has: what they ask for, and why nothing here
/// answers to it.
const NOT_APPLICABLE: [(&str, &str, &str); 19] = [
    (
        "s2",
        "A request that carries `req.session` already is left alone.",
        "No second implementation can put its session into the request; every `Session` extracted from one request is the same.",
    ),
    ("s4", "The secret comes from the request, put there by cookie-parser.", LEGACY),
    (
        "s10",
        "An empty request URL is handled.",
        "An HTTP request without a target never reaches an axum handler.",
    ),
    ("s11", "A second `end()` is ignored.", END),
    ("s12", "`end(null)` ends the response.", END),
    (
        "s14",
        "`for … in` over the session sees the data and `cookie` alone.",
        "A `Session` has no enumerable properties; `keys()` names the data.",
    ),
    ("s97", "Other middleware may have patched `end` and `write` before.", END),
    ("s98", "Other middleware may patch `end` and `write` after.", END),
    ("s99", "Headers that are set after the end fail as ever.", END),
    ("s102", "The session's methods are not enumerable.", "Methods are no properties in Rust."),
    ("s137", "A store that calls back synchronously can save.", SYNC),
    ("s138", "A store that calls back synchronously can destroy, while a body is streamed.", SYNC),
    ("s139", "cookie-parser: a signed value in `req.cookies` is read.", LEGACY),
    ("s140", "cookie-parser: an unsigned one is not.", LEGACY),
    ("s141", "cookie-parser: a wrongly signed one is not.", LEGACY),
    ("s142", "cookie-parser: `req.signedCookies` is read.", LEGACY),
    ("c1", "`new Cookie()` makes an object.", TYPES),
    ("c6", "`new Cookie({})` makes an object.", TYPES),
    ("c7", "Options that are a number, a text, a truth value or a function throw.", TYPES),
];
const LEGACY: &str =
    "The `Cookie` header is the one place cookies are read from; Express drops this in version 2.";
const END: &str = "A response is a value, and nothing patches its methods.";
const SYNC: &str = "A store's methods are futures; one that is ready at once is a future like any other.";
const TYPES: &str = "The compiler checks the options' types.";

struct Row {
    asks: String,
    answer: Answer,
}

enum Answer {
    Ported { file: String, test: String, differs: Option<String> },
    NotApplicable(&'static str),
}

#[test]
fn every_row_is_a_test_or_has_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut rows = BTreeMap::new();
    for (row, asks, reason) in NOT_APPLICABLE {
        let row_is_new =
            rows.insert(key(row).unwrap(), Row { asks: asks.into(), answer: Answer::NotApplicable(reason) });
        assert!(row_is_new.is_none(), "{row} is there twice");
    }
    let mut files: Vec<_> =
        fs::read_dir(root.join("tests/express")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let modules = include_str!("main.rs");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let module = format!("mod {};", name.trim_end_matches(".rs"));
        assert!(name == "main.rs" || modules.lines().any(|line| line == module), "{name} is not compiled");
        for (row, found) in tests(name, &fs::read_to_string(&file).unwrap()) {
            assert!(rows.insert(row, found).is_none(), "{row:?} is there twice");
        }
    }
    let all: Vec<_> =
        ROWS.into_iter().flat_map(|(list, last)| (1..=last).map(move |row| (list, row))).collect();
    for row in &all {
        assert!(rows.contains_key(row), "{row:?} is missing");
    }
    assert_eq!(rows.len(), all.len(), "there are rows that Express does not have");

    let not_applicable = rows.values().filter(|row| matches!(row.answer, Answer::NotApplicable(_))).count();
    let ported = rows.len() - not_applicable;
    println!("express tests: {} rows: {ported} ported, {not_applicable} not applicable", rows.len());

    let page = page(&rows, ported, not_applicable);
    let path = root.join("docs/express-tests.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/express-tests.md is not what the tests say; UPDATE_DOCS=1 rewrites it");
}

/// `s12` or `s12_and_more` is row 12 of list `s`.
fn key(name: &str) -> Option<(char, u32)> {
    let list = name.chars().next().filter(|list| ROWS.iter().any(|(known, _)| known == list))?;
    let row = name[1..].split('_').next()?;
    Some((list, row.parse().ok()?))
}

/// The rows among a file's tests, with what their documentation says.
fn tests(file: &str, source: &str) -> Vec<((char, u32), Row)> {
    let mut rows = Vec::new();
    let (mut documentation, mut attributes) = (String::new(), Vec::new());
    for line in source.lines() {
        if let Some(text) = line.strip_prefix("///") {
            documentation.push_str(text.trim());
            documentation.push(if text.trim().is_empty() { '\n' } else { ' ' });
            continue;
        }
        if line.starts_with("#[") {
            attributes.push(line);
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        let name = function.and_then(|rest| rest.split('(').next());
        if let Some((name, row)) = name.and_then(|name| Some((name, key(name)?))) {
            assert!(
                matches!(*attributes, ["#[test]" | "#[tokio::test]"]),
                "{name} is no test that always runs: {attributes:?}"
            );
            let mut paragraphs = documentation.split('\n').map(str::trim);
            let asks = paragraphs.next().unwrap_or_default().to_owned();
            assert!(!asks.is_empty(), "{name} does not say what its row asks for");
            let differs =
                paragraphs.find_map(|paragraph| paragraph.strip_prefix("Differs: ")).map(str::to_owned);
            rows.push((
                row,
                Row { asks, answer: Answer::Ported { file: file.into(), test: name.into(), differs } },
            ));
        }
        documentation.clear();
        attributes.clear();
    }
    rows
}

fn page(rows: &BTreeMap<(char, u32), Row>, ported: usize, not_applicable: usize) -> String {
    let mut page = String::from(INTRODUCTION);
    let differing =
        rows.values().filter(|row| matches!(row.answer, Answer::Ported { differs: Some(_), .. })).count();
    let _ = writeln!(
        page,
        "**{} rows: {ported} ported, {not_applicable} not applicable.** {differing} of those ported differ on purpose in \
         some part; the test holds the answer to what the last column says.",
        rows.len()
    );
    for (list, title) in [('s', "test/session.js"), ('c', "test/cookie.js")] {
        let _ = write!(page, "\n## `{title}`\n\n| row | asks for | test | differs |\n|---|---|---|---|\n");
        for ((_, number), row) in rows.iter().filter(|((of, _), _)| *of == list) {
            let (test, note) = match &row.answer {
                Answer::Ported { file, test, differs } => {
                    (format!("[`{test}`](../tests/express/{file})"), differs.as_deref().unwrap_or_default())
                }
                Answer::NotApplicable(reason) => ("not applicable".into(), *reason),
            };
            let name = format!("{}{number}", list.to_ascii_uppercase());
            let _ = writeln!(page, "| {name} | {} | {test} | {note} |", row.asks);
        }
    }
    page
}

const INTRODUCTION: &str = "\
# express-session's tests

express-session 1.19 has 160 tests. Each is a row here: a test of the same behaviour in [`tests/express`](../tests/express),
named after its row, or a reason why nothing here answers to it. `tests/express/count.rs` writes this page from the tests, and
fails where a row is missing or there twice, where its test does not run, or where the page is out of date.

";
