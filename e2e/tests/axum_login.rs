//! `tower-sessions/examples/axum_login` as a user sees it.

use sessile_e2e::{Driver, Error, Example, profile};

#[tokio::test]
async fn a_user_of_axum_login_logs_in_and_out_and_reads_each_message_once() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let database = folder.path().join("login.db");
    let database = database.to_str().ok_or("a folder whose name is not text")?;
    let environment = [("DATABASE", database)];
    let example = Example::start_of("sessile-tower-sessions", "axum_login", &[], &environment).await?;
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;

    browser.open(&example.url).await?;
    assert_eq!(browser.headline().await?, "Log in", "the page is open to everybody");
    browser.log_in(&example.url, "wrong", false).await?;
    assert_eq!(browser.text(".notice").await?, "Wrong name or password.");
    let before = browser.cookie().await?.ok_or("a failed login leaves a session with the message")?;
    browser.client().refresh().await?;
    assert_eq!(browser.texts(".notice").await?, [""; 0], "the message shows again on reload");

    browser.log_in(&example.url, "correct horse", false).await?;
    assert_eq!(browser.text("#user").await?, "alice");
    assert_eq!(browser.texts(".notice").await?, ["Welcome back."]);
    let after = browser.cookie().await?.ok_or("no cookie after login")?;
    assert_ne!(before.value(), after.value(), "the id from before the login is still in use");

    browser.press("button").await?;
    assert_eq!(browser.headline().await?, "Log in");
    assert!(browser.cookie().await?.is_none(), "the cookie outlived the logout");
    // Somebody kept a copy.
    browser.script(&format!("document.cookie = 'connect.sid={}; path=/'", after.value())).await?;
    browser.open(&example.url).await?;
    assert_eq!(browser.headline().await?, "Log in", "the id from before the logout still opens the page");
    browser.quit().await
}
