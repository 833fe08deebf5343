//! `examples/account` with two browsers, as a user with two devices sees it.

use std::time::Duration;

use fantoccini::Locator;
use sessile_e2e::{Browser, Driver, Error, Example, profile};

const PASSWORD: &str = "correct horse";

/// Two browsers that are logged in, in front of the running example; the test ends here where there is no
/// browser.
macro_rules! two_devices {
    ($example:ident, $first:ident, $second:ident, $environment:expr) => {
        let Some(driver) = Driver::start().await? else { return Ok(()) };
        let $example = Example::start_with("account", &[], $environment).await?;
        let profiles = (profile()?, profile()?);
        let $first = driver.browser(profiles.0.path()).await?;
        let $second = driver.browser(profiles.1.path()).await?;
        for browser in [&$first, &$second] {
            browser.log_in(&$example.url, PASSWORD, false).await?;
            assert_eq!(browser.text("#user").await?, "alice");
        }
    };
}

async fn submit(browser: &Browser, password: &str) -> Result<(), Error> {
    let form = browser.client().form(Locator::Css("form")).await?;
    form.set_by_name("password", password).await?;
    browser.press("button").await
}

async fn is_logged_in(browser: &Browser, url: &str) -> Result<bool, Error> {
    browser.open(url).await?;
    Ok(browser.headline().await? == "Your account")
}

#[tokio::test]
async fn a_device_is_listed_and_logged_out_from_another() -> Result<(), Error> {
    two_devices!(example, first, second, &[]);
    first.open(&example.url).await?;
    first.headline().await?;
    let devices = first.texts(".device strong").await?;
    assert_eq!(devices, ["Chrome on Linux", "Chrome on Linux"]);
    assert_eq!(first.texts(".here").await?, ["This device"]);
    first.press(".device form button").await?;
    assert_eq!(first.text(".notice").await?, "The device is logged out.");
    assert_eq!(first.texts(".device strong").await?.len(), 1);
    assert!(!is_logged_in(&second, &example.url).await?);
    assert!(is_logged_in(&first, &example.url).await?);
    first.quit().await?;
    second.quit().await
}

#[tokio::test]
async fn all_other_devices_are_logged_out() -> Result<(), Error> {
    two_devices!(example, first, second, &[]);
    first.open(&example.url).await?;
    first.press("#others").await?;
    assert_eq!(first.text(".notice").await?, "Logged out elsewhere: 1.");
    assert!(!is_logged_in(&second, &example.url).await?);
    first.quit().await?;
    second.quit().await
}

#[tokio::test]
async fn a_new_password_logs_the_other_device_out() -> Result<(), Error> {
    two_devices!(example, first, second, &[]);
    let before = first.cookie().await?.ok_or("no cookie")?;
    first.open(&format!("{}/password", example.url)).await?;
    submit(&first, "battery staple").await?;
    assert!(first.text(".notice").await?.starts_with("The password is changed"));
    let after = first.cookie().await?.ok_or("no cookie")?;
    assert_ne!(before.value(), after.value(), "the id stayed the same");
    assert!(!is_logged_in(&second, &example.url).await?);
    second.log_in(&example.url, PASSWORD, false).await?;
    assert_eq!(second.text(".notice").await?, "Wrong name or password.");
    second.log_in(&example.url, "battery staple", false).await?;
    assert_eq!(second.text("#user").await?, "alice");
    assert!(is_logged_in(&first, &example.url).await?);
    first.quit().await?;
    second.quit().await
}

#[tokio::test]
async fn the_password_is_asked_for_again_after_a_while() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let example = Example::start_with("account", &[], &[("CONFIRM_SECONDS", "4")]).await?;
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    browser.log_in(&example.url, PASSWORD, false).await?;
    browser.text("#user").await?;
    // The server's own clock counts, and it cannot be moved from here.
    tokio::time::sleep(Duration::from_secs(5)).await;
    browser.open(&format!("{}/danger", example.url)).await?;
    assert_eq!(browser.headline().await?, "Is it you?");
    submit(&browser, "wrong").await?;
    assert_eq!(browser.text(".notice").await?, "Wrong password.");
    submit(&browser, PASSWORD).await?;
    assert_eq!(browser.headline().await?, "Delete the account");
    browser.quit().await
}
