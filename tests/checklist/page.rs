//! `docs/security.md` answers every item.

const PAGE: &str = include_str!("../../docs/security.md");

/// The rows of the table under a heading: number, what must hold, what is done, tests.
fn rows(heading: &str) -> Vec<[&str; 4]> {
    let (_, rest) =
        PAGE.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    let section = rest.split("\n## ").next().unwrap();
    let rows = section
        .lines()
        .filter(|line| line.starts_with("| ") && line[2..].starts_with(|c: char| c.is_ascii_digit()));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("not four cells: {cells:?}"))
    })
    .collect()
}

#[test]
fn every_item_of_the_checklist_has_a_test_or_says_what_to_do() {
    for (heading, items) in [("The checklist", 68), ("What went wrong elsewhere", 38)] {
        let rows = rows(heading);
        let numbers: Vec<_> = rows.iter().map(|[number, ..]| (*number).to_owned()).collect();
        assert_eq!(numbers, (1..=items).map(|number| number.to_string()).collect::<Vec<_>>(), "{heading}");
        for [number, must_hold, here, tests] in rows {
            assert!(!must_hold.is_empty(), "{heading}, {number}");
            assert!(
                tests.contains('`') || here.len() > 10 || here == "not yet",
                "{heading}, {number}: neither test nor sentence"
            );
        }
    }
}
