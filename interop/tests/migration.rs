//! `docs/coming-from-express.md`, "In steps", walked from its first step to its last: Express alone, then
//! both, then axum alone. Nobody is logged out on the way.

#[path = "../../examples/with_express/shop.rs"]
mod shop;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile::{FileStore, SessionConfig};
use sessile_interop::http::Served;
use sessile_interop::proxy::Proxy;
use sessile_interop::servers::id_in;
use sessile_interop::shop_client::ShopClient;

const OLD: &str = "the secret Express has had for years, at least";
const NEW: &str = "the secret that follows it, of 32 bytes or more";
const HOUR: Duration = Duration::from_secs(60 * 60);

fn start_axum(folder: &Path, secrets: &'static [&'static str]) -> Served {
    let folder: PathBuf = folder.to_owned();
    Served::start(async move || {
        let sessions = SessionConfig::builder(secrets)
            .store(FileStore::builder(folder).ttl(HOUR).build().expect("a folder"))
            .max_age(HOUR)
            .save_uninitialized(false)
            .build();
        shop::router(sessions.expect("the options hold"), "")
    })
}

/// Everybody who logged in so far, and what is in their baskets.
struct Everybody(Vec<(ShopClient, Vec<String>)>);

impl Everybody {
    /// Is logged in, with all that is theirs, wherever they go.
    async fn are_still_in(&self, step: &str, servers: &[&str]) {
        assert!(!self.0.is_empty());
        for (number, (client, basket)) in self.0.iter().enumerate() {
            for server in servers {
                let page = client.home(server).await;
                assert_eq!(page.user.as_deref(), Some("alice"), "{step}: number {number} at {server}");
                assert_eq!(page.basket, *basket, "{step}: number {number} at {server}");
            }
        }
        println!("{step}: {} visitors are logged in at {} addresses", self.0.len(), servers.len());
    }

    /// Someone else logs in and fills a basket.
    async fn grow(&mut self, url: &str) {
        let client = ShopClient::default();
        assert_eq!(client.fail_to_log_in(url).await.notices, ["Wrong name or password."]);
        assert_eq!(client.log_in(url).await.notices, ["Welcome, alice."]);
        let item = format!("tea {}", self.0.len());
        client.add(url, &item).await;
        self.0.push((client, vec![item]));
    }

    /// Everybody puts one thing more into their baskets.
    async fn add(&mut self, url: &str, item: &str) {
        for (client, basket) in &mut self.0 {
            let page = client.add(url, item).await;
            assert_eq!(page.notices, [format!("{item} is in your basket.")]);
            assert!(client.home(url).await.notices.is_empty(), "the message shows again");
            basket.push(item.to_owned());
        }
    }

    fn cookies(&self, url: &str) -> Vec<String> {
        self.0.iter().map(|(client, _)| client.cookie(url).expect("a cookie")).collect()
    }
}

/// A logout at one address is one at all of them.
async fn a_logout_is_final(from: &str, servers: &[&str]) {
    let client = ShopClient::default();
    client.log_in(from).await;
    let kept = client.cookie(from).expect("a cookie");
    assert_eq!(client.log_out(from).await.user, None);
    for server in servers {
        assert_eq!(ShopClient::with_cookie(&kept, server).home(server).await.user, None, "{server}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_on_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let Some(express) = sessile_interop::shop(OLD, folder.path()) else { return };
    let by_express = format!("http://{}", express.address());
    let proxy = Proxy::start(&by_express);
    let front = proxy.url();
    let mut everybody = Everybody(Vec::new());
    for _ in 0..3 {
        everybody.grow(&front).await;
    }
    everybody.are_still_in("0, Express alone", &[&front]).await;
    let cookies = everybody.cookies(&front);

    let axum = start_axum(folder.path(), &[OLD]);
    let by_axum = format!("http://{}", axum.address());
    for (client, basket) in &everybody.0 {
        let account = Some(("alice".into(), basket.len() as u64));
        assert_eq!(client.account(&by_axum).await, ("axum".into(), account.clone()));
        assert_eq!(client.account(&by_express).await, ("express".into(), account));
    }
    everybody.are_still_in("1, axum beside it, without traffic", &[&front]).await;

    proxy.route(&["/account"], &by_axum);
    for (client, _) in &everybody.0 {
        assert_eq!(client.account(&front).await.0, "axum");
    }
    everybody.are_still_in("2, a route that reads", &[&front]).await;
    assert_eq!(everybody.cookies(&front), cookies, "a route that reads changed a cookie");
    everybody.grow(&front).await;

    proxy.route(&["/account", "/", "/basket"], &by_axum);
    everybody.add(&front, "cups").await;
    everybody.add(&by_express, "milk").await;
    everybody.are_still_in("3, routes that write", &[&front, &by_express, &by_axum]).await;
    everybody.grow(&front).await;
    // And back again, as on a bad day.
    proxy.route(&[], &by_axum);
    everybody.add(&front, "sugar").await;
    everybody.are_still_in("3, undone", &[&front, &by_axum]).await;
    proxy.route(&["/account", "/", "/basket"], &by_axum);
    everybody.are_still_in("3, done again", &[&front, &by_express]).await;

    a_logout_is_final(&front, &[&by_express, &by_axum]).await;
    proxy.route(&["/account", "/", "/basket", "/login", "/logout"], &by_axum);
    everybody.grow(&front).await;
    a_logout_is_final(&front, &[&by_express, &by_axum]).await;
    everybody.are_still_in("4, login and logout", &[&front, &by_express, &by_axum]).await;

    proxy.route_all(&by_axum);
    drop(express);
    everybody.grow(&front).await;
    everybody.add(&front, "spoons").await;
    everybody.are_still_in("5, axum alone", &[&front]).await;

    let rotated = start_axum(folder.path(), &[NEW, OLD]);
    proxy.route_all(&format!("http://{}", rotated.address()));
    everybody.are_still_in("6, a new secret before the old one", &[&front]).await;
    for cookie in everybody.cookies(&front) {
        assert!(id_in(&cookie, NEW).is_some(), "one visit did not sign the cookie anew");
    }
    let done = start_axum(folder.path(), &[NEW]);
    proxy.route_all(&format!("http://{}", done.address()));
    everybody.add(&front, "a plate").await;
    everybody.are_still_in("6, the new secret alone", &[&front]).await;
    assert_eq!(everybody.0.len(), 7);
    a_logout_is_final(&front, &[&front]).await;
}
