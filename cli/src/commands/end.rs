//! `end` and `erase`: sessions that are over from now on.

use serde_json::json;
use sessile::{SessionConfig, SessionHandle};

use crate::args::{End, Erase};
use crate::commands::walk::{find, not_found};
use crate::failure::Exit;
use crate::output::{Output, counted, visible};
use crate::secrets;
use crate::stores::Opened;

pub(super) async fn run(arguments: End, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let config = secrets::config(&arguments.app, opened.store.clone())?;
    match (&arguments.user, &arguments.handle) {
        (Some(user), None) => {
            let sessions = config.sessions_of(user);
            let question = format!("End {}?", those_of(&config, user).await?);
            output.confirm(&arguments.yes, &question)?;
            let ended = sessions.end_all().await? as u64;
            report(ended, output)?;
        }
        (user, Some(handle)) => {
            end_one(&config, &opened, user.as_deref(), handle, &arguments, output).await?;
            report(1, output)?;
        }
        // clap asks for one of the two.
        (None, None) => {}
    }
    Ok(Exit::Done)
}

async fn end_one(
    config: &SessionConfig,
    opened: &Opened,
    user: Option<&str>,
    handle: &SessionHandle,
    arguments: &End,
    output: Output,
) -> anyhow::Result<()> {
    let question = format!("End the session {handle}?");
    let is_ended = match user {
        Some(user) => {
            let sessions = config.sessions_of(user);
            if !sessions.list().await?.iter().any(|session| session.handle() == *handle) {
                return Err(not_found(handle));
            }
            output.confirm(&arguments.yes, &question)?;
            sessions.end(handle).await?
        }
        None => {
            let id = find(config, opened, handle, output).await?;
            output.confirm(&arguments.yes, &question)?;
            config.end_session(&id).await?
        }
    };
    if is_ended { Ok(()) } else { Err(not_found(handle)) }
}

pub(super) async fn erase(arguments: Erase, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let config = secrets::config(&arguments.app, opened.store.clone())?;
    let those = those_of(&config, &arguments.user).await?;
    output.confirm(&arguments.yes, &format!("End {those} and remove the list of them?"))?;
    let ended = config.sessions_of(&arguments.user).erase().await? as u64;
    let text = format!("{} ended, and the list is gone", counted(ended, "session was", "sessions were"));
    output.print(&text, &json!({ "ended": ended, "erased": true }))?;
    Ok(Exit::Done)
}

/// The sessions of a user, as a question names them.
async fn those_of(config: &SessionConfig, user: &str) -> anyhow::Result<String> {
    let count = config.sessions_of(user).count().await? as u64;
    Ok(format!("{} of {}", counted(count, "session", "sessions"), visible(user)))
}

fn report(ended: u64, output: Output) -> anyhow::Result<()> {
    output.print(&format!("{} ended", counted(ended, "session", "sessions")), &json!({ "ended": ended }))
}
