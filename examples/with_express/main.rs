//! Express and axum side by side: a login on one is a login on the other, and both show the same basket.
//!
//! `cargo run --example with_express` starts both. It needs Node.js 18 or newer, and npm. The sessions are
//! files in a temporary folder, in the layout of session-file-store.
//!
//! ```sh
//! cargo add sessile tempfile serde_json tracing-subscriber
//! cargo add axum --features macros
//! cargo add serde --features derive
//! cargo add maud --features axum
//! cargo add tokio --features full
//! ```

mod shop;

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sessile::{FileStore, SessionConfig};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

const SECRET: &str = "an example's secret of at least 32 bytes";
const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let folder = tempfile::tempdir()?;
    let port = std::env::var("PORT").unwrap_or("3000".into());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let axum = format!("http://{}", listener.local_addr()?);
    let (_express, express) = start_express(folder.path(), &axum).await?;

    // These are Express' options: the secret, the store, the max-age, and no session for visitors who do
    // nothing.
    let sessions = SessionConfig::builder(SECRET)
        .store(FileStore::builder(folder.path()).ttl(HOUR).build()?)
        .max_age(HOUR)
        .save_uninitialized(false)
        .build()?;
    let app = shop::router(sessions, &express);
    println!("Express is listening on {express}");
    println!("axum is listening on {axum}");
    tokio::select! {
        ended = async { axum::serve(listener, app).await } => ended?,
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// Starts `express.js`, which ends when this process does, and returns the address it listens on.
async fn start_express(sessions: &Path, axum: &str) -> Result<(Child, String), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/with_express");
    if !folder.join("node_modules").exists() {
        let installed =
            Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).status();
        if !installed.await.map_err(|error| format!("npm: {error}"))?.success() {
            return Err("`npm ci` failed".into());
        }
    }
    let mut node = Command::new("node")
        .arg(folder.join("express.js"))
        .env("PORT", std::env::var("EXPRESS_PORT").unwrap_or("3001".into()))
        .env("SECRET", SECRET)
        .env("SESSIONS", sessions)
        .env("OTHER", axum)
        .env("ENDS_WITH_STDIN", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("node: {error}"))?;
    let output = node.stdout.take().ok_or("the output is piped")?;
    let mut lines = BufReader::new(output).lines();
    let first = lines.next_line().await?.unwrap_or_default();
    let address = first.strip_prefix("listening on ").ok_or("Express did not start")?;
    Ok((node, address.to_owned()))
}
