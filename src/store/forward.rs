//! Every place that forwards the contract of [`SessionStore`] method by method: wrappers, `Arc<S>`, and the
//! trait object, all in the contract's order.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;

use super::{Replaced, SessionStore, Stored};
use crate::error::StoreError;
use crate::id::SessionId;
use crate::record::Record;
use crate::store::users::UserIndex;
use crate::store::version::Version;

/// Forwards the methods of [`SessionStore`] to a store inside, except those that the wrapper writes itself.
///
/// A wrapper that writes `get` by hand and leaves the conditional methods to the trait would pass versions on
/// without the atomic writes that belong to them. With this macro it forwards all of them, also those that a
/// later version of this crate adds.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use sessile::{SessionId, SessionStore, StoreError, Stored};
///
/// struct CountedLoads<S> {
///     inner: S,
///     loads: AtomicU64,
/// }
///
/// impl<S: SessionStore> SessionStore for CountedLoads<S> {
///     sessile::forward_store!(self => self.inner, except get);
///
///     async fn get(&self, id: &SessionId) -> Result<Option<Stored>, StoreError> {
///         self.loads.fetch_add(1, Ordering::Relaxed);
///         self.inner.get(id).await
///     }
/// }
/// ```
#[macro_export]
macro_rules! forward_store {
    ($self:ident => $inner:expr $(, except $($own:ident),+)? $(,)?) => {
        $crate::forward_store! { @get $self, $inner; $($($own)+)? }
        $crate::forward_store! { @set $self, $inner; $($($own)+)? }
        $crate::forward_store! { @destroy $self, $inner; $($($own)+)? }
        $crate::forward_store! { @touch $self, $inner; $($($own)+)? }
        $crate::forward_store! { @create $self, $inner; $($($own)+)? }
        $crate::forward_store! { @replace $self, $inner; $($($own)+)? }
        $crate::forward_store! { @destroy_if $self, $inner; $($($own)+)? }
        $crate::forward_store! { @check $self, $inner; $($($own)+)? }
        $crate::forward_store! { @get_many $self, $inner; $($($own)+)? }
        $crate::forward_store! { @users $self, $inner; $($($own)+)? }
        $crate::forward_store! { @watch $self, $inner; $($($own)+)? }
        $crate::forward_store! { @ids $self, $inner; $($($own)+)? }
    };
    // A method that is in the list of exceptions is left out.
    (@get $self:ident, $inner:expr; get $($own:ident)*) => {};
    (@set $self:ident, $inner:expr; set $($own:ident)*) => {};
    (@destroy $self:ident, $inner:expr; destroy $($own:ident)*) => {};
    (@touch $self:ident, $inner:expr; touch $($own:ident)*) => {};
    (@create $self:ident, $inner:expr; create $($own:ident)*) => {};
    (@replace $self:ident, $inner:expr; replace $($own:ident)*) => {};
    (@destroy_if $self:ident, $inner:expr; destroy_if $($own:ident)*) => {};
    (@check $self:ident, $inner:expr; check $($own:ident)*) => {};
    (@get_many $self:ident, $inner:expr; get_many $($own:ident)*) => {};
    (@users $self:ident, $inner:expr; users $($own:ident)*) => {};
    (@watch $self:ident, $inner:expr; watch $($own:ident)*) => {};
    (@ids $self:ident, $inner:expr; ids $($own:ident)*) => {};
    // At the end of the list the method is written.
    (@get $self:ident, $inner:expr;) => {
        async fn get(
            &$self,
            id: &$crate::SessionId,
        ) -> ::core::result::Result<::core::option::Option<$crate::Stored>, $crate::StoreError> {
            $crate::SessionStore::get(&$inner, id).await
        }
    };
    (@set $self:ident, $inner:expr;) => {
        async fn set(
            &$self,
            id: &$crate::SessionId,
            record: &$crate::Record,
            ttl: ::core::time::Duration,
        ) -> ::core::result::Result<(), $crate::StoreError> {
            $crate::SessionStore::set(&$inner, id, record, ttl).await
        }
    };
    (@destroy $self:ident, $inner:expr;) => {
        async fn destroy(&$self, id: &$crate::SessionId) -> ::core::result::Result<(), $crate::StoreError> {
            $crate::SessionStore::destroy(&$inner, id).await
        }
    };
    (@touch $self:ident, $inner:expr;) => {
        async fn touch(
            &$self,
            id: &$crate::SessionId,
            ttl: ::core::time::Duration,
        ) -> ::core::result::Result<bool, $crate::StoreError> {
            $crate::SessionStore::touch(&$inner, id, ttl).await
        }
    };
    (@create $self:ident, $inner:expr;) => {
        async fn create(
            &$self,
            id: &$crate::SessionId,
            record: &$crate::Record,
            ttl: ::core::time::Duration,
        ) -> ::core::result::Result<bool, $crate::StoreError> {
            $crate::SessionStore::create(&$inner, id, record, ttl).await
        }
    };
    (@replace $self:ident, $inner:expr;) => {
        async fn replace(
            &$self,
            id: &$crate::SessionId,
            expected: &$crate::Version,
            record: &$crate::Record,
            ttl: ::core::time::Duration,
        ) -> ::core::result::Result<$crate::Replaced, $crate::StoreError> {
            $crate::SessionStore::replace(&$inner, id, expected, record, ttl).await
        }
    };
    (@destroy_if $self:ident, $inner:expr;) => {
        async fn destroy_if(
            &$self,
            id: &$crate::SessionId,
            expected: &$crate::Version,
        ) -> ::core::result::Result<$crate::Replaced, $crate::StoreError> {
            $crate::SessionStore::destroy_if(&$inner, id, expected).await
        }
    };
    (@check $self:ident, $inner:expr;) => {
        async fn check(&$self) -> ::core::result::Result<(), $crate::StoreError> {
            $crate::SessionStore::check(&$inner).await
        }
    };
    (@get_many $self:ident, $inner:expr;) => {
        async fn get_many(
            &$self,
            ids: &[$crate::SessionId],
        ) -> ::core::result::Result<
            ::std::vec::Vec<::core::option::Option<$crate::Stored>>,
            $crate::StoreError,
        > {
            $crate::SessionStore::get_many(&$inner, ids).await
        }
    };
    (@users $self:ident, $inner:expr;) => {
        fn users(&$self) -> ::core::option::Option<&dyn $crate::UserIndex> {
            $crate::SessionStore::users(&$inner)
        }
    };
    (@watch $self:ident, $inner:expr;) => {
        fn watch(
            &$self,
        ) -> ::core::option::Option<$crate::__private::BoxStream<'static, $crate::SessionId>> {
            $crate::SessionStore::watch(&$inner)
        }
    };
    (@ids $self:ident, $inner:expr;) => {
        fn ids(
            &$self,
        ) -> ::core::option::Option<
            $crate::__private::BoxStream<
                '_,
                ::core::result::Result<$crate::SessionId, $crate::StoreError>,
            >,
        > {
            $crate::SessionStore::ids(&$inner)
        }
    };
    // Any other name in the list is an exception for another method.
    (@$method:ident $self:ident, $inner:expr; $other:ident $($own:ident)*) => {
        $crate::forward_store! { @$method $self, $inner; $($own)* }
    };
}

