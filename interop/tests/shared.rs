//! One live session, two servers: Express and axum read, change and end it in turn, over every store that
//! both know.

macro_rules! stores {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        mod $name {
            use sessile_interop::servers::SharedServers;
            use sessile_interop::shared_store::Kind;

            static SERVERS: SharedServers = SharedServers::new(Kind::$kind);

            sessile_interop::shared_sessions!(super::SERVERS);
        }
    )*};
}

stores! {
    files => File,
    redis => Redis,
    postgres => Postgres,
    mariadb => MySql,
    sqlite => Sqlite,
}
