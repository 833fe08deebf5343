//! `examples/swap_store` twice, on one server: what the two processes do to one session at the same time is
//! all there.

use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use sessile_e2e::{Error, Example};
use sessile_test_servers as servers;
use tokio::task::JoinSet;

const EACH: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() -> Result<(), Error> {
    let Some(server) = servers::redis(&[]) else { return Ok(()) };
    two_processes(&format!("redis://{}/", server.address())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() -> Result<(), Error> {
    let Some(server) = servers::postgres("UTC", &[]) else { return Ok(()) };
    two_processes(&format!("postgres://postgres@{}/postgres", server.address())).await
}

async fn two_processes(store: &str) -> Result<(), Error> {
    let environment = [("STORE", store)];
    let start = || Example::start_with("swap_store", &["redis", "postgres"], &environment);
    let (one, other) = (start().await?, start().await?);
    let client = Client::new();
    let cookie = session_cookie(&client.get(&one.url).send().await?).ok_or("no cookie")?;
    let processes = [one.url.clone(), other.url.clone()];

    // One key, and as many keys as requests; through both processes, all at once.
    let mut requests = JoinSet::new();
    for n in 0..EACH {
        for page in [String::new(), format!("page-{n}")] {
            let url = format!("{}/{page}", processes[n % 2]);
            requests.spawn(client.get(url).header(COOKIE, &cookie).send());
        }
    }
    for answer in requests.join_all().await {
        assert_eq!(answer?.status(), StatusCode::OK);
    }
    let views = async |page: &str| -> Result<String, Error> {
        let url = format!("{}/{page}", processes[0]);
        Ok(client.get(url).header(COOKIE, &cookie).send().await?.text().await?)
    };
    assert_eq!(views("").await?, format!("views: {}\n", EACH + 2));
    for n in 0..EACH {
        assert_eq!(views(&format!("page-{n}")).await?, "views: 2\n", "page-{n} is lost");
    }

    // Forgotten by one, unknown to the other, which begins anew under another id.
    let forgotten = client.post(format!("{}/forget", one.url)).header(COOKIE, &cookie).send().await?;
    assert_eq!(forgotten.status(), StatusCode::OK);
    let answer = client.get(&other.url).header(COOKIE, &cookie).send().await?;
    let anew = session_cookie(&answer).ok_or("no new cookie")?;
    assert_ne!(anew, cookie);
    assert_eq!(answer.text().await?, "views: 1\n");
    Ok(())
}

/// The cookie's name and value, as a browser would send it back.
fn session_cookie(answer: &Response) -> Option<String> {
    let line = answer.headers().get(SET_COOKIE)?.to_str().ok()?;
    Some(line.split(';').next()?.to_owned())
}
