//! `examples/chat` in two tabs of one browser: a logout in one of them closes the chat in the other.

use std::time::Duration;

use sessile_e2e::{Browser, Driver, Error, Example, profile};

/// Waits until an element has this text.
async fn shows(browser: &Browser, css: &str, text: &str) -> Result<(), Error> {
    let seen = async {
        while browser.text(css).await? != text {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, Error>(())
    };
    match tokio::time::timeout(Duration::from_secs(30), seen).await {
        Ok(seen) => seen,
        Err(_) => Err(format!("{css} says {:?} and not {text:?}", browser.text(css).await?).into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_in_one_tab_closes_the_chat_in_the_other() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let example = Example::start("chat").await?;
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    let client = browser.client();

    browser.open(&example.url).await?;
    assert_eq!(browser.headline().await?, "Log in", "the chat is for users only");
    let form = client.form(fantoccini::Locator::Css("form")).await?;
    form.set_by_name("name", "ada").await?;
    browser.press("button").await?;
    shows(&browser, "#state", "Connected.").await?;
    let first = client.window().await?;
    let second = client.new_window(true).await?.handle;
    client.switch_to_window(second.clone()).await?;
    browser.open(&example.url).await?;
    shows(&browser, "#state", "Connected.").await?;

    // What is said in one tab is heard in both.
    let form = client.form(fantoccini::Locator::Css("#say")).await?;
    form.set_by_name("text", "<b>hello</b>").await?;
    client.find(fantoccini::Locator::Css("#say button")).await?.click().await?;
    shows(&browser, "#lines li", "ada <b>hello</b>").await?;
    client.switch_to_window(first.clone()).await?;
    shows(&browser, "#lines li", "ada <b>hello</b>").await?;

    browser.press("header button").await?;
    shows(&browser, "h1", "Log in").await?;
    client.switch_to_window(second).await?;
    shows(&browser, "#state", "Closed: you are logged out.").await?;
    let disabled = "return document.querySelector('#say button').disabled";
    assert_eq!(browser.script(disabled).await?, true);

    // Without a session there is no socket either.
    let refused = "return new Promise(done => {
        const socket = new WebSocket(location.origin.replace(/^http/, 'ws') + '/socket');
        socket.onopen = () => done(false);
        socket.onerror = () => done(true);
    })";
    assert_eq!(browser.script(refused).await?, true);
    browser.quit().await
}
