//! [`SessionKey`] and [`FlashKey`]: a key together with the type of its value, declared once.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::SessionError;
use crate::session::Session;

pub(crate) mod sealed {
    use super::Session;

    pub trait Data {
        fn data(&self) -> &Session;
    }

    impl Data for Session {
        fn data(&self) -> &Session {
            self
        }
    }

    impl<T: Data> Data for &T {
        fn data(&self) -> &Session {
            T::data(self)
        }
    }
}

/// What [`SessionKey`] and [`FlashKey`] work on: a [`Session`], or a `CookieSession` (feature
/// `cookie-session`). The trait is sealed.
pub trait SessionData: sealed::Data {}

impl<T: sealed::Data> SessionData for T {}

/// A session key and the type of its value, so that calls need neither a string nor a turbofish.
///
/// ```
/// use sessile::{Session, SessionError, SessionKey};
///
/// const CART: SessionKey<Vec<u32>> = SessionKey::new("cart");
///
/// fn add(session: &Session, item: u32) -> Result<(), SessionError> {
///     CART.modify(session, move |cart| cart.push(item))?;
///     Ok(())
/// }
/// ```
pub struct SessionKey<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> SessionKey<T> {
    /// Declares a key of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, value: PhantomData }
    }

    /// The name of the key.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T: Serialize + DeserializeOwned> SessionKey<T> {
    /// Reads the value, as [`Session::get`] does.
    ///
    /// # Errors
    /// `Decode`, when the value cannot be read as a `T`.
    pub fn get(&self, session: &impl SessionData) -> Result<Option<T>, SessionError> {
        session.data().get(self.name)
    }

    /// Puts a value under the key, as [`Session::insert`] does.
    ///
    /// # Errors
    /// Those of [`Session::insert`]: `Encode`.
    pub fn insert(&self, session: &impl SessionData, value: T) -> Result<(), SessionError> {
        session.data().insert(self.name, value)
    }

    /// Removes the value and returns it, as [`Session::remove`] does.
    ///
    /// # Errors
    /// Those of [`Session::remove`]: `Decode`.
    pub fn remove(&self, session: &impl SessionData) -> Result<Option<T>, SessionError> {
        session.data().remove(self.name)
    }

    /// Computes a new value from the current one, as [`Session::update`] does.
    ///
    /// # Errors
    /// Those of [`Session::update`]: `Decode`, `Encode`.
    pub fn update<F>(&self, session: &impl SessionData, change: F) -> Result<Option<T>, SessionError>
    where
        T: 'static,
        F: Fn(Option<T>) -> Option<T> + Send + Sync + 'static,
    {
        session.data().update(self.name, change)
    }

    /// Changes the value in place, or the default where there is none, as [`Session::modify`] does.
    ///
    /// # Errors
    /// Those of [`Session::modify`]: `Decode`, `Encode`.
    pub fn modify<F>(&self, session: &impl SessionData, change: F) -> Result<T, SessionError>
    where
        T: Default + 'static,
        F: Fn(&mut T) + Send + Sync + 'static,
    {
        session.data().modify(self.name, change)
    }
}

/// A kind of flash messages and the type of its messages, so that calls need neither a string nor a
/// turbofish.
///
/// ```
/// use sessile::{FlashKey, Session, SessionError};
///
/// const NOTICE: FlashKey<String> = FlashKey::new("notice");
///
/// fn saved(session: &Session) -> Result<(), SessionError> {
///     NOTICE.push(session, "Saved.".to_owned())
/// }
/// ```
pub struct FlashKey<T> {
    kind: &'static str,
    message: PhantomData<fn() -> T>,
}

impl<T> FlashKey<T> {
    /// Declares a kind of this name.
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        Self { kind, message: PhantomData }
    }

    /// The name of the kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }
}

impl<T: Serialize + DeserializeOwned> FlashKey<T> {
    /// Queues a message, as [`Session::flash`] does.
    ///
    /// # Errors
    /// Those of [`Session::flash`]: `Encode`, `Decode`.
    pub fn push(&self, session: &impl SessionData, message: T) -> Result<(), SessionError> {
        session.data().flash(self.kind, message)
    }

    /// Removes the messages and returns them, as [`Session::take_flash`] does.
    ///
    /// # Errors
    /// Those of [`Session::take_flash`]: `Decode`.
    pub fn take(&self, session: &impl SessionData) -> Result<Vec<T>, SessionError> {
        session.data().take_flash(self.kind)
    }

    /// Returns the messages and leaves them in the session, as [`Session::peek_flash`] does.
    ///
    /// # Errors
    /// Those of [`Session::peek_flash`]: `Decode`.
    pub fn peek(&self, session: &impl SessionData) -> Result<Vec<T>, SessionError> {
        session.data().peek_flash(self.kind)
    }
}

impl<T> fmt::Debug for SessionKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionKey").field(&self.name).finish()
    }
}

impl<T> fmt::Debug for FlashKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FlashKey").field(&self.kind).finish()
    }
}
