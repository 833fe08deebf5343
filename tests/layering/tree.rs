//! The files of a crate and their imports of one another.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::imports::{self, Module};
use crate::source::Source;

/// The files of a crate, tests left out.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

pub(crate) struct File {
    /// From the folder that holds the crate's root: `store/mod.rs`.
    pub(crate) path: String,
    /// How many lines it has without its tests.
    pub(crate) lines: usize,
    pub(crate) imports: Vec<Import>,
}

/// One file's use of another.
pub(crate) struct Import {
    /// The place of the other file among [`Tree::files`].
    pub(crate) to: usize,
    pub(crate) line: usize,
    /// The path from the crate's root.
    pub(crate) path: String,
    pub(crate) re_export: bool,
}

impl Tree {
    /// The Rust files of this folder of the repository.
    pub(crate) fn read(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut paths = Vec::new();
        rust_files(&root, &mut paths);
        paths.sort();
        let sources = paths.iter().map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
            (name, fs::read_to_string(path).unwrap())
        });
        let sources: Vec<_> = sources.collect();
        assert!(sources.len() > 10, "{folder} has {} files: this checks nothing", sources.len());
        Self::of(sources.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    /// Files with these paths and texts.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let all = files.into_iter().map(|(path, text)| (path, module(path), Source::parse(text)));
        let all: Vec<_> = all.collect();
        let tests = all.iter().flat_map(|(_, module, source)| {
            source.test_modules.iter().map(|name| [module.as_slice(), std::slice::from_ref(name)].concat())
        });
        let tests: Vec<Module> = tests.collect();
        let is_test = |module: &Module| {
            module.last().is_some_and(|name| name == "tests")
                || tests.iter().any(|test| module.starts_with(test))
        };
        let kept: Vec<_> = all.iter().filter(|(_, module, _)| !is_test(module)).collect();
        // `main.rs` is a program beside the library, which nothing can import.
        let library = kept.iter().enumerate().filter(|(_, (path, _, _))| *path != "main.rs");
        let places: HashMap<_, _> =
            library.map(|(place, (_, module, _))| (module.as_slice(), place)).collect();
        let files = kept.iter().enumerate().map(|(own, (path, module, source))| {
            let paths = imports::paths(&source.tokens, module, &|module| places.contains_key(module));
            let imports = paths.into_iter().filter_map(|found| {
                // The file of the innermost module on the path.
                let lengths = (0..=found.segments.len()).rev();
                let to = lengths.into_iter().find_map(|length| places.get(&found.segments[..length]))?;
                let path = format!("crate::{}", found.segments.join("::"));
                let import = Import { to: *to, line: found.line, path, re_export: found.re_export };
                (*to != own).then_some(import)
            });
            File { path: (*path).to_owned(), lines: source.lines, imports: imports.collect() }
        });
        Self { files: files.collect() }
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `store/mod.rs` and `store.rs` are `store`; `lib.rs` is the root.
fn module(path: &str) -> Module {
    let mut segments: Module = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    let root = matches!(path, "lib.rs" | "main.rs");
    if root || segments.last().is_some_and(|last| last == "mod") {
        segments.pop();
    }
    segments
}
