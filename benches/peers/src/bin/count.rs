//! Counts the allocations of each kind of request; `sessile-peers` runs it beside itself.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    sessile_peers::process::count(|| {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations
    });
}
