//! [`ConfigError`]: why a configuration is refused.

/// Why [`SessionConfigBuilder::build`](crate::SessionConfigBuilder::build) refuses a configuration. Each
/// variant names the option to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The list of secrets is empty.
    #[error("`secret`: at least one secret is needed")]
    NoSecret,
    /// The closure of [`Secrets::watched`](crate::Secrets::watched) has failed at start, with an error of this
    /// kind.
    #[error("`secret`: the secrets could not be read: {0}")]
    UnreadSecrets(std::io::ErrorKind),
    /// One of the secrets is empty.
    #[error("`secret`: an empty secret signs nothing")]
    EmptySecret,
    /// One of the secrets is under 32 bytes, and the builder is that of
    /// [`SessionConfig::hardened`](crate::SessionConfig::hardened).
    #[error("`secret`: the hardened preset needs secrets of 32 bytes or more")]
    ShortSecret,
    /// One of the secrets has fewer than 10 distinct bytes, so somebody has typed it rather than generated
    /// it, and the builder is that of [`SessionConfig::hardened`](crate::SessionConfig::hardened).
    #[error(
        "`secret`: the hardened preset needs secrets with 10 or more distinct bytes; generate one, as with `openssl rand -base64 32`"
    )]
    MonotonousSecret,
    /// `name` is not a cookie name: 1 to 256 letters, digits or characters of ``!#$%&'*+-.^_`|~``.
    #[error("`name`: not a legal cookie name")]
    Name,
    /// `path` does not start with `/`, has more than 1,024 bytes, or has a `;`, a control or a non-ASCII
    /// character.
    #[error(
        "`path`: not a legal cookie path; it starts with `/` and has no `;`, control or non-ASCII character"
    )]
    Path,
    /// `domain` is not a host name in ASCII.
    #[error("`domain`: not a legal cookie domain; it is a host name in ASCII")]
    Domain,
    /// The prefix of `name` (`__Host-`, `__Secure-`, `__Http-`, `__Host-Http-`) requires another value of
    /// another option.
    #[error("`name`: the prefix {prefix} needs {needs}")]
    Prefix {
        /// The prefix of the cookie's name.
        prefix: &'static str,
        /// The option that the prefix requires.
        needs: &'static str,
    },
    /// `same_site(SameSite::None)` or `same_site_auto()` is set without `secure`.
    #[error("`same_site`: browsers drop a `SameSite=None` cookie without `secure`")]
    SameSite,
    /// `partitioned(true)` is set without `secure`.
    #[error("`partitioned`: browsers drop a `Partitioned` cookie without `secure`")]
    Partitioned,
    /// `max_age` is under a millisecond or over 400 days.
    #[error(
        "`max_age`: more than zero, at most 400 days; for a cookie that ends with the browser use `browser_session()`"
    )]
    MaxAge,
    /// `store_ttl` is under a millisecond or over 400 days.
    #[error("`store_ttl`: more than zero, at most 400 days")]
    StoreTtl,
    /// `absolute_timeout` is under a millisecond.
    #[error("`absolute_timeout`: more than zero")]
    AbsoluteTimeout,
    /// `look_every` is under a millisecond.
    #[error("`look_every`: more than zero")]
    LookEvery,
    /// `per_user` allows no session at all.
    #[error("`per_user`: at least one session")]
    NoSessionsPerUser,
    /// `per_user` needs a store that keeps lists of users' sessions, and
    /// [`users`](crate::SessionStore::users) of this one returns `None`. A wrapper that does not forward
    /// the method hides the lists of the store inside.
    #[error(
        "`per_user`: the store keeps no lists of users' sessions; a wrapper forwards `users` with `sessile::forward_store!`"
    )]
    PerUser,
    /// A path of [`Dbsc`](crate::dbsc::Dbsc) has anything but letters, digits and `-._~/`, or that of the
    /// endpoints is outside of the cookie's `path`, so that they would not get the session's cookie.
    #[cfg(feature = "dbsc")]
    #[error(
        "`dbsc`: paths begin with `/`, have letters, digits and `-._~/`, and the endpoints are within `path`"
    )]
    DbscPath,
    /// `bound_for` of [`Dbsc`](crate::dbsc::Dbsc) is under a second or over a day.
    #[cfg(feature = "dbsc")]
    #[error("`bound_for`: at least a second, at most a day")]
    BoundFor,
    /// `dbsc` is set with `partitioned(true)`.
    #[cfg(feature = "dbsc")]
    #[error("`dbsc`: browsers do not bind `partitioned` cookies")]
    DbscPartitioned,
}
