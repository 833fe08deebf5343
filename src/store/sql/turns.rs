//! [`Turns`]: who is next where more wait than there are places, and what they are handed.

use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::sync::lock;

/// A number of places, for which callers wait in the order in which they came.
///
/// Who leaves a place may hand a thing to those who wait. If the place goes to one who gives up at that
/// moment, the thing is dropped.
pub(super) struct Turns<T> {
    places: Arc<Semaphore>,
    waiting: Mutex<Waiting<T>>,
}

/// Those who wait for a place.
struct Waiting<T> {
    count: usize,
    /// Invariant: no more than `count`.
    handed: Vec<T>,
}

impl<T> Turns<T> {
    pub(super) fn new(places: usize) -> Self {
        let places = Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS)));
        Self { places, waiting: Mutex::new(Waiting { count: 0, handed: Vec::new() }) }
    }

    /// Waits for a place, and takes what somebody has handed on, if that is so.
    pub(super) async fn next(&self) -> (Option<OwnedSemaphorePermit>, Option<T>) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            // Something may lie there for one who came before and does not stand in the queue yet. Who has the place
            // takes it: with one place for one thing, it would be kept from the place that it belongs to.
            return (Some(place), lock(&self.waiting).handed.pop());
        }
        let waiter = Waiter::of(self);
        // Nobody closes the semaphore, which would be the only error.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        (place, waiter.handed())
    }

    /// Hands a thing to somebody who waits. Gives it back if nobody does.
    pub(super) fn hand(&self, thing: T) -> Option<T> {
        let mut waiting = lock(&self.waiting);
        if waiting.handed.len() == waiting.count {
            return Some(thing);
        }
        waiting.handed.push(thing);
        None
    }
}

/// One who waits, until it is dropped.
struct Waiter<'t, T>(&'t Turns<T>);

impl<'t, T> Waiter<'t, T> {
    fn of(turns: &'t Turns<T>) -> Self {
        lock(&turns.waiting).count += 1;
        Self(turns)
    }

    fn handed(self) -> Option<T> {
        lock(&self.0.waiting).handed.pop()
    }
}

impl<T> Drop for Waiter<'_, T> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0.waiting);
        waiting.count -= 1;
        let too_many = waiting.handed.len() > waiting.count;
        let left = if too_many { waiting.handed.pop() } else { None };
        // To drop it takes other locks.
        drop(waiting);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_thing_goes_to_one_who_waits_and_to_nobody_else() {
        let turns = Turns::new(1);
        let Poll::Ready((place, None)) = poll(pin!(turns.next())) else { panic!("the place is free") };
        assert_eq!(turns.hand(1), Some(1), "nobody waits");
        let mut next = pin!(turns.next());
        assert!(poll(next.as_mut()).is_pending());
        assert_eq!(turns.hand(2), None);
        assert_eq!(turns.hand(3), Some(3), "only one waits");
        drop(place);
        assert!(matches!(poll(next), Poll::Ready((Some(_), Some(2)))));
    }

    /// Who comes between a waiter's count and its place in the queue takes the place, and what was handed on with it.
    #[test]
    fn a_place_and_what_was_handed_on_go_together() {
        let turns = Turns::new(1);
        let Poll::Ready((place, None)) = poll(pin!(turns.next())) else { panic!("the place is free") };
        let waiter = Waiter::of(&turns);
        assert_eq!(turns.hand(1), None);
        drop(place);
        assert!(matches!(poll(pin!(turns.next())), Poll::Ready((Some(_), Some(1)))));
        assert_eq!(waiter.handed(), None);
    }

    #[test]
    fn what_is_handed_to_one_who_gives_up_is_dropped() {
        let turns = Turns::new(1);
        let thing = Arc::new(());
        let Poll::Ready((place, None)) = poll(pin!(turns.next())) else { panic!("the place is free") };
        {
            let mut next = pin!(turns.next());
            assert!(poll(next.as_mut()).is_pending());
            assert!(turns.hand(Arc::clone(&thing)).is_none());
            drop(place);
        }
        assert_eq!(Arc::strong_count(&thing), 1);
        assert!(matches!(poll(pin!(turns.next())), Poll::Ready((Some(_), None))), "the place is free again");
    }
}
