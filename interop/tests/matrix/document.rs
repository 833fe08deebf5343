//! The page `docs/matrix.md`.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::applications;
use crate::cell::{Action, Compared, Options, Visitor};
use crate::differences::ALL;

pub(crate) fn summary(compared: &[Compared]) -> String {
    let equal = compared.iter().filter(|cell| cell.by.is_empty()).count();
    let total = compared.len();
    format!(
        "matrix: {total} cells, {equal} equal to Express, {} different on purpose by {} rules, 0 wrong",
        total - equal,
        ALL.len()
    )
}

pub(crate) fn page(version: &str, code: &HashMap<Action, String>, compared: &[Compared]) -> String {
    let mut page = String::from(INTRODUCTION);
    let equal = compared.iter().filter(|cell| cell.by.is_empty()).count();
    let _ = writeln!(
        page,
        "Express' side is express-session {version}, observed. **{} cells: {equal} equal, {} different on purpose.**\n",
        compared.len(),
        compared.len() - equal,
    );
    page.push_str(LETTERS);
    page.push_str("\n## The differences\nA cell may differ by several of them.\n\n");
    page.push_str("| | difference | cells | why |\n|---|---|---|---|\n");
    for (at, difference) in ALL.into_iter().enumerate() {
        let (name, reason) = difference.name_and_reason();
        let _ = writeln!(page, "| {} | {name} | {} | {reason} |", at + 1, applications(compared, difference));
    }
    page.push_str(ACTIONS);
    for action in Action::ALL {
        let _ = writeln!(page, "| `{}` | {} |", code[&action], here(action));
    }
    for visitor in Visitor::ALL {
        let (title, text) = match visitor {
            Visitor::New => ("No cookie", "The browser comes for the first time."),
            Visitor::Unknown => {
                ("An unknown session", "The cookie is signed, and the store has no such session.")
            }
            Visitor::Existing => {
                ("A stored session", "The store has `{ n: 1, m: 1 }` under the cookie's id.")
            }
            Visitor::OldSecret => (
                "A stored session, the cookie under an old secret",
                "As before, signed with the second of two secrets.",
            ),
        };
        let cells: Vec<_> = compared.iter().filter(|cell| cell.cell.visitor == visitor).collect();
        let equal = cells.iter().filter(|cell| cell.by.is_empty()).count();
        let _ = write!(page, "\n## {title}\n{text} Of {} cells {equal} are equal.\n\n", cells.len());
        table(&mut page, code, &cells);
    }
    page
}

/// One visitor's cells: a row for each action, a column for each combination of the options that matter to
/// any of them.
fn table(page: &mut String, code: &HashMap<Action, String>, cells: &[&Compared]) {
    let find = |action, options| {
        cells
            .iter()
            .find(|cell| cell.cell.action == action && cell.cell.options == options)
            .map(|cell| show(cell))
    };
    let flips: [fn(&mut Options); 4] = [
        |options| options.resave ^= true,
        |options| options.rolling ^= true,
        |options| options.save_uninitialized ^= true,
        |options| options.max_age ^= true,
    ];
    let matters = flips.map(|flip| {
        cells.iter().any(|cell| {
            let mut other = cell.cell.options;
            flip(&mut other);
            find(cell.cell.action, cell.cell.options) != find(cell.cell.action, other)
        })
    });
    let chosen = |options: &Options| {
        let set = [options.resave, options.rolling, options.save_uninitialized, options.max_age];
        set.into_iter().zip(matters).all(|(set, matters)| matters || !set)
    };
    let columns: Vec<_> = Options::all().filter(chosen).collect();
    page.push_str("| |");
    for column in &columns {
        let _ = write!(page, " {} |", heading(*column, matters));
    }
    let _ = writeln!(page, "\n|---|{}", "---|".repeat(columns.len()));
    for action in Action::ALL {
        let row: Vec<_> = columns.iter().filter_map(|column| find(action, *column)).collect();
        if row.is_empty() {
            continue;
        }
        let _ = writeln!(page, "| `{}` | {} |", code[&action], row.join(" | "));
    }
}

fn heading(options: Options, matters: [bool; 4]) -> String {
    let letters = [
        (options.resave, 'R', 'r'),
        (options.rolling, 'L', 'l'),
        (options.save_uninitialized, 'U', 'u'),
        (options.max_age, 'M', 'm'),
    ];
    let shown = letters.into_iter().zip(matters).filter(|(_, matters)| *matters);
    shown.map(|((set, on, off), _)| if set { on } else { off }).collect()
}

