//! `move`: all sessions, from one store to another.
//!
//! Each step can be repeated and is whole or not there at all: a session is created or not, and a list is brought over
//! or not. So the program may be killed between any two of them, and begins anew.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use sessile::{Record, SessionId, SessionStore as _, Stored};

use crate::args::Move;
use crate::commands::walk::{Found, Ids};
use crate::failure::{Exit, Failure};
use crate::output::{Output, counted, visible};
use crate::record::is_sealed;
use crate::store_options::StoreOptions;
use crate::stores::{IfMissing, Opened};
use crate::urls::public_name;

/// How many sessions are created at the same time.
const AT_ONCE: usize = 32;

/// The longest life that every store can note: MySQL's column ends in the year 2106. Redis can keep a session for ever.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

#[derive(Default, Serialize)]
struct Report {
    from: String,
    to: String,
    copied: u64,
    /// They were there, as they are in the old store.
    already: u64,
    /// They were there with other data, and were left as they are.
    different: u64,
    /// What is no record in the old store, or cannot be opened, and was left.
    unreadable: u64,
    /// Records whose id the old store has not kept, and which were left.
    unnamed: u64,
    /// Users whose lists were brought over, or were there already.
    users: u64,
}

enum Copied {
    Now,
    Already,
    Different,
}

pub(super) async fn run(arguments: Move, output: Output) -> anyhow::Result<Exit> {
    let Move { from, to, yes, from_options, to_options } = arguments;
    let (from_options, to_options) = (StoreOptions::from(from_options), StoreOptions::from(to_options));
    let from = Opened::open(&from, &from_options, IfMissing::Fail).await?;
    let ids = Ids::of(&from, output).await?;
    let sessions = counted(ids.count(), "session", "sessions");
    let (old, new) = (visible(&from.name), public_name(&to));
    output.confirm(&yes, &format!("Copy {sessions} from {old} to {new}, while no app writes to either?"))?;
    let to = Opened::open(&to, &to_options, IfMissing::Create).await?;
    if from.is(&to) && from_options.names_the_place_of(&to_options) {
        bail!("both stores are the same");
    }
    to.store.prepare().await.with_context(|| format!("{} cannot be written", to.name))?;

    let mut report = Report { from: from.name.clone(), to: to.name.clone(), ..Report::default() };
    let named = ids.count();
    let mut absent = 0;
    let mut users = BTreeSet::new();
    let moved = ids.read(&from, output, "copying sessions", async |page| {
        let mut live = Vec::with_capacity(page.len());
        for found in page {
            match found {
                Found::Live(id, stored) => live.push((id, stored)),
                Found::Unreadable => report.unreadable += 1,
                Found::Absent => absent += 1,
            }
        }
        if live.iter().any(|(_, stored)| is_sealed(&stored.record)) {
            let keys = "name their keys with --from-sealing-key-file, so that their users are known";
            return Err(Failure::error(Exit::Failed, format!("{old} holds sealed records: {keys}")));
        }
        users.extend(live.iter().flat_map(|(_, stored)| stored.record.user_hashes()));
        let copies = live.iter().map(|(id, stored)| copy(&to, id, stored));
        let mut copies = futures_util::stream::iter(copies).buffer_unordered(AT_ONCE);
        while let Some(copied) = copies.try_next().await? {
            match copied {
                Copied::Now => report.copied += 1,
                Copied::Already => report.already += 1,
                Copied::Different => report.different += 1,
            }
        }
        Ok(())
    });
    moved.await.map_err(incomplete)?;
    bring_lists_over(&from, &to, &users, output).await.map_err(incomplete)?;
    report.unnamed = from.store.unnamed(named - absent, report.unreadable).await?;
    report.users = users.len() as u64;
    output.print(&report.text(), &report)?;
    Ok(if report.left() > 0 { Exit::Left } else { Exit::Done })
}

/// What a store's error means for the move.
fn incomplete(error: anyhow::Error) -> anyhow::Error {
    match error.is::<Failure>() {
        true => error,
        false => error.context("the move is not complete, start it again"),
    }
}

async fn copy(to: &Opened, id: &SessionId, stored: &Stored) -> anyhow::Result<Copied> {
    let ttl = stored.expires_in.map_or(LONGEST, |left| left.min(LONGEST));
    if to.store.create(id, &stored.record, ttl).await? {
        return Ok(Copied::Now);
    }
    match to.store.get(id).await {
        Ok(Some(there)) if is_same(&there.record, &stored.record) => Ok(Copied::Already),
        // It has expired since.
        Ok(None) => Ok(Copied::Already),
        Ok(Some(_)) => Ok(Copied::Different),
        Err(error) if error.is_corrupt() => Ok(Copied::Different),
        Err(error) => Err(error.into()),
    }
}

fn is_same(one: &Record, other: &Record) -> bool {
    one.as_json() == other.as_json()
}

/// The users are those of the sessions that were copied: of others there is nothing to move.
async fn bring_lists_over(
    from: &Opened,
    to: &Opened,
    users: &BTreeSet<String>,
    output: Output,
) -> anyhow::Result<()> {
    let (Some(old), Some(new)) = (from.store.users(), to.store.users()) else { return Ok(()) };
    let bar = output.progress("copying the lists of users", Some(users.len() as u64));
    let lists = users.iter().map(|user| async { new.bring_over(old, user).await.map(|_| bar.inc(1)) });
    futures_util::stream::iter(lists).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    bar.finish_and_clear();
    Ok(())
}

impl StoreOptions {
    /// Whether both name the same place, in stores of the same URL.
    fn names_the_place_of(&self, other: &Self) -> bool {
        (&self.prefix, &self.table, &self.schema) == (&other.prefix, &other.table, &other.schema)
    }
}

impl Report {
    /// How many sessions are not in the new store as they are in the old one.
    fn left(&self) -> u64 {
        self.different + self.unreadable + self.unnamed
    }

    fn text(&self) -> String {
        let mut text = format!("{} copied", counted(self.copied, "session", "sessions"));
        let lists = counted(self.users, "user", "users");
        text += &format!(", {} there already; {lists}", indicatif::HumanCount(self.already));
        let left = [
            (self.different, "there already with other data, and left as they are"),
            (self.unreadable, "no record, or sealed with another key, and left"),
            (self.unnamed, "under the hash of an id, which the old store has not kept, and left"),
        ];
        for (count, what) in left.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("\n{}: {what}", indicatif::HumanCount(count));
        }
        text
    }
}
