//! What every contestant keeps in a session: the same keys, the same values.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes of JSON of the session that most measurements use.
pub const USUAL: usize = 1024;

/// What the counter stands at in a fresh session.
pub const VIEWS: u64 = 7;

/// The struct that a read decodes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    pub id: u64,
    pub name: String,
    pub roles: Vec<String>,
}

impl User {
    pub fn ada() -> Self {
        Self { id: 42, name: "Ada".into(), roles: vec!["admin".into()] }
    }
}

/// The keys whose strings make up the rest.
const REST: [&str; 8] = ["csrf", "cart", "locale", "theme", "last_page", "referrer", "campaign", "note"];

/// Keys and values that are `bytes` long as one JSON object: ten keys, three where ten have no room.
pub fn payload(bytes: usize) -> Vec<(&'static str, Value)> {
    let rest = if bytes < 250 { &REST[..1] } else { &REST[..] };
    let mut entries = vec![("views", json!(VIEWS)), ("user", json!(User::ada()))];
    entries.extend(rest.iter().map(|&key| (key, json!(""))));
    let missing = bytes.checked_sub(length(&entries)).expect("room for the keys");
    for (nth, (_, value)) in entries[2..].iter_mut().enumerate() {
        let share = missing / rest.len() + usize::from(nth < missing % rest.len());
        *value = json!("x".repeat(share));
    }
    entries
}

/// Bytes of the entries as one JSON object.
fn length(entries: &[(&str, Value)]) -> usize {
    let object: serde_json::Map<_, _> =
        entries.iter().map(|(key, value)| (key.to_string(), value.clone())).collect();
    Value::Object(object).to_string().len()
}

/// What a read answers; an anonymous visitor has neither.
pub fn shown(views: Option<u64>, user: Option<User>) -> String {
    format!("{} {}", views.unwrap_or(0), user.as_ref().map_or("nobody", |user| user.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_long_as_asked_for() {
        for (bytes, keys) in [(100, 3), (USUAL, 10), (10 * 1024, 10), (100 * 1024, 10)] {
            let entries = payload(bytes);
            assert_eq!((length(&entries), entries.len()), (bytes, keys));
        }
    }
}