/// A store behind an `Arc` is a store.
impl<S: SessionStore> SessionStore for Arc<S> {
    forward_store!(self => **self);
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`SessionStore`] with boxed futures, so that it can be a trait object.
pub(crate) trait DynStore: Send + Sync {
    fn get<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, Option<Stored>>;
    fn set<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, ()>;
    fn destroy<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, ()>;
    fn touch<'a>(&'a self, id: &'a SessionId, ttl: Duration) -> Boxed<'a, bool>;
    fn create<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, bool>;
    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        expected: &'a Version,
        record: &'a Record,
        ttl: Duration,
    ) -> Boxed<'a, Replaced>;
    fn destroy_if<'a>(&'a self, id: &'a SessionId, expected: &'a Version) -> Boxed<'a, Replaced>;
    fn check(&self) -> Boxed<'_, ()>;
    fn get_many<'a>(&'a self, ids: &'a [SessionId]) -> Boxed<'a, Vec<Option<Stored>>>;
    fn users(&self) -> Option<&dyn UserIndex>;
    fn watch(&self) -> Option<BoxStream<'static, SessionId>>;
    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>>;
}

impl<S: SessionStore> DynStore for S {
    fn get<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, Option<Stored>> {
        Box::pin(SessionStore::get(self, id))
    }

    fn set<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, ()> {
        Box::pin(SessionStore::set(self, id, record, ttl))
    }

    fn destroy<'a>(&'a self, id: &'a SessionId) -> Boxed<'a, ()> {
        Box::pin(SessionStore::destroy(self, id))
    }

    fn touch<'a>(&'a self, id: &'a SessionId, ttl: Duration) -> Boxed<'a, bool> {
        Box::pin(SessionStore::touch(self, id, ttl))
    }

    fn create<'a>(&'a self, id: &'a SessionId, record: &'a Record, ttl: Duration) -> Boxed<'a, bool> {
        Box::pin(SessionStore::create(self, id, record, ttl))
    }

    fn replace<'a>(
        &'a self,
        id: &'a SessionId,
        expected: &'a Version,
        record: &'a Record,
        ttl: Duration,
    ) -> Boxed<'a, Replaced> {
        Box::pin(SessionStore::replace(self, id, expected, record, ttl))
    }

    fn destroy_if<'a>(&'a self, id: &'a SessionId, expected: &'a Version) -> Boxed<'a, Replaced> {
        Box::pin(SessionStore::destroy_if(self, id, expected))
    }

    fn check(&self) -> Boxed<'_, ()> {
        Box::pin(SessionStore::check(self))
    }

    fn get_many<'a>(&'a self, ids: &'a [SessionId]) -> Boxed<'a, Vec<Option<Stored>>> {
        Box::pin(SessionStore::get_many(self, ids))
    }

    fn users(&self) -> Option<&dyn UserIndex> {
        SessionStore::users(self)
    }

    fn watch(&self) -> Option<BoxStream<'static, SessionId>> {
        SessionStore::watch(self)
    }

    fn ids(&self) -> Option<BoxStream<'_, Result<SessionId, StoreError>>> {
        SessionStore::ids(self)
    }
}
