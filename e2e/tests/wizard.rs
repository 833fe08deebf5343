//! `examples/wizard`: the browser keeps the session itself.

use fantoccini::Locator;
use sessile_e2e::{Browser, Driver, Error, Example, profile};

/// 64 bytes or more, so that a second process opens what the first one has sealed.
const KEY: &str = "a key of 64 bytes for this test, which a program reads from where it keeps its secrets";

async fn answer(browser: &Browser, answer: &str) -> Result<(), Error> {
    browser.client().find(Locator::Css("input[name=answer]")).await?.send_keys(answer).await?;
    browser.press("#next").await
}

#[tokio::test]
async fn a_form_in_steps_outlives_the_process_without_a_store() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    let start = async || Example::start_with("wizard", &["cookie-session"], &[("COOKIE_KEY", KEY)]).await;
    let first = start().await?;
    browser.open(&first.url).await?;
    assert_eq!(browser.text("h1[data-step='1']").await?, "Step 1 of 3");
    answer(&browser, "Ada").await?;
    browser.text("h1[data-step='2']").await?;
    browser.press("#theme").await?;
    browser.text("body[data-theme=dark] h1[data-step='2']").await?;
    drop(first);

    // Another process, on another port of the same host: browsers send a cookie to every port.
    let second = start().await?;
    browser.open(&second.url).await?;
    browser.text("body[data-theme=dark] h1[data-step='2']").await?;
    let cookies = browser.client().get_all_cookies().await?;
    let cookie = cookies.iter().find(|cookie| cookie.name() == "draft").ok_or("there is no cookie")?;
    assert!(cookie.http_only() == Some(true) && !cookie.value().contains("Ada"));
    answer(&browser, "green").await?;
    assert_eq!(browser.text("#summary").await?, "Ada likes green.");
    browser.press("#send").await?;
    assert_eq!(browser.text(".notice").await?, "Your order is on its way.");
    browser.text("h1[data-step='1']").await?;
    browser.open(&second.url).await?;
    browser.text("h1[data-step='1']").await?;
    assert!(browser.texts(".notice").await?.is_empty(), "a message is shown once");
    browser.quit().await
}
