//! How long requests took, and how much memory this process holds.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

/// The memory of this process, the clients included.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// What was allocated and not yet freed.
    pub live: usize,
    /// What the system counts (Linux; elsewhere zero). Memory that was freed counts as long as the allocator
    /// keeps it.
    pub resident: usize,
}

impl Memory {
    pub(crate) fn now() -> Self {
        let counted = ALLOCATOR.stats();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        let resident = line.and_then(|kibibytes| kibibytes.trim().parse::<usize>().ok()).unwrap_or(0) * 1024;
        Self { live: counted.bytes_allocated.saturating_sub(counted.bytes_deallocated), resident }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        write!(f, "{:.1} MiB allocated, {:.1} MiB resident", mib(self.live), mib(self.resident))
    }
}

/// Counts durations in boxes that are each a sixteenth wider than the one before. Its size does not grow.
#[derive(Debug)]
pub struct Times {
    boxes: Vec<AtomicU64>,
}

const STEP: f64 = 1.0625;
const BOXES: usize = 400;

impl Default for Times {
    fn default() -> Self {
        Self { boxes: (0..BOXES).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Times {
    pub(crate) fn add(&self, time: Duration) {
        let micros = (time.as_nanos() as f64 / 1000.0).max(1.0);
        let at = (micros.ln() / STEP.ln()) as usize;
        self.boxes[at.min(BOXES - 1)].fetch_add(1, Ordering::Relaxed);
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.boxes.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The time that this share of the requests stayed below, to within a sixteenth.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        let wanted = (self.count() as f64 * share).ceil() as u64;
        let mut counted = 0;
        for (at, count) in self.boxes.iter().enumerate() {
            counted += count.load(Ordering::Relaxed);
            if counted >= wanted {
                return Duration::from_nanos((STEP.powi(at as i32 + 1) * 1000.0) as u64);
            }
        }
        Duration::MAX
    }
}
