//! `show`: what a session holds.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::value::RawValue;
use sessile::{SessionHandle, SessionStore as _};

use crate::args::Show;
use crate::commands::walk::{find, not_found};
use crate::failure::Exit;
use crate::output::{Output, distance, table, timestamp};
use crate::record::{kind, members};
use crate::secrets;

#[derive(Serialize)]
struct Report {
    handle: SessionHandle,
    /// The keyed hashes of the users in whose lists it stands.
    users: Vec<String>,
    expires: Option<String>,
    bytes: usize,
    keys: BTreeMap<String, Key>,
}

#[derive(Serialize)]
struct Key {
    kind: &'static str,
    bytes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
}

pub(super) async fn run(arguments: Show, output: Output) -> anyhow::Result<Exit> {
    let opened = arguments.store.open().await?;
    let config = secrets::config(&arguments.app, opened.store.clone())?;
    let handle = arguments.handle;
    let id = find(&config, &opened, &handle, output).await?;
    let stored = opened.store.get(&id).await?.ok_or_else(|| not_found(&handle))?;
    let record = &stored.record;
    let keys: BTreeMap<_, _> = members(record)
        .into_iter()
        .map(|(name, value)| {
            let (kind, bytes) = (kind(&value), value.get().len());
            (name, Key { kind, bytes, value: arguments.values.then_some(value) })
        })
        .collect();
    let now = SystemTime::now();
    let end = stored.expires_in.and_then(|left| now.checked_add(left));
    let users = record.user_hashes();
    let mut text = format!("handle   {handle}\n");
    text += &format!("user     {}\n", if users.is_empty() { "a guest".into() } else { users.join(", ") });
    text += &format!("expires  {}\n", end.map_or("unknown".into(), |end| distance(end, now)));
    text += &format!("size     {} bytes\n\n", record.as_json().len());
    text += &match arguments.values {
        true => {
            let value =
                |key: &Key| key.value.as_ref().map(|value| value.get().to_owned()).unwrap_or_default();
            let rows = keys.iter().map(|(name, key)| [name.clone(), key.bytes.to_string(), value(key)]);
            table(["KEY", "BYTES", "VALUE"], rows)
        }
        false => {
            let rows = keys.iter().map(|(name, key)| [name.clone(), key.bytes.to_string(), key.kind.into()]);
            table(["KEY", "BYTES", "KIND"], rows)
        }
    };
    let (expires, bytes) = (end.map(timestamp), record.as_json().len());
    output.print(&text, &Report { handle, users, expires, bytes, keys })?;
    Ok(Exit::Done)
}
