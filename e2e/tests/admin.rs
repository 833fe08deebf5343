//! `examples/admin`: customers in browsers of their own, and the administrator in another one.

use fantoccini::Locator;
use sessile_e2e::{Browser, Driver, Error, Example, profile};

/// Fills in the form with this address and sends it.
async fn send(browser: &Browser, action: &str, name: &str, password: Option<&str>) -> Result<(), Error> {
    let css = format!("form[action='{action}']");
    browser.client().wait().for_element(Locator::Css(&css)).await?;
    let form = browser.client().form(Locator::Css(&css)).await?;
    form.set_by_name("name", name).await?;
    if let Some(password) = password {
        form.set_by_name("password", password).await?;
    }
    browser.press(&format!("{css} button")).await
}

async fn log_in(browser: &Browser, url: &str, password: &str) -> Result<(), Error> {
    browser.open(&format!("{url}/admin")).await?;
    send(browser, "/admin/login", "alice", Some(password)).await
}

/// The rows of a table, each with its cells.
async fn rows(browser: &Browser, table: &str) -> Result<Vec<Vec<String>>, Error> {
    let script = format!(
        "return [...document.querySelectorAll('{table} tr')].map(row => [...row.cells].map(cell => cell.innerText))"
    );
    Ok(serde_json::from_value(browser.script(&script).await?)?)
}

#[tokio::test]
async fn strangers_and_customers_see_only_the_login() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let example = Example::start("admin").await?;
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    // A customer of the administrator's name is no administrator.
    browser.open(&example.url).await?;
    send(&browser, "/login", "alice", None).await?;
    assert_eq!(browser.text("#user").await?, "alice");
    browser.open(&format!("{}/admin", example.url)).await?;
    assert_eq!(browser.headline().await?, "Log in to the administration");
    log_in(&browser, &example.url, "wrong").await?;
    assert_eq!(browser.text(".notice").await?, "Wrong name or password.");
    log_in(&browser, &example.url, "correct horse").await?;
    assert_eq!(browser.headline().await?, "Administration");
    browser.press("#logout").await?;
    assert_eq!(browser.headline().await?, "Log in to the administration");
    browser.open(&format!("{}/admin", example.url)).await?;
    assert_eq!(browser.headline().await?, "Log in to the administration");
    // It was another session than the shop's.
    browser.open(&example.url).await?;
    assert_eq!(browser.text("#user").await?, "alice");
    browser.quit().await
}

#[tokio::test]
async fn the_sessions_of_a_customer_are_listed_and_ended() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let example = Example::start("admin").await?;
    let profiles = (profile()?, profile()?, profile()?);
    let first = driver.browser(profiles.0.path()).await?;
    let second = driver.browser(profiles.1.path()).await?;
    let admin = driver.browser(profiles.2.path()).await?;
    for customer in [&first, &second] {
        customer.open(&example.url).await?;
        send(customer, "/login", "<b>ada</b>", None).await?;
        assert_eq!(customer.text("#user").await?, "<b>ada</b>");
    }
    log_in(&admin, &example.url, "correct horse").await?;
    send(&admin, "/admin/look-up", "<b>ada</b>", None).await?;
    assert_eq!(admin.text("#count").await?, "Live sessions of <b>ada</b>: 2");
    let sessions = rows(&admin, "#sessions").await?;
    let handles: Vec<_> = sessions.iter().map(|row| row[0].split('\n').nth(1).unwrap_or_default()).collect();
    assert!(sessions.iter().all(|row| row[0].starts_with("Chrome on Linux\n")), "{sessions:?}");

    // Each of the two has opened the page without a cookie, and came back with its new one.
    let origins = rows(&admin, "#origins").await?;
    let requests = |what: &str| {
        let row = origins.iter().find(|row| row[0].contains(what));
        row.and_then(|row| row[1].parse().ok()).unwrap_or(0_u32)
    };
    assert_eq!(requests("without a cookie"), 4, "{origins:?}");
    assert_eq!(requests("live sessions"), 2, "{origins:?}");

    // The newest first, under the names that the list has.
    let events = rows(&admin, "#events").await?;
    let told: Vec<_> = events.iter().map(|row| (row[1].as_str(), row[2].as_str())).collect();
    let [newer, older] = handles[..] else { return Err(format!("{handles:?}").into()) };
    let expected = [("logged_in", newer), ("created", newer), ("logged_in", older), ("created", older)];
    assert_eq!(told, expected);

    // The newer one ends, and the customer there is asked to log in.
    admin.press("#sessions button").await?;
    assert_eq!(admin.text(".notice").await?, "The session is over.");
    assert_eq!(admin.text("#count").await?, "Live sessions of <b>ada</b>: 1");
    assert_eq!(rows(&admin, "#events").await?[0][1..], ["ended: listed", newer]);
    second.open(&example.url).await?;
    assert_eq!(second.texts("#user").await?, [""; 0]);
    first.open(&example.url).await?;
    assert_eq!(first.text("#user").await?, "<b>ada</b>");

    // Ada comes back, Bob logs in, and the administrator looks him up in another tab: "End all" ends all sessions of the
    // user whom its tab shows, and no other.
    send(&second, "/login", "<b>ada</b>", None).await?;
    assert_eq!(second.text("#user").await?, "<b>ada</b>");
    let shows_ada = admin.client().window().await?;
    admin.open(&format!("{}/admin", example.url)).await?;
    assert_eq!(admin.text("#count").await?, "Live sessions of <b>ada</b>: 2");
    let shows_bob = admin.client().new_window(true).await?.handle;
    admin.client().switch_to_window(shows_bob.clone()).await?;
    admin.open(&example.url).await?;
    send(&admin, "/login", "bob", None).await?;
    assert_eq!(admin.text("#user").await?, "bob");
    admin.open(&format!("{}/admin", example.url)).await?;
    send(&admin, "/admin/look-up", "bob", None).await?;
    assert_eq!(admin.text("#count").await?, "Live sessions of bob: 1");
    admin.client().switch_to_window(shows_ada).await?;
    admin.press("#end-all").await?;
    assert_eq!(admin.text(".notice").await?, "Sessions of <b>ada</b> that were ended: 2.");
    for customer in [&first, &second] {
        customer.open(&example.url).await?;
        assert_eq!(customer.texts("#user").await?, [""; 0]);
    }
    send(&admin, "/admin/look-up", "<b>ada</b>", None).await?;
    assert_eq!(admin.text("#count").await?, "Live sessions of <b>ada</b>: 0");
    admin.open(&example.url).await?;
    assert_eq!(admin.text("#user").await?, "bob");
    // The cookies of sessions that are over are told of, too.
    admin.open(&format!("{}/admin", example.url)).await?;
    let origins = rows(&admin, "#origins").await?;
    assert!(
        origins.iter().any(|row| row[0].contains("have expired or ended") && row[1] == "4"),
        "{origins:?}"
    );
    for browser in [first, second, admin] {
        browser.quit().await?;
    }
    Ok(())
}
