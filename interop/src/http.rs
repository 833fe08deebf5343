//! A router behind a real socket, on a thread with a runtime of its own: it outlives the test that started
//! it.

use std::sync::mpsc;
use std::thread::JoinHandle;

use axum::Router;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A served router; it ends when this is dropped.
#[derive(Debug)]
pub struct Served {
    address: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    /// Serves what `make` gives, on a free port of 127.0.0.1.
    pub fn start<F: Future<Output = Router>>(make: impl FnOnce() -> F + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let run = move || {
            let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let router = make().await;
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let address = listener.local_addr().expect("it is bound").to_string();
                tell.send(address).expect("the test waits for it");
                tokio::select! {
                    ended = axum::serve(listener, router) => ended.expect("it serves"),
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::spawn(run);
        let address = told.recv().expect("the server starts");
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1` and the port.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
