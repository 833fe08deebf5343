//! `check`: whether the store can serve.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sessile::{Secrets, SessionStore as _};

use crate::args::Check;
use crate::failure::Exit;
use crate::output::{Output, explained, table};
use crate::secrets;
use crate::stores::Opened;

/// How far the clocks of two machines may be apart: sessions end that much earlier or later than they should.
const APART: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Report {
    store: String,
    ok: bool,
    checks: Vec<Checked>,
}

#[derive(Serialize)]
struct Checked {
    what: &'static str,
    state: State,
    says: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Unknown,
    Failed,
}

impl Checked {
    fn of(what: &'static str, answer: anyhow::Result<impl Into<String>>) -> Self {
        match answer {
            Ok(says) => Self { what, state: State::Ok, says: says.into() },
            Err(error) => Self { what, state: State::Failed, says: explained(&error) },
        }
    }
}

pub(super) async fn run(arguments: Check, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let store = &opened.store;
    let served = store.check().await.map(|()| "it can be read and written");
    let lists = store.users_are_readable().await.map(|()| "they can be read and written");
    let all = match store.ids() {
        None => Err(anyhow::anyhow!("the store cannot tell which sessions it has")),
        Some(mut ids) => match ids.try_next().await {
            Err(error) => Err(error.into()),
            Ok(_) => Ok("`stats`, `show`, `move` and `end --handle` find every session"),
        },
    };
    let mut checks = vec![
        Checked::of("sessions", served.map_err(Into::into)),
        Checked::of("users' lists", lists.map_err(Into::into)),
        Checked::of("all sessions", all),
        clock(&opened).await,
    ];
    if let Some((secrets, count)) = secrets::given(&arguments.secrets)? {
        checks.push(Checked::of("secrets", judge(secrets, count)));
    }
    let ok = checks.iter().all(|check| check.state != State::Failed);
    let rows = checks.iter().map(|check| {
        let state = match check.state {
            State::Ok => "ok",
            State::Unknown => "unknown",
            State::Failed => "FAILED",
        };
        [check.what.to_owned(), state.to_owned(), crate::without_passwords(&check.says)]
    });
    let text = format!("{}\n\n{}", opened.name, table(["CHECK", "STATE", ""], rows));
    for check in &mut checks {
        check.says = crate::without_passwords(&check.says);
    }
    output.print(&text, &Report { store: opened.name, ok, checks })?;
    Ok(if ok { Exit::Done } else { Exit::Failed })
}

async fn clock(opened: &Opened) -> Checked {
    let what = "clock";
    match opened.clock_is_off_by().await {
        Ok(None) => Checked::of(what, Ok("it is this machine's")),
        Ok(Some(off)) if off < APART => {
            Checked::of(what, Ok(format!("the server's is less than {} s off", APART.as_secs())))
        }
        Ok(Some(off)) => {
            let error = anyhow::anyhow!("the server's is {} s off: set both by NTP", off.as_secs());
            Checked::of(what, Err::<String, _>(error))
        }
        Err(error) => Checked { what, state: State::Unknown, says: explained(&error) },
    }
}

fn judge(secrets: Secrets, count: usize) -> anyhow::Result<String> {
    // What `SessionConfig::hardened` asks of a secret.
    sessile::SessionConfig::hardened(secrets).build()?;
    Ok(match count {
        1 => "one, of 32 bytes or more".into(),
        many => format!("{many}, each of 32 bytes or more"),
    })
}
