//! Prints the public API of a crate, one item a line, from what rustdoc has written about it as JSON.

use std::{error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let json: PathBuf = std::env::args_os().nth(1).ok_or("usage: sessile-api FILE.json")?.into();
    // Blanket impls are those of the standard library and of dependencies. Auto traits stay: to lose `Send` is a break.
    let api = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    println!("{api}");
    Ok(())
}
