//! [`SessionConfigBuilder`]: the options, one method each.

use std::fmt;
use std::time::Duration;

use cookie::SameSite;

use crate::clock::{Clock, ErasedClock};
use crate::config::adopt::ErasedAdopt;
#[cfg(feature = "dbsc")]
use crate::config::dbsc::Dbsc;
use crate::config::event::EventHook;
use crate::config::policy::Policy;
use crate::cookie::attributes::{Attributes, Priority, SameSitePolicy, Secure};
use crate::cookie::secrets::Secrets;
use crate::id::SessionId;
use crate::store::SessionStore;
use crate::store::erased::ErasedStore;

/// Builds a [`SessionConfig`](crate::SessionConfig). Each method names the option that it stands for in
/// express-session, or in a store for express-session.
///
/// ```
/// use std::time::Duration;
/// use sessile::SessionConfig;
///
/// let config = SessionConfig::builder("a secret of at least 32 bytes, from the environment")
///     .name("shop.sid")
///     .secure(true)
///     .save_uninitialized(false)
///     .max_age(Duration::from_secs(8 * 60 * 60))
///     .build()?;
/// # Ok::<(), sessile::ConfigError>(())
/// ```
#[must_use = "call `.build()`"]
pub struct SessionConfigBuilder {
    pub(super) secrets: Secrets,
    pub(super) strict_secret: bool,
    pub(super) cookie: Attributes,
    pub(super) secure: Secure,
    pub(super) policy: Policy,
    pub(super) clock: ErasedClock,
    pub(super) store: Option<ErasedStore>,
    pub(super) adopt: Option<Box<dyn ErasedAdopt>>,
    #[cfg(feature = "dbsc")]
    pub(super) dbsc: Option<Dbsc>,
    pub(super) genid: Option<Box<dyn Fn() -> SessionId + Send + Sync>>,
    pub(super) on_event: Option<EventHook>,
}

