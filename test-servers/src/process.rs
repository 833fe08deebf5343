//! One server process, watched over by a shell that ends it when its own standard input closes: when the
//! [`Server`] is dropped, and when the test process ends in whatever way.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// `$1`: the signal that stops the server, `$2`: its folder, then the command. Says the server's process id
/// first.
const WATCH: &str = r#"
trap '' INT TERM HUP
stop=$1 folder=$2
shift 2
"$@" >>"$folder/log" 2>&1 </dev/null &
server=$!
echo "$server"
cat >/dev/null
kill -"$stop" "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ -e "$folder/keep" ] || rm -rf "$folder"
"#;

pub(crate) struct Program {
    pub(crate) command: Command,
    /// The signal that lets it end at once and in order.
    pub(crate) stop: &'static str,
}

/// How to start the server on a port, with a folder of its own.
type Recipe = dyn Fn(u16, &Path) -> Program + Send + Sync;

/// A running server.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    program: Box<Recipe>,
    watch: Option<Child>,
    pid: u32,
}

impl Server {
    pub(crate) fn start(program: impl Fn(u16, &Path) -> Program + Send + Sync + 'static) -> Self {
        let folder =
            tempfile::Builder::new().prefix("sessile-server-").tempdir().expect("a temporary folder").keep();
        let mut server = Self { port: free_port(), folder, program: Box::new(program), watch: None, pid: 0 };
        server.spawn();
        server
    }

    fn spawn(&mut self) {
        let Program { command, stop } = (self.program)(self.port, &self.folder);
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "watch", stop]).arg(&self.folder);
        watch.arg(command.get_program()).args(command.get_args());
        let mut watch = watch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut pid = String::new();
        let output = watch.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut pid).expect("the shell tells the process id");
        self.pid = pid.trim().parse().expect("a process id");
        self.watch = Some(watch);
        let address = self.address();
        let listens = || TcpStream::connect(&address).is_ok();
        assert!(reached(listens), "the server does not listen on {address}; it said:\n{}", self.log());
    }

    /// What the server printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// `127.0.0.1` and the port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends the server at once, as a crash would, and leaves its data.
    pub fn kill(&mut self) {
        std::fs::write(self.folder.join("keep"), "").expect("the folder is there");
        run(Command::new("kill").args(["-KILL", &self.pid.to_string()]));
        self.end();
    }

    /// Starts a killed server again, on the same port and data.
    pub fn restart(&mut self) {
        // What the old process left behind, a socket or shared memory, may take a moment to go.
        wait_for("the port to be free again", || TcpListener::bind(self.address()).is_ok());
        std::fs::remove_file(self.folder.join("keep")).expect("it was killed before");
        self.spawn();
    }

    fn end(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            drop(watch.stdin.take());
            let _ = watch.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// The first of these programs that is installed.
pub(crate) fn find(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&folders).chain([PathBuf::from("/usr/sbin")]).collect();
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("SESSILE_REQUIRE_SERVERS").is_none(),
            "{names:?} are required and not installed"
        );
        eprintln!("skipped: needs {}", names.join(" or "));
    }
    found
}

/// Ports for servers. They lie below those that the kernel gives to outgoing connections (from 32768 on
/// Linux), or one of the tests' own connections could take a port between its choice here and the server's
/// start.
const PORTS: RangeInclusive<u16> = 15_000..=31_999;

/// A port that nothing listens on and that this process has not chosen before.
pub(crate) fn free_port() -> u16 {
    static CHOSEN: AtomicUsize = AtomicUsize::new(0);
    // Each process begins elsewhere, as several may run at a time.
    let begin = std::process::id() as usize * 61;
    let port = || {
        let chosen = CHOSEN.fetch_add(1, Ordering::Relaxed);
        PORTS.start() + ((begin + chosen) % PORTS.len()) as u16
    };
    std::iter::repeat_with(port)
        .take(PORTS.len())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = || [output.stdout.as_slice(), &output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said()));
}

pub(crate) fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    assert!(reached(condition), "waited in vain for {what}");
}

/// Waits for a condition; `false` when it was in vain.
fn reached(mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}
