//! Locking a mutex that is not held across an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, even if a thread has panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Invariant: a panic leaves no value half changed, because the code under a lock of this crate does not
    // panic between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
