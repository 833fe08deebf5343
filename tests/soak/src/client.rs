//! The smallest HTTP client that keeps its connection.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection to the server, kept from one request to the next.
pub(crate) struct Client {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The value of the session's cookie, if the answer sets it; empty, if the answer removes it.
    pub(crate) cookie: Option<String>,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: Vec::new() }
    }

    /// One request and its answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        cookie: Option<&str>,
    ) -> io::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => connect(self.address).await?,
        };
        stream.write_all(request(method, path, cookie).as_bytes()).await?;
        self.buffer.clear();
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.buffer.len() < head_end + length {
            if stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.stream = Some(stream);
        let cookie = header(&head, "set-cookie").map(|line| {
            let pair = line.split(';').next().unwrap_or_default();
            pair.strip_prefix("connect.sid=").expect("the application sets no other cookie").to_owned()
        });
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status line");
        Ok(Answer { status, cookie, body: String::from_utf8_lossy(&self.buffer[head_end..]).into_owned() })
    }

    /// Writes a request on a connection of its own, which the caller drops.
    pub(crate) async fn begin(
        &self,
        method: &str,
        path: &str,
        cookie: Option<&str>,
    ) -> io::Result<TcpStream> {
        let mut stream = connect(self.address).await?;
        stream.write_all(request(method, path, cookie).as_bytes()).await?;
        Ok(stream)
    }
}

/// Without Nagle's delay.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn request(method: &str, path: &str, cookie: Option<&str>) -> String {
    let cookie = cookie.map_or_else(String::new, |cookie| format!("cookie: connect.sid={cookie}\r\n"));
    format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n{cookie}\r\n")
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (at, value) = line.split_once(':')?;
        at.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
