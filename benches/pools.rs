//! What a pool of n connections carries: an app whose pages read or write a session of 1 KiB, asked over 64
//! connections of HTTP, each of which waits for its answer before it asks again. Private servers, one after the
//! other; a server that is not installed is skipped, and said to be. Writes the tables of
//! `docs/guide/operating.md` to the standard output. Anything else that runs on the machine shows in them:
//!
//! ```sh
//! cargo bench --all-features --bench pools
//! ```

#[cfg(all(feature = "redis", feature = "postgres", feature = "mysql"))]
fn main() {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(pools::measure());
}

#[cfg(not(all(feature = "redis", feature = "postgres", feature = "mysql")))]
fn main() {
    eprintln!("skipped: run with --all-features for RedisStore, PostgresStore and MySqlStore");
}

#[cfg(all(feature = "redis", feature = "postgres", feature = "mysql"))]
mod pools {
    use std::time::{Duration, Instant};

    use axum::Router;
    use axum::routing::get;
    use sessile::sqlx::mysql::MySqlPoolOptions;
    use sessile::sqlx::postgres::PgPoolOptions;
    use sessile::{
        MySqlStore, PostgresStore, RedisStore, Session, SessionConfig, SessionError, SessionGuard,
        SessionStore,
    };
    use sessile_test_servers as servers;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    const CLIENTS: usize = 64;
    const SIZES: [u32; 6] = [1, 2, 4, 8, 16, 32];
    const WARM_UP: Duration = Duration::from_millis(500);
    const MEASURED: Duration = Duration::from_secs(3);
    /// How many rounds there are, each over all sizes; the median of them is told.
    const ROUNDS: usize = 3;

    pub(super) async fn measure() {
        if let Some(server) = servers::postgres("UTC", &[]) {
            let url = format!("postgres://postgres@{}/postgres", server.address());
            let open = async |size| {
                let pool = PgPoolOptions::new().max_connections(size).test_before_acquire(false);
                PostgresStore::new(pool.connect(&url).await.expect("a server"))
            };
            open(1).await.migrate().await.expect("tables");
            table("PostgresStore", open).await;
            beyond(&url).await;
        }
        if let Some(server) = servers::mariadb(&[]) {
            let url = format!("mysql://sessile:sessile@{}/test", server.address());
            let open = async |size| {
                let pool = MySqlPoolOptions::new().max_connections(size).test_before_acquire(false);
                MySqlStore::new(pool.connect(&url).await.expect("a server"))
            };
            open(1).await.migrate().await.expect("tables");
            table("MySqlStore, MariaDB", open).await;
        }
        if let Some(server) = servers::redis(&[]) {
            let url = format!("redis://{}/", server.address());
            println!(
                "\n| RedisStore | reads/s | p50 | p99 | writes/s | p50 | p99 | 503 |\n|{}",
                "---|".repeat(8)
            );
            let store = RedisStore::connect(&*url).await.expect("a server");
            let app = App::start(store).await;
            println!(
                "| 3, shared {} |",
                cells(&mut [round(&app).await, round(&app).await, round(&app).await])
            );
        }
    }

    /// A row for each size of the pool.
    async fn table<S: SessionStore>(name: &str, open: impl AsyncFn(u32) -> S) {
        println!("\n| {name} | reads/s | p50 | p99 | writes/s | p50 | p99 | 503 |\n|{}", "---|".repeat(8));
        let mut apps = Vec::new();
        for size in SIZES {
            apps.push((size, App::start(open(size).await).await, Vec::new()));
        }
        for _ in 0..ROUNDS {
            for (_, app, rounds) in &mut apps {
                rounds.push(round(app).await);
            }
        }
        for (size, _, mut rounds) in apps {
            println!("| {size} {} |", cells(&mut rounds));
        }
    }

    /// Reads and writes.
    type Round = [Load; 2];

    async fn round(app: &App) -> Round {
        [app.load("/read", MEASURED).await, app.load("/write", MEASURED).await]
    }

    fn cells(rounds: &mut [Round]) -> String {
        let mut cells = String::new();
        let mut failed = 0;
        for kind in 0..2 {
            rounds.sort_by(|a, b| a[kind].rate().total_cmp(&b[kind].rate()));
            let load = &rounds[rounds.len() / 2][kind];
            cells += &format!("| {:.0} | {} | {} ", load.rate(), load.part(0.5), load.part(0.99));
            failed += rounds.iter().map(|round| round[kind].failed).sum::<usize>();
        }
        format!("{cells}| {failed}")
    }

