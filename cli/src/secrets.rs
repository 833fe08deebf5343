//! The secrets of the app, which no argument holds.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use sessile::{SessionConfig, SessionStore};

use crate::args::{App, HashIds, Secrets};

/// The variable that holds the secrets.
const VARIABLE: &str = "SESSILE_SECRETS";

/// How long a secret is, in bytes, that this program makes, and from which on it finds nothing to say about one.
pub(crate) const GOOD: usize = 32;

/// The secrets in a file, one a line, newest first.
pub(crate) fn from_file(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
    let secrets: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if secrets.is_empty() {
        bail!("{file:?} holds no secret");
    }
    Ok(secrets)
}

/// The app's secrets, if they are given.
pub(crate) fn given(arguments: &Secrets) -> anyhow::Result<Option<Vec<String>>> {
    if let Some(file) = &arguments.secrets_file {
        return from_file(file).map(Some);
    }
    let Ok(text) = std::env::var(VARIABLE) else { return Ok(None) };
    let secrets: Vec<_> = text.split(',').map(str::trim).filter(|secret| !secret.is_empty()).collect();
    Ok((!secrets.is_empty()).then(|| secrets.into_iter().map(str::to_owned).collect()))
}

/// The app's configuration, as far as its sessions are concerned.
pub(crate) fn config(app: &App, store: impl SessionStore) -> anyhow::Result<SessionConfig> {
    let Some(secrets) = given(&app.secrets)? else {
        bail!(
            "the secrets of the app are needed, because lists of users and handles are made with them: set {VARIABLE}, or name a file with --secrets-file"
        );
    };
    let mut builder = SessionConfig::builder(secrets).store(store).store_ttl(app.store_ttl);
    if let Some(hash_ids) = app.hash_ids {
        builder = builder.hash_ids(match hash_ids {
            HashIds::On => sessile::HashIds::On,
            HashIds::MovingUntil(time) => sessile::HashIds::MovingUntil(time),
        });
    }
    if let Some(timeout) = app.absolute_timeout {
        builder = builder.absolute_timeout(timeout);
    }
    Ok(builder.build()?)
}

/// A new secret.
pub(crate) fn make() -> anyhow::Result<String> {
    let mut bytes = [0; GOOD];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system gives no random bytes: {error}"))?;
    Ok(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Writes a new file that nobody else can read.
pub(crate) fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut opened = options.open(file).with_context(|| format!("cannot create {file:?}"))?;
    opened.write_all(text.as_bytes()).with_context(|| format!("cannot write {file:?}"))
}
