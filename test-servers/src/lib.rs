//! Private servers for the tests: on free ports, in temporary folders, ended with the test process however
//! that ends.
//!
//! Where a program is not installed the constructors give `None` and say so; with `SESSILE_REQUIRE_SERVERS`
//! set they panic instead.

mod certificates;
mod node;
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use certificates::{Authority, Certificates};
pub use node::node;
pub use process::Server;
use process::{Program, find, free_port, run, wait_for};

/// A Redis without persistence, with these further arguments.
pub fn redis(arguments: &[&str]) -> Option<Server> {
    Some(start_redis(find(&["redis-server", "valkey-server"])?, arguments))
}

fn start_redis(program: PathBuf, arguments: &[&str]) -> Server {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    Server::start(move |port, folder| {
        let mut command = Command::new(&program);
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.arg("--dir").arg(folder).args(&arguments);
        Program { command, stop: "TERM" }
    })
}

/// A Valkey with the commands that compare and write, without persistence and with these further arguments.
/// It is the one that `tests/run` fetches, or one that is installed.
pub fn valkey(arguments: &[&str]) -> Option<Server> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/valkey/valkey-server");
    let program = if fetched.is_file() { fetched } else { find(&["valkey-server"])? };
    Some(start_redis(program, arguments))
}

/// A Redis that speaks TLS alone, also to other servers, with these files and further arguments. It asks
/// clients for a certificate.
pub fn redis_over_tls(files: &Certificates, arguments: &[&str]) -> Option<Server> {
    let program = find(&["redis-server"])?;
    let arguments: Vec<String> =
        tls_options(files).into_iter().chain(arguments.iter().map(|&argument| argument.into())).collect();
    Some(Server::start(move |port, folder| {
        let mut command = Command::new(&program);
        command.args(["--port", "0", "--tls-port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.arg("--dir").arg(folder).args(&arguments);
        Program { command, stop: "TERM" }
    }))
}

/// The options of a Redis, each followed by its value.
fn tls_options(files: &Certificates) -> Vec<String> {
    let files = [("--tls-cert-file", "server"), ("--tls-key-file", "key"), ("--tls-ca-cert-file", "ca")]
        .map(|(option, file)| [option.into(), files.path(file).display().to_string()]);
    let replication = ["--tls-replication".into(), "yes".into()];
    [files.concat(), replication.into()].concat()
}

/// Three Sentinels that watch over a primary under the name `mymaster`, take it for down after half a second,
/// and need each other's agreement.
pub fn sentinels(primary: &Server) -> Option<Vec<Server>> {
    start_sentinels(primary, "port", Vec::new())
}

/// The same over TLS.
pub fn sentinels_over_tls(primary: &Server, files: &Certificates) -> Option<Vec<Server>> {
    start_sentinels(primary, "port 0\ntls-port", tls_options(files))
}

/// The same, where clients ask in clear about servers that speak TLS.
pub fn sentinels_in_clear(primary: &Server, files: &Certificates) -> Option<Vec<Server>> {
    start_sentinels(primary, "port", tls_options(files))
}

/// `listen` stands before the port in the configuration of each.
fn start_sentinels(primary: &Server, listen: &'static str, options: Vec<String>) -> Option<Vec<Server>> {
    let program = find(&["redis-server"])?;
    let watched = primary.port;
    let sentinel = |_| {
        let (program, options) = (program.clone(), options.clone());
        Server::start(move |port, folder| {
            // A Sentinel writes what it learns into its configuration.
            let file = folder.join("sentinel.conf");
            let text = format!(
                "{listen} {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor mymaster 127.0.0.1 {watched} 2\n\
                 sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n",
                folder.display()
            );
            std::fs::write(&file, text).expect("the temporary folder can be written to");
            let mut command = Command::new(&program);
            command.arg(&file).arg("--sentinel").args(&options);
            Program { command, stop: "TERM" }
        })
    };
    Some((0..3).map(sentinel).collect())
}

/// Three Redis nodes that form a cluster.
pub fn redis_cluster() -> Option<Vec<Server>> {
    redis_cluster_behind([0; 3])
}

/// Three Redis nodes that form a cluster. Each tells clients that it listens on this port, where a proxy may
/// stand; 0 is its own.
pub fn redis_cluster_behind(ports: [u16; 3]) -> Option<Vec<Server>> {
    let node = |port: u16| {
        let port = port.to_string();
        redis(&as_cluster_node(&free_port().to_string(), &["--cluster-announce-port", &port]))
    };
    let nodes: Option<Vec<_>> = ports.into_iter().map(node).collect();
    form_cluster(nodes?, &[])
}

/// Three Redis nodes that form a cluster and speak TLS alone, with these further arguments.
pub fn redis_cluster_over_tls(files: &Certificates, arguments: &[&str]) -> Option<Vec<Server>> {
    let node = |_| {
        let arguments = [&["--tls-cluster", "yes"], arguments].concat();
        redis_over_tls(files, &as_cluster_node(&free_port().to_string(), &arguments))
    };
    let nodes: Option<Vec<_>> = (0..3).map(node).collect();
    let paths = [("--cacert", "ca"), ("--cert", "server"), ("--key", "key")]
        .map(|(option, file)| [option.into(), files.path(file).display().to_string()]);
    form_cluster(nodes?, &[vec!["--tls".into()], paths.concat()].concat())
}

/// The arguments of a node whose bus is on this port, before further ones.
fn as_cluster_node<'a>(bus: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
    let cluster = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-bus-port", bus];
    [&cluster[..], arguments].concat()
}

/// Makes a cluster of nodes. `options` is what the command line needs to reach them.
fn form_cluster(nodes: Vec<Server>, options: &[String]) -> Option<Vec<Server>> {
    let cli = find(&["redis-cli", "valkey-cli"])?;
    let mut create = Command::new(&cli);
    create.args(options).args(["--cluster", "create"]);
    create.args(nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)));
    run(create.args(["--cluster-replicas", "0", "--cluster-yes"]));
    for node in &nodes {
        wait_for("the cluster to agree on its slots", || {
            let mut info = Command::new(&cli);
            let info = info.args(options).args(["-p", &node.port.to_string(), "cluster", "info"]).output();
            info.is_ok_and(|info| String::from_utf8_lossy(&info.stdout).contains("cluster_state:ok"))
        });
    }
    Some(nodes)
}

