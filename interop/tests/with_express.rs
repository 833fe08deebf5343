//! `examples/with_express` as the documentation says to start it: one command.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use sessile_interop::shop_client::{Page, ShopClient};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// The running example: both halves.
struct Example {
    // `cargo run` becomes the program it runs, so this is the axum half.
    process: Child,
    express: String,
    axum: String,
}

impl Example {
    /// `None` where Node.js is not installed.
    async fn start() -> Option<Self> {
        // Says that it is missing, or fails where it must not be.
        sessile_interop::node("versions.js", &[])?;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut process = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--example", "with_express"])
            .current_dir(root)
            .env("PORT", "0")
            .env("EXPRESS_PORT", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("cargo runs");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let (mut express, mut axum) = (None, None);
        while axum.is_none() {
            let line = lines.next_line().await.expect("text").expect("the example starts");
            let after = |start: &str| line.strip_prefix(start).map(String::from);
            express = express.or(after("Express is listening on "));
            axum = after("axum is listening on ");
        }
        let (express, axum) = (express.expect("Express starts"), axum.expect("axum starts"));
        Some(Self { process, express, axum })
    }
}

fn shown(server: &str, notices: &[&str], basket: &[&str]) -> Page {
    let owned = |texts: &[&str]| texts.iter().map(|text| String::from(*text)).collect();
    Page { server: server.into(), user: Some("alice".into()), notices: owned(notices), basket: owned(basket) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_on_one_side_is_one_on_the_other() {
    let Some(mut example) = Example::start().await else { return };
    let (express, axum) = (example.express.clone(), example.axum.clone());
    for (here, here_name, there, there_name) in
        [(&express, "Express", &axum, "axum"), (&axum, "axum", &express, "Express")]
    {
        let client = ShopClient::default();
        assert_eq!(client.home(there).await.user, None);
        assert_eq!(client.log_in(here).await, shown(here_name, &["Welcome, alice."], &[]));
        assert_eq!(client.home(there).await, shown(there_name, &[], &[]));
        assert_eq!(client.add(there, "tea").await, shown(there_name, &["tea is in your basket."], &["tea"]));
        let item = "<b>\"cups\" & 'milk'</b>";
        let page = client.add(here, item).await;
        assert_eq!((page.basket.len(), page.notices.len()), (2, 1));
        assert!(!page.basket[1].contains("<b>") && page.basket[1].contains("cups"), "{page:?}");
        assert_eq!(client.home(there).await.basket.len(), 2);
        let kept = client.cookie(here).expect("a cookie");
        assert_eq!(client.log_out(there).await.user, None);
        for at in [here, there] {
            assert_eq!(ShopClient::with_cookie(&kept, at).home(at).await.user, None, "{at}");
        }
    }
    // Ctrl-C ends both halves.
    let pid = example.process.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.expect("kill runs").success());
    assert!(example.process.wait().await.expect("it ends").success());
    let address = express.strip_prefix("http://").expect("an address");
    let patience = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(address).await.is_ok() {
        assert!(Instant::now() < patience, "Express outlives the example");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
