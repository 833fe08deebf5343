//! What the program prints: text for people, or one JSON object for scripts.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::args::Yes;
use crate::failure::{Exit, Failure};

/// The longest bar of a picture, in characters.
const WIDEST: u64 = 30;

/// How the program prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) json: bool,
}

impl Output {
    /// Prints the text, or the object.
    pub(crate) fn print(self, text: &str, object: &impl Serialize) -> anyhow::Result<()> {
        match self.json {
            true => write_out(&serde_json::to_string_pretty(object)?),
            false => write_out(text.trim_end()),
        }
    }

    /// Asks before something is lost.
    ///
    /// # Errors
    /// Where nobody can be asked, and where the answer is no.
    pub(crate) fn confirm(self, yes: &Yes, question: &str) -> anyhow::Result<()> {
        if yes.yes {
            return Ok(());
        }
        if self.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Err(Failure::error(Exit::Refused, format!("{question} Say --yes to do it")));
        }
        let answer = dialoguer::Confirm::new().with_prompt(question).default(false).interact();
        match answer.context("nobody can be asked: say --yes")? {
            true => Ok(()),
            false => Err(Failure::error(Exit::Refused, "nothing was done")),
        }
    }

    /// A bar on the standard error for work of this many steps, or of a number that is not known. It is drawn on a
    /// terminal only.
    pub(crate) fn progress(self, what: &'static str, steps: Option<u64>) -> ProgressBar {
        let (bar, style) = match steps {
            Some(steps) => (ProgressBar::new(steps), "{msg} {wide_bar} {human_pos}/{human_len} {eta}"),
            None => (ProgressBar::new_spinner(), "{msg} {spinner} {human_pos}"),
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.with_message(what)
    }
}

/// Writes to the standard output. Nobody is told that its reader has gone away, as `head` does.
pub(crate) fn write_out(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// A table without lines.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| Cell::new(visible(&cell))));
    }
    trimmed(&table)
}

/// A table of labels and numbers, with a bar for each number.
pub(crate) fn picture<'l>(
    label: &str,
    number: &str,
    rows: impl IntoIterator<Item = (&'l str, u64)>,
) -> String {
    let rows: Vec<_> = rows.into_iter().collect();
    let most = rows.iter().map(|(_, count)| *count).max().unwrap_or_default().max(1);
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([label, number, ""]);
    for (label, count) in rows {
        let bar = "█".repeat(usize::try_from((count * WIDEST).div_ceil(most)).unwrap_or_default());
        let count = Cell::new(indicatif::HumanCount(count)).set_alignment(CellAlignment::Right);
        table.add_row([Cell::new(label), count, Cell::new(bar)]);
    }
    trimmed(&table)
}

fn trimmed(table: &Table) -> String {
    table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n").collect()
}

/// A text as it may go to a terminal: what a visitor has written does not control it.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    shown
}

/// How long ago or how far away a time is, in its largest unit.
pub(crate) fn distance(time: SystemTime, now: SystemTime) -> String {
    match now.duration_since(time) {
        Ok(past) => format!("{} ago", rounded(past)),
        Err(future) => format!("in {}", rounded(future.duration())),
    }
}

fn rounded(duration: Duration) -> String {
    // Half a minute more or less tells nobody anything about two days.
    let seconds = duration.as_secs();
    let (unit, name) = match seconds {
        0..60 => (1, "s"),
        60..3600 => (60, "min"),
        3600..172_800 => (3600, "h"),
        _ => (86_400, "d"),
    };
    format!("{} {name}", (seconds + unit / 2) / unit)
}

/// A time as JSON has it.
pub(crate) fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// `1 session`, `2 sessions`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(count), if count == 1 { one } else { many })
}

/// An error and its causes, each said once.
pub(crate) fn explained(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // Many errors say what their cause says.
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text += ": ";
        }
        text += &cause;
    }
    // The library speaks to programmers.
    text.replace("call `FileStoreBuilder::shared_folder(true)`", "say --shared-folder")
}
