//! The command-line program `sessile`: a thin program over the public calls of the crate of that name.

mod args;
mod commands;
mod failure;
mod open;
mod output;
mod record;
mod redis_address;
mod secrets;
mod store_options;
mod stores;
mod urls;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};
use failure::{Exit, Failure};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    URLS.get_or_init(|| urls_of(&cli.command));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => Err(error.into()),
    };
    outcome.unwrap_or_else(|error| fail(&error, json)).into()
}

fn fail(error: &anyhow::Error, json: bool) -> Exit {
    let exit = error.downcast_ref::<Failure>().map_or(Exit::Failed, |failure| failure.exit);
    let text = without_passwords(&output::visible(&output::explained(error)));
    match json {
        true => eprintln!("{}", serde_json::json!({ "error": text, "code": exit as u8 })),
        false => eprintln!("sessile: {text}"),
    }
    exit
}

/// The URLs of the stores, whose passwords are not printed.
static URLS: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();

fn urls_of(command: &Command) -> Vec<String> {
    match command {
        Command::List(args::List { store, .. })
        | Command::End(args::End { store, .. })
        | Command::Show(args::Show { store, .. })
        | Command::Sweep(args::Sweep { store })
        | Command::Stats(args::Stats { store, .. })
        | Command::Check(args::Check { store, .. })
        | Command::Export(args::Export { store, .. })
        | Command::Erase(args::Erase { store, .. }) => vec![store.store.clone()],
        Command::Move(moved) => vec![moved.from.clone(), moved.to.clone()],
        Command::Secret(_) | Command::Completions { .. } | Command::Man { .. } => Vec::new(),
    }
}

/// The text of an error, in case a driver quotes the URL.
fn without_passwords(text: &str) -> String {
    let urls = URLS.get().map(Vec::as_slice).unwrap_or_default();
    urls.iter().fold(text.to_owned(), |text, url| urls::without_password(&text, url))
}
