//! [`run_to_end`]: work on a record that does not stop when the request is dropped.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;

/// Awaits `work`. If the caller is dropped after the work has begun, a task of the Tokio runtime carries the
/// work to its end.
///
/// A store of three methods writes in two steps, and its driver may carry a statement out after the caller
/// has stopped waiting. `work` therefore owns the record's lock, so that the next request writes only after
/// the last step is over.
///
/// Outside of a Tokio runtime, as while one shuts down, the work is dropped with its caller.
pub(crate) fn run_to_end<F>(work: F) -> RunToEnd<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    RunToEnd(Stage::NotBegun(Some(Box::pin(work))))
}

/// The future of [`run_to_end`].
pub(crate) struct RunToEnd<F: Future<Output: Send> + Send + 'static>(Stage<F>);

enum Stage<F> {
    /// Nothing was asked of the store yet, so dropping the work drops all of it.
    NotBegun(Option<Pin<Box<F>>>),
    Running(Option<Pin<Box<F>>>),
    Done,
}

impl<F: Future<Output: Send> + Send + 'static> Future for RunToEnd<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if let Stage::NotBegun(work) = &mut self.0 {
            self.0 = Stage::Running(work.take());
        }
        let Stage::Running(Some(mut work)) = std::mem::replace(&mut self.0, Stage::Done) else {
            debug_assert!(false, "polled after the end");
            return Poll::Pending;
        };
        // Work that panics is dropped here, and is not carried on in a task.
        let output = work.poll_unpin(cx);
        if output.is_pending() {
            self.0 = Stage::Running(Some(work));
        }
        output
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for RunToEnd<F> {
    fn drop(&mut self) {
        if let Stage::Running(work) = &mut self.0
            && let (Some(work), Ok(runtime)) = (work.take(), Handle::try_current())
        {
            runtime.spawn(work.map(drop));
        }
    }
}
