//! The HTTP client of the shop of `examples/with_express`: one cookie jar, pages, forms, redirects followed.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::cookie::{CookieStore as _, Jar};
use reqwest::header::LOCATION;

use crate::http_client::NAME;

/// A client of the shop, with the cookies of one browser. The shop has pages and forms where the servers of
/// an [`HttpClient`](crate::http_client::HttpClient) speak JSON.
#[derive(Clone, Default)]
pub struct ShopClient {
    jar: Arc<Jar>,
}

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `Express` or `axum`.
    pub server: String,
    pub user: Option<String>,
    pub notices: Vec<String>,
    pub basket: Vec<String>,
}

impl ShopClient {
    /// A client with this cookie.
    pub fn with_cookie(value: &str, at: &str) -> Self {
        let client = Self::default();
        client.jar.add_cookie_str(&format!("{NAME}={value}; Path=/"), &at.parse().expect("an address"));
        client
    }

    /// The value of the session's cookie, as it is sent to this address.
    pub fn cookie(&self, at: &str) -> Option<String> {
        let line = self.jar.cookies(&at.parse().expect("an address"))?;
        let mut cookies = line.to_str().expect("text").split("; ");
        cookies.find_map(|pair| Some(pair.strip_prefix(NAME)?.strip_prefix('=')?.to_owned()))
    }

    fn client(&self) -> reqwest::Client {
        let client = reqwest::Client::builder().cookie_provider(Arc::clone(&self.jar));
        client.timeout(Duration::from_secs(30)).build().expect("a client")
    }

    async fn page(&self, method: Method, url: String, form: &[(&str, &str)]) -> Page {
        let request = self.client().request(method, &url).form(form);
        let answer = request.send().await.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(answer.status(), 200, "{url}");
        assert!(answer.headers().get(LOCATION).is_none());
        Page::read(&answer.text().await.expect("a whole page"))
    }

    /// The front page.
    pub async fn home(&self, at: &str) -> Page {
        self.page(Method::GET, format!("{at}/"), &[]).await
    }

    /// Logs in as alice; the page after it.
    pub async fn log_in(&self, at: &str) -> Page {
        self.page(Method::POST, format!("{at}/login"), &[("name", "alice"), ("password", "correct horse")])
            .await
    }

    /// Tries a wrong password; the page after it.
    pub async fn fail_to_log_in(&self, at: &str) -> Page {
        self.page(Method::POST, format!("{at}/login"), &[("name", "alice"), ("password", "wrong")]).await
    }

    /// Puts something into the basket; the page after it.
    pub async fn add(&self, at: &str, item: &str) -> Page {
        self.page(Method::POST, format!("{at}/basket"), &[("item", item)]).await
    }

    /// Logs out; the page after it.
    pub async fn log_out(&self, at: &str) -> Page {
        self.page(Method::POST, format!("{at}/logout"), &[]).await
    }

    /// Which server answers for the account, whose it is, and how much is in the basket; `None` for nobody.
    pub async fn account(&self, at: &str) -> (String, Option<(String, u64)>) {
        let answer = self.client().get(format!("{at}/account")).send().await.expect("an answer");
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.expect("JSON");
        let user = body["user"].as_str().map(|user| (user.to_owned(), body["basket"].as_u64().unwrap_or(0)));
        assert_eq!(status == 200, user.is_some(), "{status} {body}");
        (body["server"].as_str().unwrap_or_default().to_owned(), user)
    }
}

impl Page {
    fn read(html: &str) -> Self {
        let all = |open: &str, close: &str| -> Vec<String> {
            let parts = html.split(open).skip(1).filter_map(|rest| rest.split(close).next());
            parts.map(|text| text.to_owned()).collect()
        };
        let server =
            all("<span id=\"server\">", "<").pop().unwrap_or_else(|| panic!("no page of the shop: {html}"));
        let notices = all("<p class=\"notice\">", "</p>");
        Self { server, user: all("id=\"user\">", "<").pop(), notices, basket: all("<li>", "</li>") }
    }
}
