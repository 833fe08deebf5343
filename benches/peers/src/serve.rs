//! Contestants as servers on a port, each in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use actix_web::{App as ActixApp, HttpServer};
use axum::Router;
use sessile::{Durability, FileStore};
use tower_sessions_file_store::FileSessionStorage;

use crate::app::{Answer, App, Ask, Local};
use crate::contestants::{Contestant, actix, bare, sessile as ours, tower};
use crate::inner::{Core, again, on};
use crate::runtime::block_on;
use crate::scenario::Scenario;

/// A server that ends with this value.
pub struct Server {
    port: u16,
    process: Child,
}

impl Server {
    /// Starts a server that prints its port, and ends when its standard input does.
    fn start(mut command: Command) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a server starts");
        let output = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("the server prints its port");
        let port =
            line.trim().parse().unwrap_or_else(|error| panic!("{command:?} printed {line:?}: {error}"));
        Self { port, process }
    }

    /// This contestant on this core, with its sessions in memory.
    pub fn contestant(core: Core, contestant: Contestant) -> Self {
        Self::start(again(core, &["serve", contestant.word()], None))
    }

    /// A store of files on this core.
    pub fn files(core: Core, store: &str, folder: &Path) -> Self {
        Self::start(again(core, &["serve-files", store, folder.to_str().expect("a path that is text")], None))
    }

    /// Express under this runtime on this core; `None`, said aloud, where that or the packages are not
    /// installed.
    pub fn express(core: Core, runtime: &str, sessions: &str) -> Option<Self> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("node");
        let packages = folder.join("node_modules");
        let bun = packages.join(".bin/bun");
        let program = if runtime == "bun" { bun.to_str()? } else { runtime };
        let runs =
            Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
        if !runs || !packages.is_dir() {
            eprintln!("skipped: {runtime} or the packages in {} are not installed", folder.display());
            return None;
        }
        let mut command = on(core, program);
        command.arg(folder.join("server.js")).env("SESSIONS", sessions).env("NODE_ENV", "production");
        Some(Self::start(command))
    }

    /// How long its threads ran so far.
    pub fn processor(&self) -> Duration {
        let threads =
            std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs, on Linux");
        let ran = threads.flatten().filter_map(|thread| {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
        });
        ran.sum()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl App for Server {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Local<'a, Answer> {
        Box::pin(async {
            let mut request = ureq::get(self.url(&ask.path));
            if let Some(cookie) = &ask.cookie {
                request = request.header("cookie", cookie);
            }
            let mut response = request.call().expect("an answer");
            let lines = response.headers().get_all("set-cookie").iter();
            let set_cookies = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into()).collect();
            let body = response.body_mut().read_to_string().expect("a body");
            Answer { status: response.status().as_u16(), body, set_cookies }
        })
    }

    fn drive<'a>(&'a self, asks: &'a [Ask], times: usize) -> Local<'a, ()> {
        Box::pin(async move {
            for ask in asks.iter().cycle().take(times) {
                assert_eq!(self.ask(ask).await.status, 200, "{ask:?}");
            }
        })
    }
}

/// Serves a contestant, on one thread, until the standard input ends.
pub fn serve(contestant: Contestant) {
    end_with_input();
    match contestant {
        Contestant::BareActix => serve_actix(|| ActixApp::new().configure(bare::actix(Scenario::Read))),
        Contestant::Actix => {
            let store = actix::MemoryStore::default();
            serve_actix(move || {
                ActixApp::new().wrap(actix::middleware(store.clone(), false)).configure(actix::routes)
            });
        }
        _ => block_on(async {
            serve_axum(contestant.router(Scenario::Read).await.expect("an application of axum's")).await;
        }),
    }
}

/// The stores of files, by their names on the command line.
pub const FILE_STORES: [&str; 3] = ["sessile-fsync", "sessile", "tower"];

/// Serves sessions in files, on one thread, until the standard input ends.
pub fn serve_files(store: &str, folder: &str) {
    end_with_input();
    let ours = |durability| {
        let store = FileStore::builder(folder).durability(durability).build().expect("a folder");
        ours::extractor(store, false)
    };
    let router = match store {
        "sessile-fsync" => ours(Durability::File),
        "sessile" => ours(Durability::None),
        "tower" => tower::newest::axum(FileSessionStorage::new_in_folder(PathBuf::from(folder)), false, true),
        _ => panic!("{store}: none of {FILE_STORES:?}"),
    };
    block_on(serve_axum(router));
}

fn end_with_input() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

async fn serve_axum(router: Router) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", listener.local_addr().expect("an address").port());
    axum::serve(listener, router).await.expect("it serves");
}

/// Serves on one worker; the bounds are what actix-web asks of any application.
fn serve_actix<T, B>(app: impl Fn() -> ActixApp<T> + Clone + Send + 'static)
where
    T: actix_web::dev::ServiceFactory<
            actix_web::dev::ServiceRequest,
            Config = (),
            Response = actix_web::dev::ServiceResponse<B>,
            Error = actix_web::Error,
            InitError = (),
        > + 'static,
    B: actix_web::body::MessageBody + 'static,
{
    actix_web::rt::System::new().block_on(async {
        let server = HttpServer::new(app).workers(1).bind("127.0.0.1:0").expect("a port");
        println!("{}", server.addrs()[0].port());
        server.run().await.expect("it serves");
    });
}