    /// A table that somebody has locked: what waits for the server waits for the store's timeout, and what waits for
    /// a connection until then, or as long as the pool says.
    async fn beyond(url: &str) {
        println!(
            "\n| PostgresStore, 8 connections, a server that does not answer | answered | 503 after (least, most) |\n|---|---|---|"
        );
        for (what, wait) in
            [("as it is", None), ("`acquire_timeout` of 250 ms", Some(Duration::from_millis(250)))]
        {
            let pool = PgPoolOptions::new().max_connections(8).test_before_acquire(false);
            let pool = wait.map_or(pool.clone(), |wait| pool.acquire_timeout(wait));
            let app = App::start(PostgresStore::new(pool.connect(url).await.expect("a server"))).await;
            let locker = PgPoolOptions::new().max_connections(1).connect(url).await.expect("a server");
            let mut lock = locker.begin().await.expect("a transaction");
            sessile::sqlx::query("LOCK TABLE session").execute(&mut *lock).await.expect("a lock");
            let load = app.once("/read").await;
            println!(
                "| {what} | {} | {}: {} to {} |",
                load.times.len(),
                load.failed,
                load.failures(0.0),
                load.failures(1.0)
            );
            drop(lock);
        }
    }

    /// What the clients saw.
    #[derive(Default)]
    struct Load {
        /// How long each request took that was answered with 200, sorted.
        times: Vec<Duration>,
        failed: usize,
        /// How long the others took, sorted.
        failures: Vec<Duration>,
        lasted: Duration,
    }

    impl Load {
        fn rate(&self) -> f64 {
            self.times.len() as f64 / self.lasted.as_secs_f64()
        }

        fn part(&self, part: f64) -> String {
            at(&self.times, part)
        }

        fn failures(&self, part: f64) -> String {
            at(&self.failures, part)
        }
    }

    fn at(times: &[Duration], part: f64) -> String {
        let place = (part * times.len().saturating_sub(1) as f64) as usize;
        times.get(place).map_or("–".into(), |time| format!("{:.1} ms", time.as_secs_f64() * 1000.0))
    }

    /// A server, and a session for each client.
    struct App {
        address: String,
        cookies: Vec<String>,
    }

    impl App {
        async fn start(store: impl SessionStore) -> Self {
            let secret = "a secret of at least 32 bytes, for benches";
            let sessions = SessionConfig::builder(secret).store(store).save_uninitialized(false).build();
            let sessions = sessions.expect("options");
            let mut cookies = Vec::new();
            for _ in 0..CLIENTS {
                let fill = async |session: Session| {
                    session.insert("views", 0)?;
                    session.insert("text", "x".repeat(1000))
                };
                let created = sessions.create_session(fill).await.expect("a session");
                cookies.push(created.cookie().to_str().expect("text").to_owned());
            }
            let app =
                Router::new().route("/read", get(read)).route("/write", get(write)).with_state(sessions);
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address").to_string();
            tokio::spawn(async move { axum::serve(listener, app).await });
            Self { address, cookies }
        }

        /// Everybody asks for as long as this.
        async fn load(&self, path: &str, time: Duration) -> Load {
            let began = Instant::now() + WARM_UP;
            self.ask(path, began, began + time).await
        }

        /// Everybody asks once.
        async fn once(&self, path: &str) -> Load {
            let now = Instant::now();
            self.ask(path, now, now).await
        }

        /// Requests that begin before `from` are not counted; the last one begins before `to`.
        async fn ask(&self, path: &str, from: Instant, to: Instant) -> Load {
            let mut clients = JoinSet::new();
            for cookie in &self.cookies {
                let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
                let stream = TcpStream::connect(&self.address).await.expect("the server listens");
                clients.spawn(client(stream, request, from, to));
            }
            let mut load = Load { lasted: to - from, ..Load::default() };
            for (status, time) in clients.join_all().await.into_iter().flatten() {
                match status {
                    200 => load.times.push(time),
                    503 => load.failures.push(time),
                    other => panic!("{path} was answered with {other}"),
                }
            }
            load.failed = load.failures.len();
            load.times.sort();
            load.failures.sort();
            load
        }
    }

    async fn client(
        mut stream: TcpStream,
        request: String,
        from: Instant,
        to: Instant,
    ) -> Vec<(u16, Duration)> {
        let mut answers = Vec::new();
        loop {
            let sent = Instant::now();
            stream.write_all(request.as_bytes()).await.expect("the server reads");
            let status = status(&mut stream).await;
            if sent >= from {
                answers.push((status, sent.elapsed()));
            }
            if Instant::now() >= to {
                return answers;
            }
        }
    }

    /// Reads an answer, whose body is as long as it says.
    async fn status(stream: &mut TcpStream) -> u16 {
        let mut answer = Vec::with_capacity(1024);
        loop {
            assert!(
                stream.read_buf(&mut answer).await.expect("the server answers") > 0,
                "the server has gone"
            );
            let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
            if body.len() >= length {
                return head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
            }
        }
    }

    async fn read(session: Session) -> Result<(SessionGuard, String), SessionError> {
        let views = session.get::<u64>("views")?;
        Ok((session.commit().await?, format!("{views:?}")))
    }

    async fn write(session: Session) -> Result<(SessionGuard, String), SessionError> {
        let views = session.update("views", |views: Option<u64>| Some(views.unwrap_or(0) + 1))?;
        Ok((session.commit().await?, format!("{views:?}")))
    }
}
