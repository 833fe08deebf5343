//! Captured `tracing` events.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

/// Everything this thread logs, down to TRACE, until it is dropped.
pub(crate) struct Logs {
    text: Sink,
    _guard: tracing::dispatcher::DefaultGuard,
}

impl Logs {
    pub(crate) fn capture() -> Self {
        // With a single subscriber in the process, an event that another test's thread reaches first is
        // switched off for all threads. So there are always two more, which want everything and print
        // nothing.
        static OTHERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
        OTHERS.get_or_init(|| [subscriber(Sink::default()), subscriber(Sink::default())]);
        let text = Sink::default();
        let guard = tracing::dispatcher::set_default(&subscriber(text.clone()));
        Self { text, _guard: guard }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        let text = self.text();
        text.lines().filter(|line| line.trim_start().starts_with("WARN")).map(str::to_owned).collect()
    }
}

fn subscriber(text: Sink) -> Dispatch {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .without_time()
        .with_writer(text);
    Dispatch::new(subscriber.finish())
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
