//! `docs/benchmarks.md`: one section a part, each replaced by the run that measured it anew.

use std::fmt;
use std::path::PathBuf;

use crate::machine;

/// One section.
pub struct Part {
    pub name: &'static str,
    pub title: &'static str,
    pub text: String,
}

/// The order of the sections, and their names on the command line.
pub const PARTS: [&str; 8] = ["process", "memory", "http", "redis", "postgres", "hot", "files", "growth"];

/// Sections that were measured by hand. A run leaves them as they are.
const BY_HAND: [&str; 3] = ["valkey", "redis-writes", "features"];

const INTRODUCTION: &str = "\
# Benchmarks

Made by `benches/peers/run`, which installs `wrk`, starts private servers, measures and writes this page; \
`benches/peers/run process` measures one section: `process`, `memory`, `http`, `redis`, `postgres`, `hot`, `files`, `growth`.
";

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Prints the section and puts it into the page.
pub fn publish(part: &Part) {
    println!("## {}\n\n{}", part.title, part.text);
    let path = folder().join("benchmarks.md");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    std::fs::write(&path, page(&old, part, &machine::describe(), &machine::today()))
        .expect("the page can be written");
}

fn page(old: &str, part: &Part, machine: &str, today: &str) -> String {
    let sections = PARTS.iter().chain(&BY_HAND).filter_map(|&name| {
        if name != part.name {
            return section(old, name).map(str::to_owned);
        }
        let (begin, end) = marks(name);
        Some(format!("{begin}\n## {}\n\n{}\nMeasured on {today}.\n{end}\n", part.title, part.text))
    });
    let sections: Vec<_> = sections.collect();
    format!("{INTRODUCTION}\n{machine}\n{}", sections.join("\n"))
}

fn marks(name: &str) -> (String, String) {
    (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"))
}

fn section<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (begin, end) = marks(name);
    let from = page.find(&begin)?;
    let to = page.find(&end)? + end.len() + 1;
    page.get(from..to)
}

/// A table in Markdown.
pub struct Table {
    columns: usize,
    lines: String,
}

impl Table {
    pub fn new(heads: &[&str]) -> Self {
        let lines = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
        Self { columns: heads.len(), lines }
    }

    /// # Panics
    /// With another number of cells than columns.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<_> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns, "{cells:?}");
        self.lines += &format!("| {} |\n", cells.join(" | "));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines)
    }
}

/// What comes on top of something: a whole number with its sign, or tenths where it is none.
pub fn plus(figure: f64) -> String {
    let tenths = (figure * 10.0).round() / 10.0;
    let number = if tenths.fract() == 0.0 || tenths.abs() >= 100.0 {
        grouped(tenths.round().abs())
    } else {
        format!("{:.1}", tenths.abs())
    };
    match number.as_str() {
        "0" => number,
        _ if tenths < 0.0 => format!("−{number}"),
        _ => format!("+{number}"),
    }
}

/// A whole number with commas between thousands.
pub fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut grouped = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0.0, 12.0, 5.25, -3.0, 0.04, 1234.56].map(plus),
            ["0", "+12", "+5.3", "−3", "0", "+1,235"]
        );
        assert_eq!([0.0, 999.0, 1000.0, 1234567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_part_replaces_its_own_section_only() {
        let part = |name, text: &str| Part { name, title: "Title", text: text.into() };
        let first = page("", &part("memory", "old"), "machine", "day");
        let second = page(&first, &part("process", "other"), "machine", "day");
        let third = page(&second, &part("memory", "new"), "machine", "day");
        assert!(third.find("other") < third.find("new"), "{third}");
        assert!(!third.contains("old"), "{third}");
        assert_eq!(page(&third, &part("memory", "new"), "machine", "day"), third);
    }
}
