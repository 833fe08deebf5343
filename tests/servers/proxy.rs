//! A proxy whose connections fall silent, and whose address leads to another server, as load balancers and
//! networks do.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the connections that exist.
#[derive(Clone, Default)]
enum Fate {
    #[default]
    Forwarded,
    /// Nothing is forwarded, and nothing is closed.
    Silent,
    /// Each command of Redis is answered with this error.
    Refused(&'static str),
}

pub(crate) struct Switch {
    pub(crate) address: String,
    pub(crate) port: u16,
    target: Arc<Mutex<String>>,
    /// The fate of the connections that were made since the last change of it.
    fate: Arc<Mutex<watch::Sender<Fate>>>,
}

impl Switch {
    pub(crate) async fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(server.to_owned()));
        let fate = Arc::new(Mutex::new(watch::Sender::default()));
        let (to, of) = (Arc::clone(&target), Arc::clone(&fate));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, fate) = (to.lock().unwrap().clone(), of.lock().unwrap().subscribe());
                tokio::spawn(relay(client, server, fate));
            }
        });
        Self { address: address.to_string(), port: address.port(), target, fate }
    }

    /// The URL of a Redis server behind it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        (self.address.split(':').next().unwrap(), self.port)
    }

    /// Lets new connections lead to this server. Those that exist stay as they are.
    pub(crate) fn lead_to(&self, server: &str) {
        *self.target.lock().unwrap() = server.to_owned();
    }

    /// Forwards nothing any more over the connections that exist, and closes none. New ones are served.
    pub(crate) fn silence(&self) {
        self.change(Fate::Silent);
    }

    /// Answers every command of Redis over the connections that exist with this error. New ones are served.
    pub(crate) fn refuse(&self, error: &'static str) {
        self.change(Fate::Refused(error));
    }

    fn change(&self, fate: Fate) {
        let before = std::mem::take(&mut *self.fate.lock().unwrap());
        before.send_replace(fate);
        // The connections keep the last value when the sender is gone.
    }
}

async fn relay(mut client: TcpStream, server: String, fate: watch::Receiver<Fate>) {
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut command, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let (from_client, bytes) = tokio::select! {
            read = client.read(&mut command) => (true, read),
            read = server.read(&mut answer) => (false, read),
        };
        let fate = fate.borrow().clone();
        match (fate, bytes) {
            (Fate::Silent, Ok(1..)) => {}
            // What was closed at one end stays open at the other.
            (Fate::Silent, _) => return std::future::pending().await,
            (_, Err(_) | Ok(0)) => return,
            (Fate::Refused(error), Ok(read)) if from_client => {
                // Each command begins with its number of words.
                let commands =
                    command[..read].split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"*"));
                let errors = format!("-{error}\r\n").repeat(commands.count());
                if client.write_all(errors.as_bytes()).await.is_err() {
                    return;
                }
            }
            (Fate::Refused(_), Ok(_)) => {}
            (Fate::Forwarded, Ok(read)) => {
                let forwarded = match from_client {
                    true => server.write_all(&command[..read]).await,
                    false => client.write_all(&answer[..read]).await,
                };
                if forwarded.is_err() {
                    return;
                }
            }
        }
    }
}
