//! Futures that are done when they are first polled.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// What a future gives at its first poll; `None`, when it would have to wait. Then it is dropped.
///
/// It is on the stack meanwhile: whoever awaits it would carry it in a future of its own, and handlers' futures are
/// moved about.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
