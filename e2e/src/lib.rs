//! What the browser tests share: a WebDriver, browsers with a profile of their own, and the example under
//! test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::cookies::Cookie;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long the browser may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

/// A chromedriver of our own on a free port.
pub struct Driver {
    process: Child,
    address: String,
}

impl Drop for Driver {
    /// A driver that is killed leaves its browsers behind, and a failed test does not quit them: so it is
    /// asked to.
    fn drop(&mut self) {
        let asked = TcpStream::connect(&self.address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let address = &self.address;
            write!(stream, "GET /shutdown HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
            stream.read_to_end(&mut Vec::new())
        });
        if asked.is_err() {
            // It is gone, or it does not listen: what is left is to end it.
            let _ = self.process.start_kill();
        }
    }
}

impl Driver {
    /// `None` where Chromium or its driver is not installed; with `SESSILE_REQUIRE_BROWSER` set, that is an
    /// error.
    pub async fn start() -> Result<Option<Self>, Error> {
        let found = |program: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
        };
        if !found("chromium") || !found("chromedriver") {
            if std::env::var_os("SESSILE_REQUIRE_BROWSER").is_some() {
                return Err("chromium and chromedriver are required and not installed".into());
            }
            eprintln!("skipped: needs chromium and chromedriver (Debian: chromium, chromium-driver)");
            return Ok(None);
        }
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        let (process, line) = start(command, "started successfully on port ").await?;
        let port = line.trim_end_matches(['.', '\n']);
        Ok(Some(Self { process, address: format!("127.0.0.1:{port}") }))
    }

    /// A browser on a profile: two with the same one, one after the other, are one browser started twice.
    pub async fn browser(&self, profile: &Path) -> Result<Browser, Error> {
        self.browser_with(profile, &[]).await
    }

    /// The same, with further switches. The browser keeps the events of its network: see [`Browser::events`].
    pub async fn browser_with(&self, profile: &Path, switches: &[&str]) -> Result<Browser, Error> {
        let own = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let arguments = [&own, switches].concat();
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "performance": if switches.is_empty() { "OFF" } else { "ALL" } },
        });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let connector = hyper_util::client::legacy::connect::HttpConnector::new();
        let client = ClientBuilder::new(connector)
            .capabilities(capabilities)
            .connect(&format!("http://{}", self.address))
            .await?;
        Ok(Browser(client))
    }
}

/// A program that was started and says something on its first lines; it ends with the value.
async fn start(mut command: Command, says: &str) -> Result<(Child, String), Error> {
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let output = process.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(output).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if let Some((_, rest)) = line.split_once(says) {
                return Ok(rest.to_owned());
            }
        }
        Err::<_, Error>("the program ended before it was ready".into())
    };
    let rest = tokio::time::timeout(PATIENCE, ready).await??;
    // Whatever it still prints must not block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((process, rest))
}

/// The example, as a user runs it.
pub struct Example {
    _process: Child,
    pub url: String,
}

impl Example {
    pub async fn start(name: &str) -> Result<Self, Error> {
        Self::start_with(name, &[], &[]).await
    }

    /// With features of the crate, and with these variables.
    pub async fn start_with(
        name: &str,
        features: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, Error> {
        Self::start_of("sessile", name, features, environment).await
    }

    /// An example of another crate of the workspace.
    pub async fn start_of(
        package: &str,
        name: &str,
        features: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        let features = features.join(",");
        let cargo = |command: &str| {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.current_dir(&root).args([command, "--quiet", "--package", package, "--example", name]);
            cargo.args(["--features", &features]);
            cargo
        };
        if !cargo("build").status().await?.success() {
            return Err("the example does not build".into());
        }
        let mut command = cargo("run");
        command.env("PORT", "0").envs(environment.iter().copied());
        let (process, url) = start(command, "listening on ").await?;
        Ok(Self { _process: process, url })
    }
}

/// A fresh profile.
pub fn profile() -> Result<TempDir, Error> {
    Ok(tempfile::tempdir()?)
}

/// A browser and what a user does with it.
pub struct Browser(Client);

impl Browser {
    pub fn client(&self) -> &Client {
        &self.0
    }