/// A PostgreSQL whose time zone is this one, with these further arguments; its database is `postgres`.
pub fn postgres(time_zone: &str, arguments: &[&str]) -> Option<Server> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    let server = find_postgres("postgres")?;
    let initdb = server.with_file_name("initdb");
    let time_zone = time_zone.to_owned();
    Some(Server::start(move |port, folder| {
        let data = folder.join("data");
        if !data.exists() {
            let mut init = as_user("postgres", &initdb, folder);
            run(init.args(["--auth=trust", "--username=postgres", "--no-sync", "--pgdata"]).arg(&data));
        }
        let mut command = as_user("postgres", &server, folder);
        command.arg("-D").arg(&data).arg("-k").arg(folder).args(["-p", &port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]);
        command.args(["-c", &format!("timezone={time_zone}")]).args(&arguments);
        Program { command, stop: "INT" }
    }))
}

/// A PgBouncer before this PostgreSQL, with these further lines in its configuration. It has 5 connections to
/// the server, and lends each for one transaction at a time.
pub fn pgbouncer(before: &Server, configuration: &[&str]) -> Option<Server> {
    let program = find(&["pgbouncer"])?;
    let database = format!("* = host=127.0.0.1 port={}", before.port);
    let configuration = configuration.join("\n");
    Some(Server::start(move |port, folder| {
        let users = folder.join("users");
        std::fs::write(&users, "\"postgres\" \"\"\n").expect("the temporary folder can be written to");
        let file = folder.join("pgbouncer.ini");
        let text = format!(
            "[databases]\n{database}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\nunix_socket_dir=\n\
             auth_type=trust\nauth_file={}\npool_mode=transaction\ndefault_pool_size=5\n{configuration}\n",
            users.display()
        );
        std::fs::write(&file, text).expect("the temporary folder can be written to");
        let mut command = as_user("postgres", &program, folder);
        command.arg(&file);
        Program { command, stop: "INT" }
    }))
}

/// A MariaDB with these further arguments, and a database `test` for the user `sessile` with the password
/// `sessile`.
pub fn mariadb(arguments: &[&str]) -> Option<Server> {
    let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
    let server = find(&["mariadbd"])?;
    let install = find(&["mariadb-install-db"])?;
    Some(Server::start(move |port, folder| {
        let data = folder.join("data");
        let init = folder.join("init.sql");
        if !data.exists() {
            let sql = "CREATE DATABASE IF NOT EXISTS test;
                       CREATE USER IF NOT EXISTS sessile@'%' IDENTIFIED BY 'sessile';
                       GRANT ALL ON *.* TO sessile@'%' WITH GRANT OPTION;";
            std::fs::write(&init, sql).expect("the temporary folder can be written to");
            let mut install = with_temporary_folder(&install, folder);
            run(install
                .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
                .arg(format!("--datadir={}", data.display())));
        }
        let mut command = with_temporary_folder(&server, folder);
        command.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        command.arg(format!("--socket={}", folder.join("socket").display()));
        command.arg(format!("--init-file={}", init.display()));
        command.args(["--bind-address=127.0.0.1", &format!("--port={port}"), "--max-connections=200"]);
        command.args(&arguments);
        Program { command, stop: "TERM" }
    }))
}

/// A MariaDB program. As it starts it removes the temporary tables of an earlier run, and takes those of
/// another running server for such ones where both use one folder.
fn with_temporary_folder(program: &Path, folder: &Path) -> Command {
    let mut command = as_user("mysql", Path::new("env"), folder);
    command.arg(format!("TMPDIR={}", folder.display())).arg(program);
    command
}

fn find_postgres(name: &str) -> Option<PathBuf> {
    // Debian keeps the server's programs out of PATH, in a folder for each version.
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found.pop().or_else(|| find(&[name]))
}

/// A temporary folder with these files, which a server may read that runs as this user: `postgres` or
/// `mysql`.
pub fn files(user: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("sessile-files-").tempdir().expect("a temporary folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("the temporary folder can be written to");
        // Servers refuse a key that others can read.
        run(Command::new("chmod").arg("600").arg(&path));
    }
    as_user(user, Path::new("true"), folder.path());
    folder
}

/// These servers do not run as root, so there they run as the user their package made, which is to own the
/// folder.
fn as_user(user: &str, program: &Path, folder: &Path) -> Command {
    let output = Command::new("id").arg("-u").output().expect("every system has `id`");
    if output.stdout != b"0\n" {
        return Command::new(program);
    }
    run(Command::new("chown").arg("-R").arg(user).arg(folder));
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}"), "--init-groups".into()]).arg(program);
    command
}
