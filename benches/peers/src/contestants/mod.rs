//! Who takes part, each with the same routes:
//!
//! | route | what it does |
//! |---|---|
//! | `/fill/{bytes}` | stores the payload of that size |
//! | `/read` | reads a number and a struct |
//! | `/write` | counts one up |
//! | `/new` | stores one key |
//! | `/renew` | gives the session a new id and keeps its data |
//! | `/plain` | has no business with sessions |
//!
//! Those who log in have two others: `/login`, and `/page`, which a logged-in user sees.

pub mod actix;
pub mod axum_sessions;
pub mod bare;
pub mod hand;
pub mod jar;
pub mod login;
mod secret;
pub mod sessile;
pub mod tower;

use ::axum_session::SessionNullPool;
use actix_web::App as ActixApp;
use actix_web::test::init_service;
use axum::Router;

use crate::app::{App, Axum};
use crate::scenario::Scenario;

/// Someone who keeps sessions in memory, or nobody who does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Contestant {
    BareAxum,
    BareActix,
    HeadersOnly,
    EmptyLayer,
    Hand,
    Jar,
    TowerPlain,
    Tower,
    AxumSessionPlain,
    AxumSession,
    Actix,
    Sessile,
    SessileLayer,
    SessileUnguarded,
    LoginTower,
    LoginSessile,
    LoginOwn,
}

use Contestant::*;

impl Contestant {
    pub const ALL: [Self; 17] = [
        BareAxum,
        BareActix,
        HeadersOnly,
        EmptyLayer,
        Hand,
        Jar,
        TowerPlain,
        Tower,
        AxumSessionPlain,
        AxumSession,
        Actix,
        Sessile,
        SessileLayer,
        SessileUnguarded,
        LoginTower,
        LoginSessile,
        LoginOwn,
    ];

    /// What it is called, and the word for it on the command line.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            BareAxum => ("bare axum", "bare-axum"),
            BareActix => ("bare actix-web", "bare-actix"),
            HeadersOnly => ("bare axum, and the headers of sessions", "headers"),
            EmptyLayer => ("bare axum behind a layer that does nothing", "empty-layer"),
            Hand => ("written by hand", "hand"),
            Jar => ("axum-extra `SignedCookieJar`, no store", "jar"),
            TowerPlain => ("tower-sessions, unsigned", "tower-plain"),
            Tower => ("tower-sessions, signed", "tower"),
            AxumSessionPlain => ("axum_session, unsigned", "axum-session-plain"),
            AxumSession => ("axum_session, signed", "axum-session"),
            Actix => ("actix-session", "actix"),
            Sessile => ("sessile, extractor", "sessile"),
            SessileLayer => ("sessile, layer", "sessile-layer"),
            SessileUnguarded => ("sessile, extractor, no guard", "sessile-unguarded"),
            LoginTower => ("axum-login on tower-sessions, signed", "login-tower"),
            LoginSessile => ("axum-login on sessile", "login-sessile"),
            LoginOwn => ("sessile: `log_in` and `belongs_to`", "login-own"),
        }
    }

    pub fn name(self) -> &'static str {
        self.names().0
    }

    pub fn word(self) -> &'static str {
        self.names().1
    }

    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contestant| contestant.word() == word)
    }

    /// Whether it has sessions at all.
    pub fn keeps_sessions(self) -> bool {
        !matches!(self, BareAxum | BareActix | HeadersOnly | EmptyLayer)
    }

    /// The server its figures are taken over.
    pub fn bare(self) -> Self {
        if matches!(self, BareActix | Actix) { BareActix } else { BareAxum }
    }

    /// Its application for requests of this kind, with an empty store in memory; `None` for those on
    /// actix-web.
    pub async fn router(self, scenario: Scenario) -> Option<Router> {
        let rolling = scenario == Scenario::Rolling;
        Some(match self {
            BareAxum => bare::axum(scenario),
            HeadersOnly => bare::with_headers(scenario),
            EmptyLayer => bare::layered(scenario),
            Hand => hand::axum(rolling),
            Jar => jar::axum(rolling),
            TowerPlain => tower::newest::axum(tower_sessions::MemoryStore::default(), rolling, false),
            Tower => tower::newest::axum(tower_sessions::MemoryStore::default(), rolling, true),
            AxumSessionPlain | AxumSession => {
                let (keeps, signed) = (axum_sessions::Memory::Keeps, self == AxumSession);
                axum_sessions::axum::<SessionNullPool>(None, keeps, rolling, signed).await
            }
            Sessile => sessile::extractor(::sessile::MemoryStore::new(), rolling),
            SessileLayer => sessile::layer(::sessile::MemoryStore::new(), rolling),
            SessileUnguarded => sessile::unguarded(::sessile::MemoryStore::new()),
            LoginTower => login::on_tower(),
            LoginSessile => login::on_sessile(),
            LoginOwn => login::own(),
            BareActix | Actix => return None,
        })
    }

    /// Its application for requests of this kind, with an empty store in memory.
    pub async fn app(self, scenario: Scenario) -> Box<dyn App> {
        match self.router(scenario).await {
            Some(router) => Box::new(Axum(router)),
            None if self == BareActix => {
                let app = ActixApp::new().configure(bare::actix(scenario));
                Box::new(crate::app::Actix(init_service(app).await))
            }
            None => {
                let rolling = scenario == Scenario::Rolling;
                let middleware = actix::middleware(actix::MemoryStore::default(), rolling);
                let app = ActixApp::new().wrap(middleware).configure(actix::routes);
                Box::new(crate::app::Actix(init_service(app).await))
            }
        }
    }
}