    pub async fn open(&self, url: &str) -> Result<(), Error> {
        Ok(self.0.goto(url).await?)
    }

    /// The page's headline, once there is one.
    pub async fn headline(&self) -> Result<String, Error> {
        self.text("h1").await
    }

    /// The text of an element, once it is there.
    pub async fn text(&self, css: &str) -> Result<String, Error> {
        let read = async {
            loop {
                let element = self.0.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await?;
                match element.text().await {
                    // The next page has replaced the one on which the element was found.
                    Err(error) if error.is_stale_element_reference() => {}
                    read => return Ok(read?),
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await?
    }

    /// The texts of all such elements on the page as it is.
    pub async fn texts(&self, css: &str) -> Result<Vec<String>, Error> {
        let mut texts = Vec::new();
        for element in self.0.find_all(Locator::Css(css)).await? {
            texts.push(element.text().await?);
        }
        Ok(texts)
    }

    /// Presses a button that leads to another page, once it is there, and waits until that page is read. Without
    /// the wait, what follows may still look at the old page: on a busy machine the driver answers before the
    /// browser has begun to leave it.
    pub async fn press(&self, css: &str) -> Result<(), Error> {
        let pressed = self.0.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await?;
        pressed.click().await?;
        let arrives = async {
            // An element of a page that is gone has no text.
            while pressed.text().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            // A script that the next page cuts off is asked again.
            while !matches!(self.script("return document.readyState").await, Ok(state) if state == "complete")
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let arrived = tokio::time::timeout(PATIENCE, arrives).await;
        arrived.map_err(|_| format!("{css} led to no other page within {PATIENCE:?}").into())
    }

    pub async fn log_in(&self, base: &str, password: &str, remember: bool) -> Result<(), Error> {
        self.open(&format!("{base}/login")).await?;
        let form = self.0.form(Locator::Css("form")).await?;
        form.set_by_name("name", "alice").await?.set_by_name("password", password).await?;
        if remember {
            self.0.find(Locator::Css("[name=remember]")).await?.click().await?;
        }
        self.press("button").await
    }

    /// The session's cookie, as only the browser itself sees it.
    pub async fn cookie(&self) -> Result<Option<Cookie<'static>>, Error> {
        let cookies = self.0.get_all_cookies().await?;
        Ok(cookies.into_iter().find(|cookie| cookie.name() == "connect.sid"))
    }

    /// Calls a method of the DevTools protocol.
    pub async fn devtools(&self, method: &str, parameters: Value) -> Result<Value, Error> {
        let body = json!({ "cmd": method, "params": parameters });
        Ok(self.0.issue_cmd(Extension { path: "goog/cdp/execute", body }).await?)
    }

    /// The parameters of the DevTools events with this method since the last call for any. One that is still
    /// to come is waited for by calling again.
    pub async fn events(&self, method: &str) -> Result<Vec<Value>, Error> {
        let log = Extension { path: "se/log", body: json!({ "type": "performance" }) };
        let entries = self.0.issue_cmd(log).await?;
        let mut events = Vec::new();
        for entry in entries.as_array().into_iter().flatten() {
            let entry: Value = serde_json::from_str(entry["message"].as_str().unwrap_or("null"))?;
            if entry["message"]["method"] == method {
                events.push(entry["message"]["params"].clone());
            }
        }
        Ok(events)
    }

    pub async fn script(&self, script: &str) -> Result<Value, Error> {
        Ok(self.0.execute(script, Vec::new()).await?)
    }

    /// Quits as a user does, so that the profile is written.
    pub async fn quit(self) -> Result<(), Error> {
        Ok(self.0.close().await?)
    }
}

/// A command of chromedriver that the standard does not have.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
