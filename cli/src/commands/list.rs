//! `list`: the sessions of a user.

use std::time::SystemTime;

use serde::Serialize;
use sessile::{SessionHandle, UserSession};

use crate::args::List;
use crate::failure::Exit;
use crate::output::{Output, counted, distance, table, timestamp, visible};
use crate::secrets;

/// A session of a user, as scripts read it.
#[derive(Serialize)]
pub(super) struct Listed {
    handle: SessionHandle,
    created: String,
    last_seen: Option<String>,
    expires: Option<String>,
    device: Option<String>,
    /// Whether somebody acts as somebody else in it.
    impersonated: bool,
}

#[derive(Serialize)]
struct Report {
    user: String,
    sessions: Vec<Listed>,
}

impl Listed {
    pub(super) fn of(session: &UserSession) -> Self {
        Self {
            handle: session.handle(),
            created: timestamp(session.created()),
            last_seen: session.last_seen().map(timestamp),
            expires: session.expires().map(timestamp),
            device: session.device_label().map(str::to_owned),
            impersonated: session.is_impersonated(),
        }
    }
}

pub(super) async fn run(arguments: List, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let config = secrets::config(&arguments.app, opened.store.clone())?;
    let sessions = config.sessions_of(&arguments.user).list().await?;
    let now = SystemTime::now();
    let rows = sessions.iter().map(|session| {
        let or_unknown = |time: Option<SystemTime>| time.map_or("unknown".into(), |time| distance(time, now));
        [
            session.handle().to_string(),
            distance(session.created(), now),
            or_unknown(session.last_seen()),
            or_unknown(session.expires()),
            session.device_label().unwrap_or("unknown").to_owned(),
            if session.is_impersonated() { "impersonated".into() } else { String::new() },
        ]
    });
    let mut text = String::new();
    if !sessions.is_empty() {
        text = table(["HANDLE", "LOGGED IN", "LAST SEEN", "EXPIRES", "DEVICE", ""], rows);
    }
    let count = counted(sessions.len() as u64, "session", "sessions");
    text += &format!("{count} of {}", visible(&arguments.user));
    let sessions = sessions.iter().map(Listed::of).collect();
    output.print(&text, &Report { user: arguments.user, sessions })?;
    Ok(Exit::Done)
}
