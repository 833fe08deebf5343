//! The thread that removes expired sessions.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::alarm::SweepTimer;
use super::clock::Tick;
use super::entries::{Entries, SHARDS};
use crate::clock::monotonic;
use crate::error::cause;
use crate::record::Record;

/// Rounds are at least this far apart, and a hundred times what one round takes.
const MIN_ROUND: Duration = Duration::from_millis(100);

impl Entries {
    /// Tells the sweep of a record that expires then.
    pub(super) fn schedule_sweep(self: &Arc<Self>, expires: Tick) {
        self.sweep_started.call_once(|| {
            let (entries, timer) = (Arc::downgrade(self), Arc::clone(&self.timer));
            let thread = std::thread::Builder::new().name("sessile-memory-sweep".into());
            if let Err(error) = thread.spawn(move || sweep_repeatedly(&entries, &timer)) {
                tracing::warn!(
                    error = cause(&error),
                    "no thread for the sweep: expired sessions keep their memory"
                );
            }
        });
        self.timer.wake_by(expires);
    }
}

/// A thread's body: removes what expired, round after round, until the store is gone.
fn sweep_repeatedly(entries: &Weak<Entries>, timer: &SweepTimer) {
    let mut earliest = monotonic();
    while timer.wait(earliest) {
        let Some(entries) = entries.upgrade() else { return };
        let (began, now) = (monotonic(), entries.clock.now().tick);
        let mut next = None::<Tick>;
        let (mut expired, nothing) = (Expired::default(), Record::default());
        // Locks one shard at a time.
        entries.map.retain(|_, entry| {
            let keep = entry.is_live(now);
            if keep {
                next = Some(next.map_or(entry.expires, |next| next.min(entry.expires)));
            } else {
                expired.push(std::mem::replace(&mut entry.record, nothing.clone()));
            }
            keep
        });
        expired.free();
        if entries.map.capacity() > 4 * entries.map.len() + SHARDS * 4 {
            entries.map.shrink_to_fit();
        }
        if let Some(next) = next {
            timer.wake_by(next);
        }
        let ended = monotonic();
        earliest = ended + MIN_ROUND.max(100 * (ended - began));
    }
}

/// Records taken out of the store. Freeing one takes far longer than moving it, so that is left for when no shard is
/// locked.
#[derive(Default)]
struct Expired(Vec<Vec<Record>>);

impl Expired {
    /// Parts, because one long list would be moved as it grows.
    const PART: usize = 512;
    /// Log2 of a region's bytes.
    const REGION: u32 = 20;

    fn push(&mut self, record: Record) {
        match self.0.last_mut() {
            Some(part) if part.len() < Self::PART => part.push(record),
            _ => {
                let mut part = Vec::with_capacity(Self::PART);
                part.push(record);
                self.0.push(part);
            }
        }
    }

    /// Region by region from the highest address down. An allocator that returns memory from the end of its heap then does
    /// so bit by bit; in any other order it has nearly all of it to return at the last record, and whoever allocates
    /// meanwhile waits.
    fn free(self) {
        let mut regions = BTreeMap::<usize, Vec<Record>>::new();
        for record in self.0.into_iter().flatten() {
            regions.entry(record.as_bytes().as_ptr().addr() >> Self::REGION).or_default().push(record);
        }
        while let Some((_, region)) = regions.pop_last() {
            drop(region);
            std::thread::yield_now();
        }
    }
}
