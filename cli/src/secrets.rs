//! The secrets of the app, which no argument holds.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use axum_extra::extract::cookie::Key;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sessile::{Secrets, SessionConfig, SessionStore};

use crate::args::{self, App, CookieKey, Encoding, HashIds};

/// The variable that holds the secrets.
const VARIABLE: &str = "SESSILE_SECRETS";

/// How long a secret is, in bytes, that this program makes, and from which on it finds nothing to say about one.
pub(crate) const GOOD: usize = 32;

/// What is read as base64: padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The lines of a file: secrets or keys, newest first.
fn from_file(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file:?}"))?;
    let secrets: Vec<_> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if secrets.is_empty() {
        bail!("{file:?} holds no secret");
    }
    Ok(secrets)
}

/// The keys in a file, newest first.
pub(crate) fn keys(file: &Path, encoding: Encoding) -> anyhow::Result<Secrets> {
    let keys: anyhow::Result<Vec<_>> = from_file(file)?.iter().map(|text| bytes(text, encoding)).collect();
    Ok(keys.with_context(|| format!("cannot use {file:?}"))?.into())
}

/// The app's secrets and how many there are, if they are given.
pub(crate) fn given(arguments: &args::Secrets) -> anyhow::Result<Option<(Secrets, usize)>> {
    let texts = match &arguments.secrets_file {
        Some(file) => from_file(file)?,
        None => {
            let text = std::env::var(VARIABLE).unwrap_or_default();
            text.split(',').map(str::trim).filter(|secret| !secret.is_empty()).map(str::to_owned).collect()
        }
    };
    if texts.is_empty() {
        return Ok(None);
    }
    let secrets: anyhow::Result<Vec<_>> =
        texts.iter().map(|text| bytes(text, arguments.secrets_encoding)).collect();
    let secrets = secrets?;
    let Some(call) = arguments.cookie_key else { return Ok(Some((secrets.into(), texts.len()))) };
    let keys: anyhow::Result<Vec<_>> = secrets.iter().map(|secret| cookie_key(secret, call)).collect();
    Ok(Some((keys?.into(), texts.len())))
}

/// No error quotes the secret.
fn bytes(text: &str, encoding: Encoding) -> anyhow::Result<Vec<u8>> {
    match encoding {
        Encoding::Text => Ok(text.as_bytes().to_vec()),
        Encoding::Base64 => {
            let text = text.replace('-', "+").replace('_', "/");
            BASE64.decode(text).ok().context("a secret is no base64")
        }
        Encoding::Hex => {
            let digits: Option<Vec<_>> = text.chars().map(|digit| digit.to_digit(16)).collect();
            let (pairs, rest) = digits.as_deref().unwrap_or_default().as_chunks();
            if pairs.is_empty() || !rest.is_empty() {
                bail!("a secret is no text of hexadecimal digits");
            }
            Ok(pairs.iter().map(|[high, low]| (high * 16 + low) as u8).collect())
        }
    }
}

fn cookie_key(secret: &[u8], call: CookieKey) -> anyhow::Result<Key> {
    match call {
        CookieKey::From => Key::try_from(secret).context("no key can be made of a secret"),
        CookieKey::DeriveFrom if secret.len() < GOOD => {
            bail!("no key can be derived from a secret of less than {GOOD} bytes")
        }
        CookieKey::DeriveFrom => Ok(Key::derive_from(secret)),
    }
}

/// The app's configuration, as far as its sessions are concerned.
pub(crate) fn config(app: &App, store: impl SessionStore) -> anyhow::Result<SessionConfig> {
    let Some((secrets, _)) = given(&app.secrets)? else {
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
    Ok(BASE64.encode(bytes))
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
