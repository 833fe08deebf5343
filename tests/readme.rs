//! The README tells the truth: its program is the example, its files exist, its options are the builder's.

const README: &str = include_str!("../README.md");

#[test]
fn the_quick_start_is_the_example() {
    let example = include_str!("../examples/quickstart.rs");
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
