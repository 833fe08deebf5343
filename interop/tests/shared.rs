//! One live session, two servers: Express and axum read, change and end it in turn, over every store that both know.

macro_rules! stores {
    ($($name:ident => $kind:ident),* $(,)?) => {$(
        mod $name {
            use sessile_interop::pair::Shared;
            use sessile_interop::place::Kind;

            static PAIR: Shared = Shared::new(Kind::$kind);

            sessile_interop::shared_sessions!(super::PAIR);
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
