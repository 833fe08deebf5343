//! A visitor: sends requests of every kind, and knows what the server must still know.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::{Answer, Client};
use crate::measure::Times;

/// When each request is due. All visitors take from it.
#[derive(Debug)]
pub(crate) struct Schedule {
    next: AtomicU64,
    requests: u64,
    start: Instant,
    time: Duration,
    pub(crate) times: Times,
}

impl Schedule {
    pub(crate) fn new(requests: u64, time: Duration) -> Self {
        Self { next: AtomicU64::new(0), requests, start: Instant::now(), time, times: Times::default() }
    }

    /// Waits until the next request is due; `false`, when there is none left.
    async fn wait(&self) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.requests {
            return false;
        }
        let due = self.start + self.time.mul_f64(number as f64 / self.requests as f64);
        // Sleeps are whole milliseconds.
        if due > Instant::now() + Duration::from_millis(1) {
            tokio::time::sleep_until(due).await;
        }
        true
    }

    pub(crate) fn is_at(&self, share: f64) -> bool {
        self.next.load(Ordering::Relaxed) as f64 >= self.requests as f64 * share
    }
}

pub(crate) struct Visitor {
    user: u64,
    schedule: Arc<Schedule>,
    /// Two tabs of one browser.
    tabs: [Client; 2],
    cookie: Option<String>,
    /// How many writes were answered.
    acknowledged: u64,
    /// How many writes were sent, those included whose connection was cut.
    sent: u64,
    flashed: VecDeque<u64>,
    dice: Dice,
}

impl Visitor {
    pub(crate) fn new(user: u64, address: SocketAddr, schedule: Arc<Schedule>) -> Self {
        let tabs = [Client::new(address), Client::new(address)];
        let (cookie, flashed, dice) = (None, VecDeque::new(), Dice(user + 1));
        Self { user, schedule, tabs, cookie, acknowledged: 0, sent: 0, flashed, dice }
    }

    /// Sends requests while there are any left, and logs out.
    pub(crate) async fn run(mut self) -> io::Result<()> {
        while self.schedule.wait().await {
            match (&self.cookie, self.dice.roll(100)) {
                (None, _) => self.log_in().await?,
                (_, 0..40) => self.read().await?,
                (_, 40..60) => self.write().await?,
                (_, 60..68) => self.write_in_two_tabs().await?,
                (_, 68..78) => self.push().await?,
                (_, 78..84) => self.take().await?,
                (_, 84..89) => self.forge().await?,
                (_, 89..94) => self.cut().await?,
                (_, 94..97) => self.log_in().await?,
                _ => self.log_out().await?,
            }
        }
        if self.cookie.is_some() {
            self.log_out().await?;
        }
        Ok(())
    }

    async fn send(&mut self, method: &str, path: &str) -> io::Result<Answer> {
        let started = Instant::now();
        let answer = self.tabs[0].send(method, path, self.cookie.as_deref()).await?;
        self.schedule.times.add(started.elapsed());
        if let Some(cookie) = &answer.cookie {
            self.cookie = Some(cookie.clone()).filter(|cookie| !cookie.is_empty());
        }
        Ok(answer)
    }

    async fn log_in(&mut self) -> io::Result<()> {
        let old = self.cookie.clone();
        let answer = self.send("POST", &format!("/login/{}", self.user)).await?;
        assert_eq!(answer.status, 200, "a login");
        assert!(self.cookie.is_some() && self.cookie != old, "a login sets a new cookie");
        (self.acknowledged, self.sent) = (0, 0);
        self.flashed.clear();
        self.is_dead(old).await
    }

    async fn log_out(&mut self) -> io::Result<()> {
        let old = self.cookie.clone();
        if self.dice.roll(2) == 0 {
            assert_eq!(self.send("POST", "/logout").await?.status, 200, "a logout");
        } else {
            // A write that is under way at the same time: it may be counted or refused, but not undo the
            // logout.
            let [one, other] = &mut self.tabs;
            let cookie = old.as_deref();
            let (logout, write) =
                tokio::join!(one.send("POST", "/logout", cookie), other.send("POST", "/slow", cookie));
            assert_eq!(logout?.status, 200, "a logout");
            let status = write?.status;
            assert!([200, 401, 409].contains(&status), "a write beside a logout is answered with {status}");
        }
        self.cookie = None;
        self.is_dead(old).await
    }

    /// Nobody is logged in with this cookie any more.
    async fn is_dead(&mut self, cookie: Option<String>) -> io::Result<()> {
        let Some(cookie) = cookie else { return Ok(()) };
        let answer = self.tabs[1].send("GET", "/", Some(&cookie)).await?;
        assert_eq!((answer.status, &*answer.body), (200, "null"), "the old cookie is worth nothing");
        assert_eq!(answer.cookie, None, "a late request touches no cookie");
        Ok(())
    }

    async fn read(&mut self) -> io::Result<()> {
        let answer = self.send("GET", "/").await?;
        assert_eq!(answer.status, 200, "a read");
        let seen: Value = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(seen["user"], self.user, "the session is this visitor's");
        self.counted(seen["count"].as_u64().expect("a number"));
        Ok(())
    }

    /// A write that was cut off may be in the count or not; one that was answered must be.
    fn counted(&mut self, count: u64) {
        let range = self.acknowledged..=self.sent;
        assert!(range.contains(&count), "{count} writes are counted, between {range:?} were made");
        self.acknowledged = count;
    }

    async fn write(&mut self) -> io::Result<()> {
        self.sent += 1;
        let answer = self.send("POST", "/count").await?;
        assert_eq!(answer.status, 200, "a write");
        self.acknowledged += 1;
        self.counted(answer.body.parse().expect("a number"));
        Ok(())
    }

    async fn write_in_two_tabs(&mut self) -> io::Result<()> {
        self.sent += 2;
        let [one, other] = &mut self.tabs;
        let cookie = self.cookie.as_deref();
        let (one, other) =
            tokio::join!(one.send("POST", "/count", cookie), other.send("POST", "/count", cookie));
        let (one, other) = (one?, other?);
        assert_eq!((one.status, other.status), (200, 200), "two writes at the same time");
        self.acknowledged += 2;
        self.counted(one.body.parse::<u64>().expect("a number").max(other.body.parse().expect("a number")));
        Ok(())
    }

    async fn push(&mut self) -> io::Result<()> {
        let message = self.dice.roll(1_000_000);
        assert_eq!(self.send("POST", &format!("/flash/{message}")).await?.status, 200, "a flash message");
        self.flashed.push_back(message);
        Ok(())
    }

    async fn take(&mut self) -> io::Result<()> {
        let answer = self.send("POST", "/flash").await?;
        let taken: VecDeque<u64> = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!(taken, self.flashed, "every flash message arrives once, in its order");
        self.flashed.clear();
        Ok(())
    }

    async fn forge(&mut self) -> io::Result<()> {
        let forged = format!("s%3A{}.{}", self.dice.roll(u64::MAX), "A".repeat(43));
        let answer = self.tabs[1].send("GET", "/", Some(&forged)).await?;
        assert_eq!((answer.status, &*answer.body, answer.cookie), (200, "null", None), "a forged cookie");
        Ok(())
    }

    /// A write whose browser is gone before the answer.
    async fn cut(&mut self) -> io::Result<()> {
        self.sent += 1;
        let stream = self.tabs[0].begin("POST", "/slow", self.cookie.as_deref()).await?;
        tokio::time::sleep(Duration::from_millis(self.dice.roll(6))).await;
        drop(stream);
        Ok(())
    }
}

/// Numbers without a pattern, the same in each run (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}