fn show(cell: &Compared) -> String {
    if cell.by.is_empty() {
        return cell.ours.to_string();
    }
    let numbers: Vec<_> = (1..).zip(ALL).filter(|(_, rule)| cell.by.contains(rule)).collect();
    let numbers: Vec<_> = numbers.into_iter().map(|(number, _)| number.to_string()).collect();
    format!("{} → **{}** ({})", cell.express, cell.ours, numbers.join(", "))
}

/// What an action is here.
fn here(action: Action) -> &'static str {
    match action {
        Action::Read => "`session.get::<u8>(\"n\")?`",
        Action::SameValue => "`insert(\"n\", 1)?`",
        Action::Touch => "`touch()`",
        Action::MaxAge => "`set_max_age(Some(Duration::from_secs(30)))`",
        Action::Modify => "`insert(\"n\", 2)?`",
        Action::ModifyBack => "`insert(\"n\", 2)?`, then `insert(\"n\", 1)?`",
        Action::Remove => "`remove::<u8>(\"n\")?`",
        Action::Reorder => "`remove::<u8>(\"n\")?`, then `insert(\"n\", 1)?`",
        Action::Save => "`save().await?`",
        Action::ModifySave => "`insert(\"n\", 2)?`, then `save().await?`",
        Action::ModifySaveModify => "`insert(\"n\", 2)?`, `save().await?`, `insert(\"n\", 3)?`",
        Action::Reload => {
            "`reload().await`; `Err(Gone)` where nothing is stored, as Express' callback gets an error"
        }
        Action::ModifyReload => "`insert(\"n\", 2)?`, then `reload().await`",
        Action::BodyModify => "`insert(\"n\", 2)` while the body is streamed",
        Action::Regenerate => "`regenerate()`",
        Action::RegenerateModify => "`regenerate()`, then `insert(\"n\", 2)?`",
        Action::RegenerateModifySave => "`regenerate()`, `insert(\"n\", 2)?`, `save().await?`",
        Action::Destroy => "`destroy()`",
        Action::ModifyDestroy => "`insert(\"n\", 2)?`, then `destroy()`",
        Action::NullKeep => "a session that is never committed: a route without the layer",
        Action::NullDestroy | Action::DestroyUnset => "`destroy()`; there is no option `unset`",
        Action::ModifyFail => "`insert(\"n\", 2)?`, then a response with status 500",
        Action::HttpRead => {
            "`session.get::<u8>(\"n\")?`; `secure(true)`, `trust_proxy(true)`, the proxy says http"
        }
        Action::HttpModify => "`insert(\"n\", 2)?`; the same",
        Action::GoneRead => "`session.get::<u8>(\"n\")?`; the record is removed behind the session's back",
        Action::GoneModify => "`insert(\"n\", 2)?`; the same",
        Action::ChangedRead => {
            "`session.get::<u8>(\"n\")?`; another key is written behind the session's back"
        }
        Action::ChangedModify => "`insert(\"n\", 2)?`; the same",
    }
}

const INTRODUCTION: &str = "\
# The decision matrix

When is a session stored, and when is a cookie sent? express-session decides by `resave`, `rolling`, `saveUninitialized`,
the max-age, and what the handler did. This page has every combination, as Express answers it and as `SessionLayer` does.
It is written by [`interop/tests/matrix`](../interop/tests/matrix), which runs both sides and fails where a cell is neither
equal nor different by one of the rules below, where a rule explains nothing, or where this page is out of date.

";

const LETTERS: &str = "\
What the store was made to do, in order, then the cookie:

| letter | meaning |
|---|---|
| `S` | a record was written (`create`, `replace`, `set`) |
| `T` | a record's life was extended (`touch`) |
| `D` | a record was removed (`destroy`, `destroy_if`) |
| `C`, `c` | the cookie was set, with a new id, with the same id |
| `x` | the cookie was expired |
| – | nothing of all that |
| a number | the status of the answer, where it is not 200 |

Compared are these, and the data that is in the store afterwards; where a cell differs and looks the same, that data differs.

Columns: `r` or `R`, `resave` off or on; `l` or `L`, `rolling`; `u` or `U`, `saveUninitialized`; `m` or `M`, without or with a
max-age. An option that makes no difference to a table is left out of it.

Express touches at the end of each request that writes nothing; here a session is touched when it is loaded, at most once in
`touch_after`. To compare the touches cell by cell, each cell is run with `touch_after(Duration::ZERO)`, where one is due on every
request, and again with an hour, where none is. The letters are those of the second run, and `T` where it wrote nothing and
the first touched.
";

const ACTIONS: &str = "
## What the handlers do

| Express | here |
|---|---|
";
