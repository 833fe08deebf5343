//! The commands, one file for each that is more than a call.

mod check;
mod end;
mod export;
mod list;
mod moving;
mod pages;
mod secret;
mod show;
mod stats;
mod walk;

use clap::CommandFactory as _;

use crate::args::{Cli, Command, Sweep};
use crate::failure::Exit;
use crate::output::{Output, counted, write_out};
use crate::stores::{IfMissing, Opened};

pub(crate) async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let output = Output { json: cli.json };
    match cli.command {
        Command::List(arguments) => list::run(arguments, output).await,
        Command::End(arguments) => end::run(arguments, output).await,
        Command::Show(arguments) => show::run(arguments, output).await,
        Command::Sweep(arguments) => sweep(arguments, output).await,
        Command::Stats(arguments) => stats::run(arguments, output).await,
        Command::Secret(arguments) => secret::run(&arguments, output),
        Command::Check(arguments) => check::run(arguments, output).await,
        Command::Export(arguments) => export::run(arguments, output).await,
        Command::Erase(arguments) => end::erase(arguments, output).await,
        Command::Move(arguments) => moving::run(arguments, output).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "sessile", &mut script);
            write_out(String::from_utf8_lossy(&script).trim_end())?;
            Ok(Exit::Done)
        }
        Command::Man { dir } => pages::run(dir.as_deref()),
    }
}

impl crate::args::Store {
    async fn open(&self) -> anyhow::Result<Opened> {
        Opened::open(&self.store, &self.options, IfMissing::Fail).await
    }
}

async fn sweep(arguments: Sweep, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let removed = opened.store.sweep().await?;
    let text = match removed {
        Some(removed) => {
            format!("{} removed", counted(removed, "expired session", "expired sessions"))
        }
        None => "Redis removes expired sessions by itself".to_owned(),
    };
    output.print(&text, &serde_json::json!({ "removed": removed }))?;
    Ok(Exit::Done)
}
