//! A run for its reader.

use sessile::{Record, Replaced, StoreError};

use super::Scheduler;
use crate::gates::{Call, Reply, lock};
use crate::history::{Contents, Event, History};
use crate::request::show;

impl Scheduler<'_> {
    pub(super) fn say(&mut self, actor: Option<usize>, text: impl FnOnce() -> String) {
        if self.verbose {
            self.history.events.push(Event { actor, text: text() });
        }
    }

    pub(super) fn say_call(&mut self, ticket: usize, what: &str) {
        if self.verbose {
            let (actor, name, id) = {
                let board = lock(&self.shared);
                let entry = &board.calls[ticket];
                (entry.actor, entry.call.name(), entry.call.id().as_str().to_owned())
            };
            self.say(Some(actor), || format!("  its {name} of {id} {what}"));
        }
    }

    pub(super) fn say_done(
        &mut self,
        call: &Call,
        actor: usize,
        ticket: usize,
        reply: &Result<Reply, StoreError>,
    ) {
        if !self.verbose {
            return;
        }
        let late = lock(&self.shared).calls[ticket].abandoned;
        let contents = |record: &Record| Contents::of_json(record.as_json()).unwrap_or_default();
        let reply = match reply {
            Ok(Reply::Stored(Some(stored))) => show(&contents(&stored.record)),
            Ok(Reply::Stored(None)) => "absent".into(),
            Ok(Reply::Done) => "done".into(),
            Ok(Reply::Bool(answer)) => answer.to_string(),
            Ok(Reply::Replaced(Replaced::Done(_))) => "done".into(),
            Ok(Reply::Replaced(Replaced::Conflict(stored))) => {
                format!("conflict with {}", show(&contents(&stored.record)))
            }
            Ok(Reply::Replaced(Replaced::Gone)) => "gone".into(),
            Err(error) => error.to_string(),
        };
        let written = call.record().map(|record| format!(" {}", show(&contents(record))));
        let late = if late { " (whose caller is gone)" } else { "" };
        let text = format!(
            "  its {} of {}{}{late} is carried out: {reply}",
            call.name(),
            call.id().as_str(),
            written.unwrap_or_default()
        );
        self.say(Some(actor), || text);
    }
}

/// A run as readable steps.
pub(crate) fn narrate(history: &History) -> String {
    let mut text = String::new();
    for event in &history.events {
        match event.actor {
            Some(actor) => text.push_str(&format!("  request {actor} {}\n", event.text)),
            None => text.push_str(&format!("  {}\n", event.text)),
        }
    }
    text
}
