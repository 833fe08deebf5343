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
                (entry.actor, entry.call.name(), entry.call.subject())
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
            Ok(Reply::Many(many)) => {
                let each = many.iter().map(|stored| match stored {
                    Some(stored) => show(&contents(&stored.record)),
                    None => "absent".into(),
                });
                format!("[{}]", each.collect::<Vec<_>>().join(", "))
            }
            Ok(Reply::Text(text)) => format!("{} lines", text.lines().count()),
            Ok(Reply::Ids(ids)) => format!("{} ids", ids.len()),
            Err(error) => error.to_string(),
        };
        let written = match call {
            Call::Append(_, line) => Some(format!(" {}", event(line))),
            call => call.record().map(|record| format!(" {}", show(&contents(record)))),
        };
        let late = if late { " (whose caller is gone)" } else { "" };
        let text = format!(
            "  its {} of {}{}{late} is carried out: {reply}",
            call.name(),
            call.subject(),
            written.unwrap_or_default()
        );
        self.say(Some(actor), || text);
    }
}

/// An event of a user's text, without what is random in it.
fn event(line: &str) -> String {
    let mut event: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let each = event.as_object_mut().into_iter().flat_map(|event| event.values_mut());
    for value in each.filter_map(serde_json::Value::as_object_mut) {
        value.remove("at");
        if value.contains_key("epoch") {
            value.insert("epoch".into(), "..".into());
        }
    }
    event.to_string()
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
