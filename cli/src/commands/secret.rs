//! `secret`: makes one.

use serde_json::json;

use crate::args::Secret;
use crate::failure::Exit;
use crate::output::Output;
use crate::secrets;

pub(super) fn run(arguments: &Secret, output: Output) -> anyhow::Result<Exit> {
    let secret = secrets::make()?;
    match &arguments.out {
        Some(file) => {
            secrets::write_private(file, &format!("{secret}\n"))?;
            let text = format!("a new secret is in {}", file.display());
            output.print(&text, &json!({ "file": file }))?;
        }
        None => output.print(&secret, &json!({ "secret": secret }))?,
    }
    Ok(Exit::Done)
}
