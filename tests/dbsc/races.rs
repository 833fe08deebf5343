//! Registrations at the same time, and what comes between.

use std::sync::Arc;

use axum::http::StatusCode;
use sessile::testing::Op;

use crate::browser::{Browser, SECRET, Site};

/// Both have read the record before either writes to it. In two processes the store's `replace` decides;
/// within one, its lock on the record.
#[tokio::test]
async fn of_two_registrations_at_once_one_wins() {
    for is_elsewhere in [false, true] {
        let site = Arc::new(Site::new());
        let other = if is_elsewhere { Arc::new(site.with_secrets(&[SECRET])) } else { Arc::clone(&site) };
        let mut browser = Browser::new();
        browser.post(&site, "/login", &[]).await;
        let thief = browser.stolen();
        let (gets, hold) = (site.store.calls(Op::Get), site.store.hold(Op::Replace));
        let racing = [(browser, Arc::clone(&site)), (thief, other)].map(|(mut browser, site)| {
            tokio::spawn(async move { (browser.register(&site).await.status, browser) })
        });
        hold.reached().await;
        while site.store.calls(Op::Get) < gets + 2 {
            tokio::task::yield_now().await;
        }
        drop(hold);
        let mut won = 0;
        for one in racing {
            let (status, mut browser) = one.await.unwrap();
            if status == StatusCode::OK {
                won += 1;
                assert_eq!(browser.refresh(&site).await.status, StatusCode::OK);
                assert_eq!(browser.me(&site).await, "bound, ada");
            } else {
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                assert!(!browser.cookies.contains_key("__Host-sid.dbsc"));
            }
        }
        assert_eq!(won, 1, "in two processes: {is_elsewhere}");
    }
}

#[tokio::test]
async fn a_logout_between_wins() {
    let site = Arc::new(Site::new());
    let mut browser = Browser::new();
    browser.post(&site, "/login", &[]).await;
    let (mut leaving, elsewhere) = (browser.stolen(), site.with_secrets(&[SECRET]));
    let hold = site.store.hold(Op::Replace);
    let registering = tokio::spawn({
        let site = Arc::clone(&site);
        async move { browser.register(&site).await }
    });
    hold.reached().await;
    assert_eq!(leaving.post(&elsewhere, "/change/out", &[]).await.status, StatusCode::OK);
    drop(hold);
    let answer = registering.await.unwrap();
    assert_eq!((answer.status, answer.cookies().len()), (StatusCode::UNAUTHORIZED, 0));
    assert!(site.store.inner().is_empty());
}

#[tokio::test]
async fn a_write_between_is_kept() {
    let site = Arc::new(Site::new());
    let mut browser = Browser::new();
    browser.post(&site, "/login", &[]).await;
    let (mut other, elsewhere) = (browser.stolen(), site.with_secrets(&[SECRET]));
    let hold = site.store.hold(Op::Replace);
    let registering = tokio::spawn({
        let site = Arc::clone(&site);
        async move { (browser.register(&site).await, browser) }
    });
    hold.reached().await;
    assert_eq!(other.post(&elsewhere, "/change/write", &[]).await.status, StatusCode::OK);
    drop(hold);
    let (answer, mut browser) = registering.await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(browser.me(&site).await, "bound, ada");
    let id = site.store.inner().all_ids().remove(0);
    let stored = sessile::SessionStore::get(&site.store, &id).await.unwrap().unwrap();
    assert!(stored.record.as_json().contains("\"written\":true"));
}
