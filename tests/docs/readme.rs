//! The README tells the truth: its program is the example, its files exist, its options are the builder's.

const README: &str = include_str!("../../README.md");

#[test]
fn the_quick_start_is_the_example() {
    let example = include_str!("../../examples/quickstart.rs");
    assert!(README.contains(&format!("```rust\n{example}```")), "copy examples/quickstart.rs into README.md");
}

/// The page of the registry shows the README without the files beside it, so links lead to the documentation.
#[test]
fn every_link_leads_somewhere() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = include_str!("../../src/lib.rs");
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let links: Vec<_> = links.collect();
    assert!(links.len() > 8, "{links:?}");
    for link in links {
        if let Some(file) = link.strip_prefix("https://docs.rs/crate/sessile/latest/source/") {
            assert!(root.join(file).exists(), "README links to {file}, which is not there");
        } else if let Some(page) = link.strip_prefix("https://docs.rs/sessile/latest/sessile/") {
            let page = page.split("index.html").next().unwrap_or_default().trim_end_matches('/');
            let module = page.rsplit('/').next().unwrap_or_default();
            let is_there = module.is_empty() || library.contains(&format!("pub mod {module}"));
            assert!(is_there, "README links to the page {page}, which is no module");
        } else {
            assert!(
                link.starts_with("https://docs.rs/"),
                "README links to {link}, which the registry does not show"
            );
        }
    }
}

/// The table of features is one, in the README and in the crate's documentation, and lists every feature.
#[test]
fn every_feature_is_in_the_table() {
    let table = include_str!("../../docs/features.md");
    assert!(README.contains(table), "copy docs/features.md into README.md");
    let manifest = include_str!("../../Cargo.toml");
    let features = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let names = features.lines().filter_map(|line| line.split_once(" = [").map(|(name, _)| name));
    let names: Vec<_> = names.filter(|name| !name.starts_with('#') && *name != "default").collect();
    assert!(names.len() > 5, "{names:?}");
    for name in &names {
        assert!(table.contains(&format!("\n| `{name}` |")), "docs/features.md does not list {name}");
    }
    assert_eq!(table.lines().count(), names.len() + 2);
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
    let sources = sources(&root.join("tests")) + &sources(&root.join("src"));
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

/// What `src/` and the examples include is published with them: without it, neither the documentation nor an
/// example builds from the registry.
#[test]
fn what_the_sources_include_is_published() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = std::process::Command::new(env!("CARGO"));
    let output =
        command.args(["package", "--list", "--allow-dirty", "--offline"]).current_dir(root).output().unwrap();
    let published = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let library = include_str!("../../src/lib.rs");
    let included = library.split("include_str!(\"../").skip(1).filter_map(|rest| rest.split('"').next());
    let included: Vec<_> =
        included.chain(["examples/with_express/style.css", "LICENSE", "CHANGELOG.md"]).collect();
    assert!(included.len() > 10, "{included:?}");
    for file in included {
        assert!(published.lines().any(|line| line == file), "{file} is not in `include` of Cargo.toml");
    }
    assert!(!published.contains("tests/"), "tests need servers that are not published: {published}");
}
