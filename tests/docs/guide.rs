//! The guide for those who come from Express tells the truth: what its tables say is in its programs, which
//! are compiled, and no option is missing.

const GUIDE: &str = include_str!("../../docs/coming-from-express.md");

/// The cells of a table's row, `\|` being a letter like any other.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.replace('\u{0}', "|").trim().to_owned()).collect()
}

/// What stands between backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The text of the blocks that rustdoc compiles.
fn programs() -> String {
    GUIDE.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn every_call_of_the_tables_is_compiled() {
    let programs = programs();
    let (mut column, mut checked) = (None, 0);
    for line in GUIDE.lines() {
        if !line.starts_with('|') {
            column = None;
            continue;
        }
        let cells = cells(line);
        let Some(column) = column else {
            column = Some(cells.iter().position(|cell| cell == "sessile").unwrap_or(usize::MAX));
            continue;
        };
        let cell = cells.get(column).map_or("", String::as_str);
        for code in code(cell).filter(|code| code.contains('(')) {
            assert!(programs.contains(code), "no program of the guide has `{code}`, which its table has");
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} calls were found in the tables");
}

#[test]
fn every_option_of_the_builder_is_in_a_program() {
    let builder = include_str!("../../src/config/builder.rs");
    let options = builder.lines().filter_map(|line| {
        let name = line.trim_start().strip_prefix("pub fn ")?.split('(').next()?;
        line.contains("mut self").then_some(name)
    });
    let options: Vec<_> = options.collect();
    assert!(options.len() > 15, "{options:?}");
    let programs = programs();
    for option in options {
        assert!(programs.contains(&format!(".{option}(")), "the guide does not show `{option}`");
    }
}

#[test]
fn every_heading_it_links_to_is_there() {
    let anchor = |heading: &str| -> String {
        let letters = heading.to_lowercase();
        let letters = letters.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        letters.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let headings: Vec<_> = GUIDE.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let links: Vec<_> = GUIDE.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert!(links.len() > 5);
    for link in links {
        assert!(headings.iter().any(|heading| heading == link), "no heading for #{link} among {headings:?}");
    }
}

#[test]
fn the_files_it_names_are_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> =
        code(GUIDE).filter(|code| code.starts_with("examples/") || code.starts_with("interop/")).collect();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        assert!(root.join(file).exists(), "the guide names {file}, which is not there");
    }
}
