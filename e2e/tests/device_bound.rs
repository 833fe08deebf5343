//! `examples/device_bound` in Chromium: what the browser itself says of its bindings, in events of the
//! DevTools protocol.

use std::time::Duration;

use serde_json::{Value, json};
use sessile_e2e::{Browser, Driver, Error, Example, profile};

/// How long the browser may take until an event tells what it has done.
const PATIENCE: Duration = Duration::from_secs(20);
const BOUND: &str = "__Host-sid.dbsc";

struct Scene {
    driver: Driver,
    _example: Example,
    url: String,
    key: String,
}

impl Scene {
    /// `None` where there is no browser.
    async fn new() -> Result<Option<Self>, Error> {
        let Some(driver) = Driver::start().await? else { return Ok(None) };
        let example = Example::start_with("device_bound", &["dbsc"], &[]).await?;
        let (url, key) = example.url.split_once(" with the key ").ok_or("no key")?;
        let (url, key) = (url.to_owned(), key.trim().to_owned());
        Ok(Some(Self { driver, _example: example, url, key }))
    }

    /// A browser that binds sessions, with keys in software where there is no hardware for them. With
    /// `--ignore-certificate-errors` it would bind none.
    async fn binding_browser(&self, profile: &std::path::Path) -> Result<Browser, Error> {
        let trust = format!("--ignore-certificate-errors-spki-list={}", self.key);
        let features =
            "--enable-features=DeviceBoundSessions,EnableBoundSessionCredentialsSoftwareKeysForManualTesting";
        let browser = self.driver.browser_with(profile, &[&trust, features]).await?;
        browser.open(&self.url).await?;
        browser.devtools("Network.enableDeviceBoundSessions", json!({ "enable": true })).await?;
        Ok(browser)
    }

    /// A browser that knows nothing of it.
    async fn plain_browser(&self, profile: &std::path::Path) -> Result<Browser, Error> {
        let trust = format!("--ignore-certificate-errors-spki-list={}", self.key);
        let browser =
            self.driver.browser_with(profile, &[&trust, "--disable-features=DeviceBoundSessions"]).await?;
        browser.open(&self.url).await?;
        Ok(browser)
    }

    /// Logs in, and waits until the browser has registered.
    async fn log_in(&self, browser: &Browser) -> Result<(), Error> {
        browser.press("#login").await?;
        assert_eq!(browser.headline().await?, "Hello");
        let created = event(browser, "creationEventDetails").await?;
        assert_eq!(created["succeeded"], true, "{created}");
        Ok(())
    }

    /// What the server says of a request by a script of the page: whether somebody is logged in, and the
    /// binding.
    async fn status(&self, browser: &Browser) -> Result<Value, Error> {
        let script = "return fetch('/status').then(answer => answer.json())";
        browser.script(script).await
    }
}

