//! What a [`CookieSession`] has in common with a [`Session`](crate::Session).

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CookieSession;
use crate::error::SessionError;
use crate::session::Session;
use crate::session::flash::Flashes;
use crate::session::key::sealed::Data;
use crate::session::origin::Origin;

impl Data for CookieSession {
    fn data(&self) -> &Session {
        &self.session
    }
}

/// The calls are those of [`Session`](crate::Session), which says what each does and when it fails.
impl CookieSession {
    /// Whether the request brought no session.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.session.is_new()
    }

    /// Whether this request has changed something.
    #[must_use]
    pub fn is_modified(&self) -> bool {
        self.session.is_modified()
    }

    /// Whether there is no data.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.session.is_empty()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.session.len()
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.session.keys()
    }

    /// Whether there is a value under this key.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.session.contains_key(key)
    }

    /// Where the session comes from: [`Origin::BadSignature`] is a cookie that none of the keys has sealed,
    /// [`Origin::Unknown`] one that has expired.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.session.origin()
    }

    /// Reads a value: see [`Session::get`](crate::Session::get).
    ///
    /// # Errors
    /// `Decode`, when the value cannot be read as a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        self.session.get(key)
    }

    /// Puts a value under a key: see [`Session::insert`](crate::Session::insert).
    ///
    /// # Errors
    /// `Encode`, when the value cannot be written as JSON, or the key is reserved.
    pub fn insert(&self, key: &str, value: impl Serialize) -> Result<(), SessionError> {
        self.session.insert(key, value)
    }

    /// Removes a value and returns it: see [`Session::remove`](crate::Session::remove).
    ///
    /// # Errors
    /// `Decode`, when the value cannot be read as a `T`.
    pub fn remove<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        self.session.remove(key)
    }

    /// Computes a new value from the current one: see [`Session::update`](crate::Session::update). Here no
    /// other request can win the race, so the closure runs on what this request brought.
    ///
    /// # Errors
    /// `Decode`, `Encode`.
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<Option<T>, SessionError>
    where
        T: Serialize + DeserializeOwned + 'static,
        F: Fn(Option<T>) -> Option<T> + Send + Sync + 'static,
    {
        self.session.update(key, change)
    }

    /// Changes a value in place, or the default where there is none: see
    /// [`Session::modify`](crate::Session::modify).
    ///
    /// # Errors
    /// `Decode`, `Encode`.
    pub fn modify<T, F>(&self, key: &str, change: F) -> Result<T, SessionError>
    where
        T: Serialize + DeserializeOwned + Default + 'static,
        F: Fn(&mut T) + Send + Sync + 'static,
    {
        self.session.modify(key, change)
    }

    /// Removes all data. Flash messages stay.
    pub fn clear(&self) {
        self.session.clear();
    }

    /// Queues a flash message: see [`Session::flash`](crate::Session::flash).
    ///
    /// # Errors
    /// `Encode`, `Decode`.
    pub fn flash(&self, kind: &str, message: impl Serialize) -> Result<(), SessionError> {
        self.session.flash(kind, message)
    }

    /// Removes the messages of a kind and returns them, oldest first.
    ///
    /// # Errors
    /// `Decode`.
    pub fn take_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        self.session.take_flash(kind)
    }

    /// Returns the messages of a kind and leaves them.
    ///
    /// # Errors
    /// `Decode`.
    pub fn peek_flash<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<T>, SessionError> {
        self.session.peek_flash(kind)
    }

    /// Removes the messages of every kind and returns them.
    #[must_use]
    pub fn take_all_flash(&self) -> Flashes {
        self.session.take_all_flash()
    }

    /// The session's max-age; `None`: it ends with the browser.
    #[must_use]
    pub fn max_age(&self) -> Option<Duration> {
        self.session.max_age()
    }

    /// Gives this session its own max-age: see [`Session::set_max_age`](crate::Session::set_max_age).
    pub fn set_max_age(&self, max_age: Option<Duration>) {
        self.session.set_max_age(max_age);
    }

    /// Lets the browser forget the session with the next commit. A copy of the cookie lives on until it
    /// expires: see [above](CookieSession#what-it-cannot-promise).
    pub fn destroy(&self) {
        self.session.destroy();
    }
}