impl SessionConfigBuilder {
    /// A builder with the default of every option.
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets,
            strict_secret: false,
            cookie: Attributes {
                name: "connect.sid".into(),
                http_only: true,
                path: "/".into(),
                domain: None,
                same_site: SameSitePolicy::Fixed(SameSite::Lax),
                partitioned: false,
                priority: None,
            },
            secure: Secure::Never,
            policy: Policy::default(),
            clock: ErasedClock::default(),
            store: None,
            adopt: None,
            #[cfg(feature = "dbsc")]
            dbsc: None,
            genid: None,
            on_event: None,
        }
    }

    /// Sets the options of [`SessionConfig::hardened`](crate::SessionConfig::hardened).
    pub(crate) fn strict(mut self) -> Self {
        self.strict_secret = true;
        self.name("__Host-sid").secure(true).save_uninitialized(false).browser_session()
    }

    /// The cookie's name (Express: `name`). Default: `connect.sid`, as in Express.
    ///
    /// Change it where two applications share a host: browsers send a cookie to every port of a host. A name
    /// with the prefix `__Host-` makes browsers accept the cookie from this host and over https only.
    ///
    /// [`build`](Self::build) refuses names that are not 1 to 256 letters, digits or characters of
    /// ``!#$%&'*+-.^_`|~``.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.cookie.name = name.into();
        self
    }

    /// How long a session lives after it was last used (Express: `cookie.maxAge`, in milliseconds there).
    /// Default: 24 hours.
    ///
    /// Choose less for sessions that give access to something valuable, more for users who should stay logged
    /// in. A single session can have a max-age of its own:
    /// [`Session::set_max_age`](crate::Session::set_max_age).
    ///
    /// [`build`](Self::build) refuses less than a millisecond and more than 400 days, to which browsers cut a
    /// cookie's lifetime.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.policy.max_age = Some(max_age);
        self
    }

    /// Lets the cookie end when the browser closes, in place of a max-age (Express: `cookie.maxAge: null`).
    /// Default: off, because [`max_age`](Self::max_age) is set.
    ///
    /// Use it where several people share a computer. The store keeps the record for
    /// [`store_ttl`](Self::store_ttl) after the session was last used.
    pub fn browser_session(mut self) -> Self {
        self.policy.max_age = None;
        self
    }

    /// Whether browsers send the cookie over https only (Express: `cookie.secure`): `true`, `false` or
    /// [`Secure::Auto`]. Default: `false`, so that a first run on localhost works.
    ///
    /// Use `true` in production. Use [`Secure::Auto`] for a service that is reached over both http and https.
    pub fn secure(mut self, secure: impl Into<Secure>) -> Self {
        self.secure = secure.into();
        self
    }

    /// Hides the cookie from scripts in the page (Express: `cookie.httpOnly`). Default: `true`.
    ///
    /// There is rarely a reason to change it: a script that can read the cookie can also send it elsewhere.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.cookie.http_only = http_only;
        self
    }

    /// The path under which browsers send the cookie (Express: `cookie.path`). Default: `/`, all paths of the
    /// host.
    ///
    /// Change it where applications share a host under different paths. The option restricts browsers only: a
    /// handler under any path can have a session. [`save_uninitialized`](Self::save_uninitialized) stores
    /// nothing for requests outside the path: they carry no cookie, so a new session would replace the one
    /// that the browser may have.
    ///
    /// [`build`](Self::build) refuses a path that does not start with `/`, has more than 1,024 bytes, or has
    /// a `;`, a control or a non-ASCII character.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.cookie.path = path.into();
        self
    }

    /// The domain whose hosts all get the cookie (Express: `cookie.domain`). Default: none, so the host that
    /// sets the cookie is the only one that gets it.
    ///
    /// Set it to share sessions among subdomains, if you trust all of them.
    ///
    /// [`build`](Self::build) refuses what is not a host name in ASCII.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.cookie.domain = Some(domain.into());
        self
    }

    /// Which requests from other sites carry the cookie (Express: `cookie.sameSite`). Default: `Lax`, which
    /// sends the cookie when a user follows a link to this site, but not with other sites' forms, images or
    /// scripts.
    ///
    /// `Strict` leaves the cookie out even when a user follows a link. `None` sends it with all requests, for
    /// pages that other sites embed; [`build`](Self::build) refuses it without [`secure`](Self::secure),
    /// because browsers would drop the cookie.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.cookie.same_site = SameSitePolicy::Fixed(same_site);
        self
    }

    /// Leaves out the `SameSite` attribute (Express: `cookie.sameSite: false`, the default there). Default:
    /// the attribute is `Lax`.
    ///
    /// Use it to set the same cookie as an Express application that leaves out the attribute. It is up to the
    /// browser then which requests carry the cookie.
    pub fn no_same_site(mut self) -> Self {
        self.cookie.same_site = SameSitePolicy::Omitted;
        self
    }

    /// Sets `SameSite=None` where the request came over https, else `SameSite=Lax` (Express:
    /// `cookie.sameSite: 'auto'`). Default: `Lax` for all requests.
    ///
    /// Use it for pages that other sites embed and that are also reached over http, as in development.
    /// [`Secure::Auto`] says what counts as https. [`build`](Self::build) refuses it unless
    /// [`secure`](Self::secure) is `true` or `Secure::Auto`.
    pub fn same_site_auto(mut self) -> Self {
        self.cookie.same_site = SameSitePolicy::Auto;
        self
    }

    /// Makes browsers keep a separate cookie for each site that embeds this one, as CHIPS has it (Express:
    /// `cookie.partitioned`). Default: `false`.
    ///
    /// Use it for pages that other sites embed, if a user may have another session under each of them.
    /// [`build`](Self::build) refuses it without [`secure`](Self::secure), because browsers would drop the
    /// cookie.
    pub fn partitioned(mut self, partitioned: bool) -> Self {
        self.cookie.partitioned = partitioned;
        self
    }

    /// Which cookies Chromium drops first when a domain has too many (Express: `cookie.priority`). Default:
    /// no attribute, which Chromium reads as [`Priority::Medium`].
    ///
    /// Use [`Priority::High`] on a domain with so many cookies that users lose their sessions.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.cookie.priority = Some(priority);
        self
    }

    /// Where records are kept (Express: `store`). Default: a new [`MemoryStore`](crate::MemoryStore), whose
    /// sessions end with the process.
    ///
    /// Change it where sessions have to survive a restart, or several processes share them.
    pub fn store(mut self, store: impl SessionStore) -> Self {
        self.store = Some(ErasedStore::new(store));
        self
    }

    #[cfg(feature = "cookie-session")]
    pub(crate) fn erased_store(mut self, store: ErasedStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Writes an existing session's record on every commit, changed or not (Express: `resave`, `true` by
    /// default there). Default: `false`.
    ///
    /// There is rarely a reason to set it: in Express it keeps sessions alive in stores without a `touch`,
    /// and here every store has a `touch`.
    pub fn resave(mut self, resave: bool) -> Self {
        self.policy.resave = resave;
        self
    }

    /// Stores new sessions even without data in them (Express: `saveUninitialized`). Default: `true`, as in
    /// Express.
    ///
    /// `true` counts for requests without a cookie of the [`name`](Self::name). A cookie that names no
    /// session may be newer than the request that carries it, so only a session with something in it replaces
    /// it.
    ///
    /// Use `false` unless every visitor needs a session: visitors who never log in then get no cookie, and
    /// their sessions take no room in the store.
    pub fn save_uninitialized(mut self, save_uninitialized: bool) -> Self {
        self.policy.save_uninitialized = save_uninitialized;
        self
    }

    /// Sends the cookie and extends the session's expiry on every commit (Express: `rolling`). Default:
    /// `false`, which sends the cookie of a session with a max-age when something was written to it.
    ///
    /// Use `true` where users who only read for longer than the max-age should stay logged in. Every handler
    /// has to commit then, or [`SessionLayer`](crate::SessionLayer) for them. Each commit costs a touch.
    pub fn rolling(mut self, rolling: bool) -> Self {
        self.policy.rolling = rolling;
        self
    }

    /// Makes the ids of new sessions (Express: `genid`). Default: a random UUID (version 4).
    ///
    /// Change it where other programs expect ids of another form. Ids must be unguessable: at least 128 bits
    /// from a cryptographic generator.
    pub fn genid(mut self, genid: impl Fn() -> SessionId + Send + Sync + 'static) -> Self {
        self.genid = Some(Box::new(genid));
        self
    }

    /// Believes the request header `X-Forwarded-Proto` (Express: `proxy`), which tells whether the browser
    /// used https. Default: `false`.
    ///
    /// Use `true` behind a proxy that ends TLS and sets the header itself, whatever the client sent. Without
    /// such a proxy every client can claim to use https. The header matters where [`secure`](Self::secure) is
    /// [`Secure::Auto`], and where the cookie is Secure but the browser used http: the browser would drop the
    /// cookie, so no new session is stored.
    pub fn trust_proxy(mut self, trust_proxy: bool) -> Self {
        self.policy.trust_proxy = trust_proxy;
        self
    }

    /// How long a session that is only read waits for its expiry in the store to be extended (connect-mongo:
    /// `touchAfter`). Default: a hundredth of the max-age, at most 60 seconds.
    ///
    /// A longer time spares the store touches. A shorter one makes the expiry more exact, which otherwise
    /// counts from a use that may be this much earlier than the last one. Zero extends the expiry on every
    /// request, as Express does. At the latest the expiry is extended after half of the session's lifetime.
    pub fn touch_after(mut self, touch_after: Duration) -> Self {
        self.policy.touch_after = Some(touch_after);
        self
    }

    /// How long the store keeps a session without a max-age after it was last used (connect-redis: `ttl`).
    /// Default: 24 hours.
    ///
    /// It holds with [`browser_session`](Self::browser_session), and for single sessions whose max-age was
    /// set to `None`. Change it where users keep their browser open for longer, or should be logged out
    /// sooner.
    ///
    /// [`build`](Self::build) refuses less than a millisecond and more than 400 days.
    pub fn store_ttl(mut self, store_ttl: Duration) -> Self {
        self.policy.store_ttl = store_ttl;
        self
    }

    /// The longest record that is written, in bytes of its JSON (no such option in Express). Default: 1 MiB
    /// (1,048,576).
    ///
    /// A commit that would write a longer one is [`SessionError::TooLarge`](crate::SessionError::TooLarge),
    /// and writes nothing. A longer one that another program wrote is loaded, or adopted, all the same.
    pub fn max_record_bytes(mut self, max_record_bytes: usize) -> Self {
        self.policy.max_record_bytes = max_record_bytes;
        self
    }

    /// How many flash messages of a kind wait at most (no such option in Express). Default: 100.
    ///
    /// When one more is pushed, the oldest go, so that messages which no page shows do not make a session
    /// grow without end. If Express has left more than that, they stay until the next push.
    pub fn max_flash(mut self, max_flash: usize) -> Self {
        self.policy.max_flash = max_flash;
        self
    }

    /// The clock that tells the time (not an option of Express). Default:
    /// [`SystemClock`](crate::SystemClock).
    ///
    /// Change it in tests that move time. The store has a clock of its own and needs the same one:
    /// [`MemoryStore::builder`](crate::MemoryStore::builder),
    /// [`FileStoreBuilder::clock`](crate::FileStoreBuilder::clock).
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = ErasedClock::new(clock);
        self
    }
}

impl fmt::Debug for SessionConfigBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionConfigBuilder")
            .field("secrets", &self.secrets)
            .field("cookie", &self.cookie)
            .field("secure", &self.secure)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
