//! `examples/login` as a user sees it.

use sessile_e2e::{Browser, Driver, Error, Example, profile};

/// A browser with an empty profile in front of the running example; the test ends here where there is no
/// browser.
macro_rules! stage {
    ($driver:ident, $example:ident, $profile:ident, $browser:ident) => {
        let Some($driver) = Driver::start().await? else { return Ok(()) };
        let $example = Example::start("login").await?;
        let $profile = profile()?;
        let $browser = $driver.browser($profile.path()).await?;
    };
}

async fn value(browser: &Browser) -> Result<Option<String>, Error> {
    Ok(browser.cookie().await?.map(|cookie| cookie.value().to_owned()))
}

#[tokio::test]
async fn a_wrong_password_is_told_once() -> Result<(), Error> {
    stage!(driver, example, _profile, browser);
    browser.log_in(&example.url, "wrong", false).await?;
    assert_eq!(browser.text(".notice").await?, "Wrong name or password.");
    browser.client().refresh().await?;
    assert_eq!(browser.headline().await?, "Log in");
    assert_eq!(browser.texts(".notice").await?, [""; 0], "the message shows again on reload");
    browser.quit().await
}

#[tokio::test]
async fn the_right_password_opens_the_page_under_a_new_id() -> Result<(), Error> {
    stage!(driver, example, _profile, browser);
    browser.open(&example.url).await?;
    assert_eq!(browser.headline().await?, "Log in", "the page is open to everybody");
    browser.log_in(&example.url, "wrong", false).await?;
    browser.text(".notice").await?;
    let before = value(&browser).await?.ok_or("a failed login leaves a session with the message")?;
    browser.log_in(&example.url, "correct horse", false).await?;
    assert_eq!(browser.text("#user").await?, "alice");
    let after = value(&browser).await?.ok_or("no cookie after login")?;
    assert_ne!(before, after, "the id from before the login is still in use");
    browser.quit().await
}

#[tokio::test]
async fn scripts_do_not_see_the_cookie() -> Result<(), Error> {
    stage!(driver, example, _profile, browser);
    browser.log_in(&example.url, "correct horse", false).await?;
    browser.text("#user").await?;
    let cookie = browser.cookie().await?.ok_or("no cookie after login")?;
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(browser.script("return document.cookie").await?, "");
    browser.quit().await
}

#[tokio::test]
async fn logout_ends_the_session_and_its_id() -> Result<(), Error> {
    stage!(driver, example, _profile, browser);
    browser.log_in(&example.url, "correct horse", false).await?;
    browser.text("#user").await?;
    let stolen = browser.cookie().await?.ok_or("no cookie after login")?;
    browser.press("button").await?;
    assert_eq!(browser.headline().await?, "Log in");
    assert_eq!(value(&browser).await?, None, "the cookie outlived the logout");
    // Somebody kept a copy.
    browser.script(&format!("document.cookie = 'connect.sid={}; path=/'", stolen.value())).await?;
    assert_eq!(value(&browser).await?.as_deref(), Some(stolen.value()));
    browser.open(&example.url).await?;
    assert_eq!(browser.headline().await?, "Log in", "the id from before the logout still opens the page");
    browser.quit().await
}

#[tokio::test]
async fn remember_me_survives_a_restart_and_a_session_cookie_does_not() -> Result<(), Error> {
    for remember in [true, false] {
        stage!(driver, example, profile, browser);
        browser.log_in(&example.url, "correct horse", remember).await?;
        browser.text("#user").await?;
        assert_eq!(browser.cookie().await?.ok_or("no cookie")?.expires().is_some(), remember);
        browser.quit().await?;
        let browser = driver.browser(profile.path()).await?;
        browser.open(&example.url).await?;
        let expected = if remember { "Home" } else { "Log in" };
        assert_eq!(browser.headline().await?, expected, "after a restart, remember: {remember}");
        browser.quit().await?;
    }
    Ok(())
}
