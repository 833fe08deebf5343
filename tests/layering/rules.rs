//! What the plan asks for, each rule with the faults it finds.

use std::collections::VecDeque;

use crate::tree::{File, Import, Tree};

/// A file or a folder of the crate's folder, without `.rs`, and the floor it stands on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) floor: u8,
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

/// The lowest floor, whose rooms import from those listed below them.
const GROUND: u8 = 1;

/// The room of a file and its place in the list.
fn room(file: &File, floors: &[Room]) -> Option<(usize, Room)> {
    let name = file.path.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    floors.iter().copied().enumerate().find(|(_, room)| room.name == name)
}

/// The files that stand on no floor.
pub(crate) fn without_a_floor(tree: &Tree, floors: &[Room]) -> Vec<String> {
    let files = tree.files.iter().filter(|file| room(file, floors).is_none());
    files.map(|file| format!("{} is in no room of the plan", file.path)).collect()
}

/// The imports from a higher floor, or from another room on the same floor.
pub(crate) fn not_downwards(tree: &Tree, floors: &[Room]) -> Vec<String> {
    let mut faults = Vec::new();
    // The root re-exports whatever is public.
    for file in tree.files.iter().filter(|file| file.path != "lib.rs") {
        let Some((own_place, own)) = room(file, floors) else { continue };
        for Import { to, line, path, .. } in &file.imports {
            let Some((place, other)) = room(&tree.files[*to], floors) else { continue };
            let downwards = other.floor < own.floor;
            let listed_below = other.floor == GROUND && own.floor == GROUND && place > own_place;
            if downwards || listed_below || place == own_place {
                continue;
            }
            let upwards = other.floor > own.floor;
            let why =
                if upwards { "imports run downwards" } else { "rooms on one floor do not see each other" };
            faults.push(format!(
                "{}:{line} imports `{path}`: `{}` on floor {} ({}) uses `{}` on floor {} ({}), and {why}",
                file.path, own.name, own.floor, own.what, other.name, other.floor, other.what
            ));
        }
    }
    faults
}

/// The circles: for each group of files that import one another, the shortest way from its first file back to
/// it.
pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let all = 0..tree.files.len();
    let ways: Vec<Vec<Option<Vec<&Import>>>> = all.clone().map(|from| shortest_ways(tree, from)).collect();
    let mut seen = vec![false; tree.files.len()];
    let mut faults = Vec::new();
    for first in all.clone() {
        let Some(way) = &ways[first][first] else { continue };
        if seen[first] {
            continue;
        }
        let group: Vec<_> = all
            .clone()
            .filter(|&other| ways[first][other].is_some() && ways[other][first].is_some())
            .collect();
        group.iter().for_each(|&file| seen[file] = true);
        let mut shown = String::new();
        let mut at = first;
        for import in way {
            shown += &format!("{}:{} → ", tree.files[at].path, import.line);
            at = import.to;
        }
        let names: Vec<_> = group.iter().map(|&file| tree.files[file].path.as_str()).collect();
        faults.push(format!(
            "{} files import each other in a circle ({}); one way round: {shown}{}",
            group.len(),
            names.join(", "),
            tree.files[first].path
        ));
    }
    faults
}

/// The shortest way of imports from a file to each file, and back to itself.
fn shortest_ways(tree: &Tree, from: usize) -> Vec<Option<Vec<&Import>>> {
    let mut ways: Vec<Option<Vec<&Import>>> = vec![None; tree.files.len()];
    let mut queue = VecDeque::from([(from, Vec::new())]);
    while let Some((at, way)) = queue.pop_front() {
        for import in &tree.files[at].imports {
            if ways[import.to].is_none() {
                let way = [way.as_slice(), &[import]].concat();
                ways[import.to] = Some(way.clone());
                queue.push_back((import.to, way));
            }
        }
    }
    ways
}

/// The files that have more lines than that.
pub(crate) fn too_long(tree: &Tree, longest: usize) -> Vec<String> {
    let files = tree.files.iter().filter(|file| file.lines > longest);
    files.map(|file| format!("{} has {} lines, over {longest}", file.path, file.lines)).collect()
}

/// The re-exports of a `mod.rs` from the files of its folder: whoever used one would import from the file
/// above it.
pub(crate) fn re_exports(tree: &Tree, allowed: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in tree.files.iter().filter(|file| !allowed.contains(&file.path.as_str())) {
        let Some(folder) = file.path.strip_suffix("mod.rs") else { continue };
        let child = |import: &&Import| import.re_export && tree.files[import.to].path.starts_with(folder);
        for Import { line, path, .. } in file.imports.iter().filter(child) {
            faults.push(format!("{}:{line} re-exports `{path}` from its own folder", file.path));
        }
    }
    faults
}
