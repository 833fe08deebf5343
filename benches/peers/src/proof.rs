//! The proof that a contestant does the work of each kind of request before it is timed.

use crate::app::{App, Ask};
use crate::contestants::Contestant;
use crate::payload::{USUAL, VIEWS};
use crate::scenario::Scenario::{self, *};

/// The cookie that bare servers are sent, as long as a signed one.
const UNASKED: &str =
    "connect.sid=s%3A00000000-0000-4000-8000-000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

impl Scenario {
    /// Whether the contestant has an answer of its own to this.
    pub fn has(self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::BareAxum => true,
            Contestant::SessileUnguarded => matches!(self, Read | Forged),
            Contestant::EmptyLayer => self == Plain,
            Contestant::HeadersOnly => matches!(self, Read | Write | Rolling | New | Forged),
            Contestant::LoginTower | Contestant::LoginSessile | Contestant::LoginOwn => self == Login,
            _ => self != Login,
        }
    }

    /// Proves that the application does what is to be timed, and gives the request that is.
    pub async fn prepare(self, contestant: Contestant, app: &dyn App) -> Ask {
        let proof = Proof { contestant, app };
        if self == Login {
            return proof.logged_in().await;
        }
        let cookie = proof.fill(USUAL).await;
        let cookie = cookie.as_deref();
        match self {
            Read => {
                proof.expect("/read", cookie, &format!("{VIEWS} Ada")).await;
                Ask::new("/read", cookie)
            }
            Write => {
                proof.counts_up(cookie).await;
                Ask::new("/write", cookie)
            }
            Rolling => {
                let answer = proof.expect("/read", cookie, &format!("{VIEWS} Ada")).await;
                let lives = |line: &String| line.contains("Max-Age=") || line.contains("Expires=");
                assert!(proof.bare() || answer.iter().any(lives), "{contestant:?} extends its cookie");
                Ask::new("/read", cookie)
            }
            New => {
                proof.starts_anew().await;
                Ask::new("/new", None)
            }
            Forged => {
                let forged = cookie.map(forge);
                proof.expect("/read", forged.as_deref(), "0 nobody").await;
                Ask::new("/read", forged.as_deref())
            }
            Plain => {
                proof.expect("/plain", cookie, "plain").await;
                Ask::new("/plain", cookie)
            }
            Login => unreachable!("it has returned"),
        }
    }
}

/// The same cookies with one character of each value changed.
fn forge(cookie: &str) -> String {
    let pairs = cookie.split("; ").map(|pair| {
        let (name, value) = pair.split_once('=').expect("a cookie has a name");
        let middle = value.len() / 2;
        let other = if value[middle..].starts_with('a') { "b" } else { "a" };
        format!("{name}={}{other}{}", &value[..middle], &value[middle + 1..])
    });
    pairs.collect::<Vec<_>>().join("; ")
}

/// A contestant, and its application, which is asked for the proof.
pub struct Proof<'a> {
    pub contestant: Contestant,
    pub app: &'a dyn App,
}

impl Proof<'_> {
    fn bare(&self) -> bool {
        !self.contestant.keeps_sessions()
    }

    /// Starts a session of that many bytes; its cookie.
    pub async fn fill(&self, bytes: usize) -> Option<String> {
        let answer = self.app.ask(&Ask::new(&format!("/fill/{bytes}"), None)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "filled"), "{:?}", self.contestant);
        assert_eq!(answer.cookie().is_none(), self.bare(), "{:?} sets a cookie", self.contestant);
        // A bare server is sent a cookie as well: what it costs to carry one is no contestant's doing.
        answer.cookie().or_else(|| Some(UNASKED.into()))
    }

    /// Nobody sees the page without having logged in; then who has does.
    async fn logged_in(&self) -> Ask {
        if !self.bare() {
            assert_eq!(self.app.ask(&Ask::new("/page", None)).await.status, 401, "{:?}", self.contestant);
        }
        let answer = self.app.ask(&Ask::new("/login", None)).await;
        assert_eq!(answer.status, 200, "{:?}", self.contestant);
        let cookie = answer.cookie().or_else(|| self.bare().then(|| UNASKED.into()));
        self.expect("/page", cookie.as_deref(), "Ada").await;
        Ask::new("/page", cookie.as_deref())
    }

    /// Asks, and compares the body; the cookies that were set.
    async fn expect(&self, path: &str, cookie: Option<&str>, body: &str) -> Vec<String> {
        let answer = self.app.ask(&Ask::new(path, cookie)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{:?} on {path}", self.contestant);
        answer.set_cookies
    }

    /// The counter rises, and another request sees that it did.
    async fn counts_up(&self, cookie: Option<&str>) {
        let mut cookie = cookie.map(str::to_owned);
        let mut before = None;
        for _ in 0..3 {
            let answer = self.app.ask(&Ask::new("/write", cookie.as_deref())).await;
            let count: u64 = answer.body.parse().expect("a count");
            assert!(before.is_none_or(|before| count == before + 1), "{:?} counts {count}", self.contestant);
            before = Some(count);
            cookie = answer.cookie().or(cookie);
        }
        if !self.bare() {
            self.expect("/read", cookie.as_deref(), &format!("{} Ada", VIEWS + 3)).await;
        }
    }

    /// A visitor without a cookie gets one that brings the session back.
    async fn starts_anew(&self) {
        let first = self.app.ask(&Ask::new("/new", None)).await;
        assert_eq!((first.status, first.body.as_str()), (200, "1"), "{:?}", self.contestant);
        if !self.bare() {
            let cookie = first.cookie();
            assert!(cookie.is_some(), "{:?} sets a cookie", self.contestant);
            self.expect("/new", cookie.as_deref(), "2").await;
        }
    }
}