/// All events of bindings until there is one with these details, which is returned last.
async fn events_until(browser: &Browser, details: &str) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    let find = async {
        loop {
            for event in browser.events("Network.deviceBoundSessionEventOccurred").await? {
                let is_it = !event[details].is_null();
                all.push(event);
                if is_it {
                    return Ok::<_, Error>(());
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(PATIENCE, find).await {
        Ok(found) => found.map(|()| all),
        Err(_) => Err(format!("no event with {details}: {all:?}").into()),
    }
}

async fn event(browser: &Browser, details: &str) -> Result<Value, Error> {
    events_until(browser, details).await?.pop().ok_or_else(|| "no event".into())
}

async fn cookie(browser: &Browser, name: &str) -> Result<Option<String>, Error> {
    let cookies = browser.client().get_all_cookies().await?;
    Ok(cookies.into_iter().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned()))
}

/// The bound cookie ends, as it does after its ten minutes.
async fn expire_bound_cookie(browser: &Browser, url: &str) -> Result<(), Error> {
    browser.devtools("Network.deleteCookies", json!({ "name": BOUND, "url": url })).await?;
    assert_eq!(cookie(browser, BOUND).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_login_binds_and_the_end_of_the_cookie_refreshes() -> Result<(), Error> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let profile = profile()?;
    let browser = scene.binding_browser(profile.path()).await?;
    assert_eq!(browser.text("#binding").await?, "unbound");
    scene.log_in(&browser).await?;
    assert_eq!(scene.status(&browser).await?, json!([true, "bound"]));

    expire_bound_cookie(&browser, &scene.url).await?;
    // Five requests at once are held until one refresh is answered.
    let five = "return Promise.all([1,2,3,4,5].map(() => fetch('/status').then(answer => answer.json())))";
    let answers = browser.script(five).await?;
    assert_eq!(answers, json!(vec![json!([true, "bound"]); 5]));
    let refreshed = event(&browser, "refreshEventDetails").await?;
    assert_eq!(refreshed["refreshEventDetails"]["refreshResult"], "Refreshed", "{refreshed}");
    let others = browser.events("Network.deviceBoundSessionEventOccurred").await?;
    let others = others.iter().filter(|event| !event["refreshEventDetails"].is_null());
    assert_eq!(others.count(), 0, "one refresh for all of them");
    browser.quit().await
}

#[tokio::test]
async fn a_fresh_proof_is_asked_for_before_what_matters() -> Result<(), Error> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let profile = profile()?;
    let browser = scene.binding_browser(profile.path()).await?;
    scene.log_in(&browser).await?;
    // The proof of the registration gets older than the example accepts.
    tokio::time::sleep(Duration::from_secs(3)).await;
    browser.press("#transfer").await?;
    assert_eq!(browser.text(".note").await?, "Transferred.");
    let refreshed = event(&browser, "refreshEventDetails").await?;
    assert_eq!(refreshed["refreshEventDetails"]["refreshResult"], "Refreshed", "{refreshed}");
    browser.quit().await
}

#[tokio::test]
async fn after_a_logout_the_browser_forgets_the_binding() -> Result<(), Error> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let profile = profile()?;
    let browser = scene.binding_browser(profile.path()).await?;
    scene.log_in(&browser).await?;
    browser.open(&scene.url).await?;
    browser.press("#logout").await?;
    assert_eq!(browser.headline().await?, "Log in");
    assert_eq!((cookie(&browser, BOUND).await?, cookie(&browser, "__Host-sid").await?), (None, None));
    let ended = event(&browser, "terminationEventDetails").await?;
    assert_eq!(ended["succeeded"], true, "{ended}");
    assert_eq!(scene.status(&browser).await?, json!([false, "unbound"]));
    // The next login binds anew.
    scene.log_in(&browser).await?;
    assert_eq!(scene.status(&browser).await?, json!([true, "bound"]));
    browser.quit().await
}

#[tokio::test]
async fn a_copied_cookie_is_worth_nothing_without_the_device() -> Result<(), Error> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let (own, foreign) = (profile()?, profile()?);
    let browser = scene.binding_browser(own.path()).await?;
    scene.log_in(&browser).await?;
    let copied = cookie(&browser, "__Host-sid").await?.ok_or("no cookie")?;
    // A registered session's requests without a proof count as overtaken for ten seconds.
    tokio::time::sleep(Duration::from_secs(11)).await;

    let thief = scene.binding_browser(foreign.path()).await?;
    let steal =
        json!({ "name": "__Host-sid", "value": copied, "url": scene.url, "secure": true, "path": "/" });
    thief.devtools("Network.setCookie", steal).await?;
    assert_eq!(scene.status(&thief).await?, json!([false, "missing"]));
    thief.open(&scene.url).await?;
    assert_eq!(thief.headline().await?, "Log in");
    assert_eq!(scene.status(&browser).await?, json!([true, "bound"]), "the user notices nothing");
    thief.quit().await?;
    browser.quit().await
}

#[tokio::test]
async fn a_browser_without_it_is_served_as_ever() -> Result<(), Error> {
    let Some(scene) = Scene::new().await? else { return Ok(()) };
    let profile = profile()?;
    let browser = scene.plain_browser(profile.path()).await?;
    browser.press("#login").await?;
    assert_eq!(browser.headline().await?, "Hello");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.status(&browser).await?, json!([true, "pending"]));
    browser.open(&scene.url).await?;
    browser.press("#transfer").await?;
    assert!(browser.text(".note").await?.starts_with("Your browser proves nothing"));
    assert_eq!(cookie(&browser, BOUND).await?, None);
    browser.press("#logout").await?;
    assert_eq!(browser.headline().await?, "Log in");
    browser.quit().await
}
