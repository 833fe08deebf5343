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

pub mod actix;
pub mod axum_sessions;
pub mod bare;
pub mod jar;
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
    Jar,
    TowerPlain,
    Tower,
    AxumSessionPlain,
    AxumSession,
    Actix,
    Sessile,
    SessileLayer,
    SessileUnguarded,
}

use Contestant::*;

impl Contestant {
    pub const ALL: [Self; 11] = [
        BareAxum,
        BareActix,
        Jar,
        TowerPlain,
        Tower,
        AxumSessionPlain,
        AxumSession,
        Actix,
        Sessile,
        SessileLayer,
        SessileUnguarded,
    ];

    /// What it is called, and the word for it on the command line.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            BareAxum => ("bare axum", "bare-axum"),
            BareActix => ("bare actix-web", "bare-actix"),
            Jar => ("axum-extra `SignedCookieJar`, no store", "jar"),
            TowerPlain => ("tower-sessions, unsigned", "tower-plain"),
            Tower => ("tower-sessions, signed", "tower"),
            AxumSessionPlain => ("axum_session, unsigned", "axum-session-plain"),
            AxumSession => ("axum_session, signed", "axum-session"),
            Actix => ("actix-session", "actix"),
            Sessile => ("sessile, extractor", "sessile"),
            SessileLayer => ("sessile, layer", "sessile-layer"),
            SessileUnguarded => ("sessile, extractor, no guard", "sessile-unguarded"),
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
