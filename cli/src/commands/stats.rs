//! `stats`: how many sessions there are, how old and how large they are.

use std::time::Duration;

use indicatif::HumanBytes;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::args::Stats;
use crate::commands::walk::{Found, Ids};
use crate::failure::Exit;
use crate::output::{Output, counted, picture, visible};
use crate::record::is_sealed;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Where the groups of times end, in seconds.
const TIMES: [(u64, &str); 6] = [
    (MINUTE, "under 1 min"),
    (HOUR, "under 1 h"),
    (DAY, "under 1 d"),
    (7 * DAY, "under 7 d"),
    (30 * DAY, "under 30 d"),
    (u64::MAX, "longer"),
];

/// Where the groups of sizes end, in bytes.
const SIZES: [(u64, &str); 6] = [
    (256, "under 256 B"),
    (1 << 10, "under 1 KiB"),
    (4 << 10, "under 4 KiB"),
    (16 << 10, "under 16 KiB"),
    (64 << 10, "under 64 KiB"),
    (u64::MAX, "larger"),
];

/// How many there are in each group.
struct Groups {
    ends: [(u64, &'static str); 6],
    counts: [u64; 6],
}

impl Groups {
    fn by(ends: [(u64, &'static str); 6]) -> Self {
        Self { ends, counts: [0; 6] }
    }

    fn add(&mut self, value: u64) {
        let last = self.ends.len() - 1;
        let at = self.ends.iter().position(|(end, _)| value < *end).unwrap_or(last);
        self.counts[at] += 1;
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.ends.iter().zip(self.counts).map(|((_, name), count)| (*name, count))
    }
}

impl Serialize for Groups {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.counts.len()))?;
        for (name, count) in self.rows() {
            map.serialize_entry(name, &count)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Bytes {
    total: u64,
    median: u64,
    /// All but 5 % are not larger.
    most: u64,
    largest: u64,
}

#[derive(Serialize)]
struct Report {
    store: String,
    live: u64,
    logged_in: u64,
    guests: u64,
    /// Sealed records, of which nothing is known without the key.
    sealed: u64,
    /// What stands in the place of a record and is none, or cannot be opened.
    unreadable: u64,
    /// Records whose id the store has not kept.
    unnamed: u64,
    bytes: Bytes,
    last_used: Groups,
    expires: Groups,
    sizes: Groups,
}

pub(super) async fn run(arguments: Stats, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let mut report = Report {
        store: opened.name.clone(),
        live: 0,
        logged_in: 0,
        guests: 0,
        sealed: 0,
        unreadable: 0,
        unnamed: 0,
        bytes: Bytes { total: 0, median: 0, most: 0, largest: 0 },
        last_used: Groups::by(TIMES),
        expires: Groups::by(TIMES),
        sizes: Groups::by(SIZES),
    };
    let mut sizes = Vec::new();
    let ids = Ids::of(&opened, output).await?;
    let named = ids.count();
    let mut absent = 0;
    ids.read(&opened, output, "reading sessions", async |page| {
        for found in page {
            match found {
                // It has ended since.
                Found::Absent => absent += 1,
                Found::Unreadable => report.unreadable += 1,
                Found::Live(_, stored) => {
                    let left = stored.expires_in;
                    let size = stored.record.as_json().len() as u64;
                    report.add(&stored.record, left, arguments.store_ttl);
                    report.sizes.add(size);
                    sizes.push(size);
                }
            }
        }
        Ok(())
    })
    .await?;
    report.unnamed = opened.store.unnamed(named - absent, report.unreadable).await?;
    sizes.sort_unstable();
    let at = |percent: usize| sizes.get(sizes.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0);
    report.bytes = Bytes { total: sizes.iter().sum(), median: at(50), most: at(95), largest: at(100) };
    output.print(&report.text(), &report)?;
    Ok(Exit::Done)
}

impl Report {
    fn add(&mut self, record: &sessile::Record, left: Option<Duration>, store_ttl: Duration) {
        self.live += 1;
        let who = match record.user_hashes().is_empty() {
            false => &mut self.logged_in,
            true if is_sealed(record) => &mut self.sealed,
            true => &mut self.guests,
        };
        *who += 1;
        if let Some(left) = left {
            let whole = record.max_age().unwrap_or(store_ttl);
            self.last_used.add(whole.saturating_sub(left).as_secs());
            self.expires.add(left.as_secs());
        }
    }

    fn text(&self) -> String {
        let who = format!(
            "{} logged in, {}",
            counted(self.logged_in, "is", "are"),
            counted(self.guests, "guest", "guests")
        );
        let mut text =
            format!("{}\n{}: {who}", visible(&self.store), counted(self.live, "session", "sessions"));
        let more = [
            (self.sealed, "sealed: --sealing-key-file tells more"),
            (self.unreadable, "no record, or sealed with another key"),
            (self.unnamed, "under the hash of an id: nothing more is known"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("\n{}: {what}", indicatif::HumanCount(count));
        }
        if self.live == 0 {
            return text;
        }
        let Bytes { total, median, most, largest } = self.bytes;
        text += &format!(
            "\n{} altogether; half of them up to {}, 95 % up to {}, the largest {}\n",
            HumanBytes(total),
            HumanBytes(median),
            HumanBytes(most),
            HumanBytes(largest)
        );
        let pictures = [("LAST USED", &self.last_used), ("EXPIRES IN", &self.expires), ("SIZE", &self.sizes)];
        for (name, groups) in pictures {
            text += &format!("\n{}", picture(name, "SESSIONS", groups.rows()));
        }
        text
    }
}
