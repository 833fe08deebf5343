//! `man`: the manual pages.

use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::args::Cli;
use crate::failure::Exit;
use crate::output::write_out;

pub(super) fn run(dir: Option<&Path>) -> anyhow::Result<Exit> {
    let command = Cli::command().disable_help_subcommand(true);
    match dir {
        Some(dir) => {
            std::fs::create_dir_all(dir).with_context(|| format!("cannot create {dir:?}"))?;
            clap_mangen::generate_to(command, dir).with_context(|| format!("cannot write into {dir:?}"))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            write_out(String::from_utf8_lossy(&page).trim_end())?;
        }
    }
    Ok(Exit::Done)
}
