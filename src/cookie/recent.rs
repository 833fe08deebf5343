//! [`Recent`]: what was found out about the cookies that came last.

use std::hash::BuildHasher as _;
use std::sync::{Mutex, OnceLock};

use arrayvec::ArrayVec;
use constant_time_eq::constant_time_eq;
use foldhash::quality::RandomState;

/// How many cookies are kept at most: 130 KiB of them. A cookie takes the place of another one with the same hash.
const PLACES: usize = 512;
/// The longest value that is kept, in bytes. Those of UUIDs have about 90.
const LONGEST: usize = 128;

/// The values of cookies that were verified lately, under one list of secrets, and what was found out about each.
///
/// A browser sends the same cookie with each request, and to verify it anew takes an HMAC, base64 and two decodings:
/// 150 ns of a request's 900. Only values that one of the secrets has signed are kept, so the answer is the one
/// that verifying again would give.
///
/// A value is compared in constant time. Which place it is compared with depends on a random seed, so an attacker
/// learns nothing from the time that a guess takes.
pub(super) struct Recent<T> {
    seed: RandomState,
    /// Made for the first cookie: many configurations of a program may see none.
    places: OnceLock<Box<[Place<T>]>>,
}

type Place<T> = Mutex<Option<Box<Known<T>>>>;

struct Known<T> {
    value: ArrayVec<u8, LONGEST>,
    found: T,
}

impl<T: Clone> Recent<T> {
    pub(super) fn new() -> Self {
        Self { seed: RandomState::default(), places: OnceLock::new() }
    }

    /// What is known about a value.
    pub(super) fn get(&self, value: &[u8]) -> Option<T> {
        self.known(self.places.get()?, value, value)
    }

    fn known(&self, places: &[Place<T>], placed: &[u8], value: &[u8]) -> Option<T> {
        // To verify takes less time than to wait for another thread.
        let place = self.place(places, placed).try_lock().ok()?;
        let known = place.as_ref()?;
        constant_time_eq(&known.value, value).then(|| known.found.clone())
    }

    /// Keeps what was found out about a value.
    pub(super) fn note(&self, value: &[u8], found: &T) {
        let Ok(kept) = ArrayVec::try_from(value) else { return };
        let places =
            self.places.get_or_init(|| std::iter::repeat_with(Mutex::default).take(PLACES).collect());
        let Ok(mut place) = self.place(places, value).try_lock() else { return };
        let known = Known { value: kept, found: found.clone() };
        match &mut *place {
            Some(other) => **other = known,
            None => *place = Some(Box::new(known)),
        }
    }

    fn place<'p>(&self, places: &'p [Place<T>], value: &[u8]) -> &'p Place<T> {
        &places[self.seed.hash_one(value) as usize % PLACES]
    }

    /// What is known about a value that is looked for in the place of another one.
    #[cfg(test)]
    pub(super) fn get_placed(&self, placed: &[u8], value: &[u8]) -> Option<T> {
        self.known(self.places.get()?, placed, value)
    }
}
