//! `examples/quickstart`, the first thing a newcomer sees.

use sessile_e2e::{Driver, Error, Example, profile};

#[tokio::test]
async fn the_count_rises() -> Result<(), Error> {
    let Some(driver) = Driver::start().await? else { return Ok(()) };
    let example = Example::start("quickstart").await?;
    let profile = profile()?;
    let browser = driver.browser(profile.path()).await?;
    for views in 1..=3 {
        browser.open(&example.url).await?;
        assert_eq!(browser.text("body").await?, format!("{{\"views\":{views}}}"));
    }
    browser.quit().await
}
