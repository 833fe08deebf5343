//! `export`: what the store keeps of a user.

use std::time::SystemTime;

use serde::Serialize;
use sessile::Record;

use crate::args::Export;
use crate::commands::list::Listed;
use crate::failure::Exit;
use crate::output::{Output, counted, timestamp, write_out};
use crate::secrets;

#[derive(Serialize)]
struct Report<'r> {
    user: &'r str,
    exported: String,
    sessions: Vec<Exported<'r>>,
}

#[derive(Serialize)]
struct Exported<'r> {
    #[serde(flatten)]
    listed: Listed,
    record: &'r Record,
}

pub(super) async fn run(arguments: Export, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let config = secrets::config(&arguments.app, opened.store.clone())?;
    let sessions = config.sessions_of(&arguments.user).list().await?;
    let report = Report {
        user: &arguments.user,
        exported: timestamp(SystemTime::now()),
        sessions: sessions
            .iter()
            .map(|session| Exported { listed: Listed::of(session), record: session.record() })
            .collect(),
    };
    let json = serde_json::to_string_pretty(&report)?;
    match &arguments.out {
        None => write_out(&json)?,
        Some(file) => {
            secrets::write_private(file, &format!("{json}\n"))?;
            let count = sessions.len() as u64;
            let text = format!("{} written to {}", counted(count, "session", "sessions"), file.display());
            output.print(&text, &serde_json::json!({ "file": file, "sessions": count }))?;
        }
    }
    Ok(Exit::Done)
}
