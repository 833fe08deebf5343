//! When the response has ended the session is saved (S17 to S21), looked at from the other end of a socket.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use sessile::testing::{Op, Probe, TestClock};
use sessile::{MemoryStore, Session};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::common::TestClient;
use crate::site::{Site, count, expires, layered, options, stored_cookie};

async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Asks while the store is held up: not a byte arrives before the store has the session, then all of it at
/// once.
async fn ask(answer: fn() -> Response) -> String {
    let store = Probe::new(MemoryStore::new());
    let config = options().store(store.clone()).build().unwrap();
    let app = layered(&config, async move |session: Session| {
        session.insert("saved", true).unwrap();
        answer()
    });
    let hold = store.hold(Op::Create);
    let mut socket = TcpStream::connect(serve(app).await).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    hold.reached().await;
    let early = tokio::time::timeout(Duration::from_millis(200), socket.readable()).await;
    assert!(early.is_err(), "something was sent before the store had answered");
    assert_eq!(store.inner().len(), 0);
    drop(hold);
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    assert_eq!(store.inner().len(), 1);
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("\r\nset-cookie: connect.sid=s%3A"), "{text}");
    text
}

fn body(text: &str) -> &str {
    text.split_once("\r\n\r\n").unwrap().1
}

/// A slow store, an answer with a body: saved before the response ends.
///
/// Differs: nothing leaves before the store has answered; Express holds back the last byte alone.
#[tokio::test]
async fn s17_saved_before_the_end_of_a_body() {
    assert_eq!(body(&ask(|| "session saved".into_response()).await), "session saved");
}

/// The same with `Content-Length: 0`.
#[tokio::test]
async fn s18_saved_before_the_end_of_an_empty_body() {
    let text = ask(|| [(CONTENT_LENGTH, "0")].into_response()).await;
    assert!(text.contains("\r\ncontent-length: 0\r\n"), "{text}");
    assert_eq!(body(&text), "");
}

/// The same with a `Content-Length` and a body in several pieces.
#[tokio::test]
async fn s19_saved_before_the_end_of_a_body_in_pieces() {
    let text = ask(|| {
        let pieces = ["session", " ", "saved"].map(|piece| Ok::<_, std::io::Error>(Bytes::from(piece)));
        ([(CONTENT_LENGTH, "13")], Body::from_stream(stream::iter(pieces))).into_response()
    });
    assert_eq!(body(&text.await), "session saved");
}

/// The same with a `Content-Length` and a body in one piece.
#[tokio::test]
async fn s20_saved_before_the_end_of_a_body_of_known_length() {
    let text = ask(|| ([(CONTENT_LENGTH, "13")], "session saved").into_response()).await;
    assert!(text.contains("\r\ncontent-length: 13\r\n"), "{text}");
    assert_eq!(body(&text), "session saved");
}

/// The stored expiry is the cookie's, and the next request moves it on in the store.
#[tokio::test]
async fn s21_the_stored_expiry_is_the_cookies_and_moves_on() {
    let clock = TestClock::new();
    let site = Site::new(options().clock(clock.clone()), count);
    let mut client = TestClient::new();
    let stored = async || {
        let text = site.store.text(&site.store.ids()[0]).await.unwrap();
        let text = stored_cookie(&text)["expires"].as_str().unwrap().to_owned();
        sessile::Record::from_json(format!(r#"{{"cookie":{{"expires":"{text}"}}}}"#))
            .unwrap()
            .cookie_expires()
    };
    let seconds = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let answer = site.get(&mut client, "/").await;
    let first = stored().await.unwrap();
    assert_eq!(seconds(first), seconds(expires(&answer.cookie().unwrap())));
    clock.advance(Duration::from_millis(5));
    let answer = site.get(&mut client, "/").await;
    let second = stored().await.unwrap();
    assert_eq!(seconds(second), seconds(expires(&answer.cookie().unwrap())));
    assert!(second > first);
}
