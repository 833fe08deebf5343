//! The README tells the truth: its program is the example, its files exist, its options are the builder's.

const README: &str = include_str!("../../README.md");

#[test]
fn the_quick_start_is_the_example() {
    let example = include_str!("../../examples/quickstart.rs");
    assert!(README.contains(&format!("```rust\n{example}```")), "copy examples/quickstart.rs into README.md");
}

#[test]
fn every_link_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links: Vec<_> = links.filter(|link| !link.contains("://")).collect();
    assert!(links.len() > 3);
    for link in links {
        assert!(root.join(link).exists(), "README links to {link}, which is not there");
    }
}

/// The text of every Rust file in a folder and in the folders below.
fn sources(folder: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    text
}

/// Every test that the security page names is there.
#[test]
fn every_test_of_the_security_page_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(&root.join("tests")) + &sources(&root.join("src/testing"));
    let page = include_str!("../../docs/security.md");
    let rows = page.lines().filter(|line| line.starts_with('|') && line.contains('`'));
    let cells = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    let names: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let test = [format!("fn {name}("), format!("fn {name}<")];
        assert!(
            test.iter().any(|test| sources.contains(test)),
            "docs/security.md names {name}, which is no test"
        );
    }
}
