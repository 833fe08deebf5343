//! The fuzz targets on stable Rust: their seeds, and what proptest makes of the seeds. With
//! `SESSILE_FUZZ_SECONDS=60` each target runs for a minute, otherwise for a second.

#[allow(unreachable_pub, reason = "there the targets are a library")]
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

/// What a change puts into an input: the bytes that matter to one of the targets.
const PIECES: [&str; 44] = [
    "connect.sid=",
    "connect.sid",
    "s%3A",
    "s:",
    "%3a",
    "%",
    ".",
    ";",
    "; ",
    ",",
    "=",
    "\n",
    " ",
    "\t",
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "\\udc00",
    "{",
    "}",
    "[",
    "]",
    ":",
    "null",
    "true",
    "0",
    "-",
    "1.0",
    "1e308",
    "9007199254740993",
    "é",
    "\u{1F36A}",
    "cookie",
    "originalMaxAge",
    "expires",
    "flash",
    "\"info\"",
    "\"cookie\":{",
    "\"flash\":{",
    "__proto__",
    "\u{0}",
    "\u{7f}",
    "2038-01-19T03:14:08.000Z",
];

/// One change of an input.
#[derive(Debug, Clone)]
enum Change {
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Overwrite(Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), proptest::sample::select(&PIECES[..]))
            .prop_map(|(at, piece)| Change::Insert(at, piece.into())),
        (at(), proptest::collection::vec(any::<u8>(), 1..16))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 1..24_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at(), 1..24_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Overwrite(at, byte)),
    ]
}

fn apply(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: &Index| at.index(input.len() + 1);
        match change {
            Change::Insert(at, bytes) => {
                let at = place(at);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Remove(at, length) => {
                let at = place(at);
                input.drain(at..(at + length).min(input.len()));
            }
            Change::Repeat(at, length) => {
                let at = place(at);
                let part = input[at..(at + length).min(input.len())].to_vec();
                input.splice(at..at, part);
            }
            Change::Overwrite(at, byte) => {
                let at = place(at);
                if let Some(place) = input.get_mut(at) {
                    *place = *byte;
                }
            }
        }
    }
    input
}

/// An input, which a failure prints on one line.
#[derive(Clone)]
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Runs a target on its seeds and on changed seeds until the time is over.
fn run(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
    let files = std::fs::read_dir(&folder).expect("the seeds are there");
    let mut seeds: Vec<Vec<u8>> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    seeds.iter().for_each(|seed| target(seed));
    seeds.push(Vec::new());

    let seconds =
        std::env::var("SESSILE_FUZZ_SECONDS").map_or(1, |seconds| seconds.parse().expect("a number"));
    let end = Instant::now() + Duration::from_secs(seconds);
    let seed = proptest::sample::select(seeds);
    let inputs =
        (seed, proptest::collection::vec(change(), 1..12)).prop_map(|(seed, changes)| apply(seed, &changes));
    let fresh = proptest::collection::vec(any::<u8>(), 0..200);
    let inputs = prop_oneof![3 => inputs, 1 => fresh].prop_map(Input);
    let config = ProptestConfig { cases: BATCH, failure_persistence: None, ..ProptestConfig::default() };
    let mut runs = 0;
    while Instant::now() < end {
        let failure = TestRunner::new(config.clone()).run(&inputs, |Input(input)| {
            target(&input);
            Ok(())
        });
        if let Err(failure) = failure {
            panic!("{failure}");
        }
        runs += BATCH;
    }
    println!("{name}: {runs} inputs in {seconds} s");
}

/// How many inputs are tried between two looks at the clock.
const BATCH: u32 = 50;

fn text(target: impl Fn(&str)) -> impl Fn(&[u8]) {
    move |input| target(&String::from_utf8_lossy(input))
}

#[test]
fn no_cookie_header_opens_what_was_not_signed_or_hides_what_was() {
    run("cookie", targets::cookie);
}

#[test]
fn every_record_is_json_and_comes_back_byte_for_byte() {
    run("record", text(targets::record));
}

#[test]
fn foreign_flash_messages_are_read_or_refused() {
    run("flash", text(targets::flash));
}

#[test]
fn every_program_does_what_a_simple_model_does() {
    run("program", targets::program);
}
