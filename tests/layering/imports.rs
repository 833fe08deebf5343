//! The paths that a file imports by.

use std::collections::{HashMap, HashSet};

use crate::source::Token;

/// A module, from the crate's root.
pub(crate) type Module = Vec<String>;

/// A path to something in the same crate.
#[derive(Debug, PartialEq)]
pub(crate) struct Path {
    /// From the crate's root, with what stands behind the module as well.
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// Whether it is a `pub use`, or one of `pub(crate)` and the like.
    pub(crate) re_export: bool,
}

/// The paths of a file that is `module`. `is_module` knows the modules of the crate that have a file.
pub(crate) fn paths(tokens: &[Token], module: &[String], is_module: &dyn Fn(&[String]) -> bool) -> Vec<Path> {
    let mut reader = Reader {
        tokens,
        scope: module.to_vec(),
        inline: Vec::new(),
        children: children(tokens, module),
        aliases: HashMap::new(),
        is_module,
        paths: Vec::new(),
    };
    reader.read();
    reader.paths
}

/// What the file declares with `mod name;`.
fn children(tokens: &[Token], module: &[String]) -> HashSet<Module> {
    let declared = tokens.windows(3).filter(|three| three[0].text == "mod" && three[2].text == ";");
    declared.map(|three| [module, &[three[1].text.clone()]].concat()).collect()
}

struct Reader<'a> {
    tokens: &'a [Token],
    /// The module that is being read: the file's, or one inside of it.
    scope: Module,
    /// At which depth of braces each module inside of the file ends.
    inline: Vec<usize>,
    children: HashSet<Module>,
    /// The names under which other modules were imported.
    aliases: HashMap<String, Module>,
    is_module: &'a dyn Fn(&[String]) -> bool,
    paths: Vec<Path>,
}

impl Reader<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn read(&mut self) {
        let (mut at, mut depth) = (0, 0);
        while at < self.tokens.len() {
            match self.text(at) {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if self.inline.last() == Some(&depth) {
                        self.inline.pop();
                        self.scope.pop();
                    }
                }
                "mod" if self.text(at + 2) == "{" => {
                    self.scope.push(self.text(at + 1).to_owned());
                    self.inline.push(depth);
                    at += 2;
                    continue;
                }
                // `impl Trait + use<'a>` imports nothing.
                "use" if self.text(at + 1) != "<" => {
                    at = self.import(at);
                    continue;
                }
                _ if self.text(at + 1) == "::" && self.begins_a_path(at) => {
                    at = self.inline_path(at);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn begins_a_path(&self, at: usize) -> bool {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| self.text(at));
        // `pub(in crate::session)` says who may see something, and imports nothing.
        let visibility = before(1) == "in" && before(2) == "(" && before(3) == "pub";
        before(1) != "::" && !visibility && self.text(at).starts_with(|letter: char| letter.is_alphabetic())
    }

    /// A path outside of `use`: `crate::id::SessionId::new`.
    fn inline_path(&mut self, begin: usize) -> usize {
        let mut segments = vec![self.text(begin).to_owned()];
        let mut at = begin + 1;
        while self.text(at) == "::" && self.text(at + 1).starts_with(|l: char| l.is_alphabetic() || l == '_')
        {
            segments.push(self.text(at + 1).to_owned());
            at += 2;
        }
        if let Some(segments) = self.absolute(&segments) {
            self.paths.push(Path { segments, line: self.tokens[begin].line, re_export: false });
        }
        at
    }

    /// `use …;`, grouped and renamed as it may be; the place behind it.
    fn import(&mut self, begin: usize) -> usize {
        let before = begin.checked_sub(1).map_or("", |at| self.text(at));
        // `pub use`, and `pub(crate) use`: no other item may stand before a `use` with a bracket.
        let re_export = before == "pub" || before == ")";
        let mut leaves = Vec::new();
        let end = self.tree(begin + 1, &mut Vec::new(), &mut leaves);
        for (segments, alias, line) in leaves {
            let Some(segments) = self.absolute(&segments) else { continue };
            if (self.is_module)(&segments) {
                let own_name = segments.last().cloned();
                self.aliases.extend(alias.or(own_name).map(|alias| (alias, segments.clone())));
            }
            self.paths.push(Path { segments, line, re_export });
        }
        end
    }

    /// One branch of a `use`, up to a comma, a closing brace or a semicolon; the place behind it.
    fn tree(&self, mut at: usize, prefix: &mut Vec<String>, leaves: &mut Vec<Leaf>) -> usize {
        let length = prefix.len();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        // A path that begins with `::` leads to another crate, which no segment of ours is called.
        if self.text(at) == "::" {
            prefix.push(String::new());
            at += 1;
        }
        let mut alias = None;
        loop {
            match self.text(at) {
                "{" => {
                    at += 1;
                    while self.text(at) != "}" && at < self.tokens.len() {
                        at = self.tree(at, prefix, leaves);
                        at += usize::from(self.text(at) == ",");
                    }
                    prefix.truncate(length);
                    return at + 1 + usize::from(self.text(at + 1) == ";");
                }
                // The `$` of `$crate`.
                "::" | "*" | "$" => at += 1,
                "as" => {
                    alias = Some(self.text(at + 1).to_owned());
                    at += 2;
                }
                // `a::{self}` is `a`, while `self::a` begins at this module.
                "self" if !prefix.is_empty() => at += 1,
                "," | "}" | ";" | "" => break,
                word => {
                    prefix.push(word.to_owned());
                    at += 1;
                }
            }
        }
        leaves.push((prefix.clone(), alias, line));
        prefix.truncate(length);
        at + usize::from(self.text(at) == ";")
    }

    /// The path from the crate's root; `None` where it leads to another crate, or where it is no path to a
    /// module.
    fn absolute(&self, segments: &[String]) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&self.scope, rest].concat()),
            "super" => {
                let up = segments.iter().take_while(|segment| *segment == "super").count();
                let kept = self.scope.len().checked_sub(up)?;
                Some([&self.scope[..kept], &segments[up..]].concat())
            }
            name => {
                let child = [&self.scope, std::slice::from_ref(first)].concat();
                if self.children.contains(&child) {
                    return Some([&child, rest].concat());
                }
                self.aliases.get(name).map(|module| [module, rest].concat())
            }
        }
    }
}

/// The segments as written, the name after `as`, and the line.
type Leaf = (Vec<String>, Option<String>, usize);
