//! The decision matrix: for every combination of `resave`, `rolling`, `saveUninitialized` and max-age, for
//! every kind of visitor and everything a handler does, the same store calls, the same cookie and the same
//! records as Express, or a difference that has a name.
//!
//! `node/matrix.js` runs Express' side. Nothing of its answers is kept here: `docs/matrix.md` shows them, and
//! this test holds that page to what it sees. `UPDATE_DOCS=1` rewrites the page.

mod cell;
mod differences;
mod document;
mod run;

use std::collections::HashMap;
use std::path::Path;

use cell::{Action, Cell, Compared, Express, Options, Outcome, Visitor};
use differences::{ALL, Difference, expected};

#[tokio::test]
async fn every_cell_is_as_in_express_or_differs_by_name() {
    let Some(server) = sessile_interop::node("matrix.js", &[]) else { return };
    let answer = reqwest::get(format!("http://{}/", server.address())).await.unwrap();
    let express: Express = answer.json().await.unwrap();
    assert!(express.version.starts_with("1.19."), "express-session {}", express.version);
    let theirs: HashMap<Cell, Outcome> =
        express.cells.into_iter().map(|seen| (seen.cell, seen.outcome)).collect();

    let cells = every_cell();
    assert_eq!(theirs.len(), cells.len(), "both sides run the same cells");
    let mut compared = Vec::new();
    let mut wrong = Vec::new();
    for cell in cells {
        let theirs = |cell: &Cell| theirs.get(cell).unwrap_or_else(|| panic!("Express did not run {cell:?}"));
        let ours = run::run(cell).await;
        let (expected, by) = expected(cell, theirs);
        if ours != expected {
            wrong.push(format!("{cell:?}\n  ours     {ours:?}\n  expected {expected:?} by {by:?}"));
        }
        compared.push(Compared { cell, express: theirs(&cell).clone(), ours, by });
    }
    assert!(wrong.is_empty(), "{} cells are wrong:\n{}", wrong.len(), wrong.join("\n"));
    for difference in ALL {
        assert!(applications(&compared, difference) > 0, "{difference:?} explains nothing");
    }
    println!("{}", document::summary(&compared));

    let page = document::page(&express.version, &express.code, &compared);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/matrix.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/matrix.md is not what this test sees; UPDATE_DOCS=1 rewrites it");
}

/// In the order of the page.
fn every_cell() -> Vec<Cell> {
    let mut cells = Vec::new();
    for visitor in Visitor::ALL {
        for action in Action::ALL.into_iter().filter(|action| visitor.stored() || !action.needs_stored()) {
            cells.extend(Options::all().map(|options| Cell { visitor, action, options }));
        }
    }
    cells
}

/// How many cells a difference has a part in.
fn applications(compared: &[Compared], difference: Difference) -> usize {
    compared.iter().filter(|cell| cell.by.contains(&difference)).count()
}
