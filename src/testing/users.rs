//! Checks of a store's [`UserIndex`](crate::UserIndex), of `get_many` and of `ids`. Those of an index pass
//! without a test for a store that has none, and so does that of `ids`.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::JoinSet;

use super::contract::{TTL, record};
use crate::id::SessionId;
use crate::store::SessionStore;

/// How many tasks write at the same time.
const WRITERS: usize = 16;

/// How often a list is read until no record was moved meanwhile.
const READINGS: usize = 20;

/// A user whom no other check has, with each of the characters that a store may be given.
fn new_user() -> String {
    format!("a-Z_9.{}", SessionId::random().as_str())
}

/// What a user's text promises: a line that was appended is there, in order and byte for byte; the text is
/// replaced only if it is the expected one; an empty text is none; users do not meet.
pub async fn users_are_kept<S: SessionStore>(store: S) {
    let Some(index) = store.users() else { return };
    let (user, other) = (new_user(), new_user());
    let upper = user.to_uppercase();
    assert_eq!(index.read(&user).await.expect("read answers"), "", "an unknown user has no text");
    let first = "{\"id\":\"it's \\\"quoted\\\" \\\\ 100% ü 🦀 $1 ? :id\"}\n";
    assert_eq!(index.append(&user, first).await.expect("append answers"), first);
    let both = format!("{first}{{}}\n");
    assert_eq!(index.append(&user, "{}\n").await.expect("append answers"), both);
    assert_eq!(index.read(&user).await.expect("read answers"), both, "lines are kept in order");
    assert_eq!(index.read(&other).await.expect("read answers"), "", "users do not meet");
    assert_eq!(index.read(&upper).await.expect("read answers"), "", "users differ by case");

    let replace = async |expected: &str, text: &str| {
        index.replace(&user, expected, text).await.expect("replace answers")
    };
    assert!(!replace(first, "{}\n").await, "another text than the expected one stays");
    let likeness = both.to_uppercase();
    assert!(!replace(&likeness, "{}\n").await && !replace(&likeness, "").await, "texts differ by case");
    assert!(!replace("", "{}\n").await, "a text is not replaced as if there were none");
    assert_eq!(index.read(&user).await.expect("read answers"), both);
    assert!(replace(&both, "[]\n").await, "the expected text is replaced");
    assert_eq!(index.read(&user).await.expect("read answers"), "[]\n");
    assert!(replace("[]\n", "").await, "the expected text is removed");
    assert_eq!(index.read(&user).await.expect("read answers"), "");
    assert!(!replace("[]\n", "{}\n").await, "what is gone is not replaced");
    assert!(replace("", "").await, "nothing is nothing");
    assert!(replace("", "{}\n").await, "the first text is written where there is none");
    assert_eq!(index.read(&user).await.expect("read answers"), "{}\n");
    let long = format!("{{\"id\":\"{}\"}}\n", "x".repeat(200)).repeat(1000);
    assert!(replace("{}\n", &long).await, "a long text is kept");
    let longer = format!("{long}{{}}\n");
    assert_eq!(index.append(&user, "{}\n").await.expect("append answers"), longer);
}

/// Of lines that are appended at the same time none is lost, also while the text is replaced. Each append
/// returns a text with its own line, and every text continues an earlier one.
pub async fn lines_of_a_user_are_not_lost<S: SessionStore>(store: S) {
    if store.users().is_none() {
        return;
    }
    let (store, user) = (Arc::new(store), Arc::<str>::from(new_user()));
    let start = Arc::new(tokio::sync::Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (store, user, start) = (Arc::clone(&store), Arc::clone(&user), Arc::clone(&start));
        writers.spawn(async move {
            let index = store.users().expect("the store has an index");
            start.wait().await;
            for at in 0..4 {
                let line = format!("[{writer},{at}]\n");
                let text = index.append(&user, &line).await.expect("append answers");
                assert!(text.contains(&line), "the answer has the line that was appended");
                // A replacement that keeps every line may come at any time.
                let sorted = sorted(&text);
                index.replace(&user, &text, &sorted).await.expect("replace answers");
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("a writer panicked");
    }
    let text = store.users().expect("the store has an index").read(&user).await.expect("read answers");
    let lines: HashSet<_> = text.lines().collect();
    assert_eq!((lines.len(), text.lines().count()), (WRITERS * 4, WRITERS * 4), "every line is there, once");
}

fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    lines.sort_unstable();
    lines.concat()
}

/// `get_many` returns what `get` returns for each id, in the order of the ids.
pub async fn many_are_read_like_one<S: SessionStore>(store: S) {
    assert!(store.get_many(&[]).await.expect("get_many answers").is_empty());
    let ids: Vec<_> = (0..25).map(|_| SessionId::random()).collect();
    for (at, id) in ids.iter().enumerate().filter(|(at, _)| at % 3 != 0) {
        store.set(id, &record(&format!(r#""at":{at}"#)), TTL).await.expect("set answers");
    }
    // One id may be asked for twice.
    let asked: Vec<_> = ids.iter().chain(&ids[..2]).cloned().collect();
    // Each id is asked for alone before and after: a store that is moving its records gives them other versions meanwhile,
    // and only what was the same both times can be compared.
    let text = |stored: &Option<crate::Stored>| {
        stored.as_ref().map(|stored| (stored.record.as_json().to_owned(), stored.version.clone()))
    };
    let mut compared = 0;
    for _ in 0..READINGS {
        let before = one_by_one(&store, &asked).await;
        let found = store.get_many(&asked).await.expect("get_many answers");
        assert_eq!(found.len(), asked.len(), "there is an answer for each id");
        let after = one_by_one(&store, &asked).await;
        compared = 0;
        for ((before, found), after) in before.iter().zip(&found).zip(&after) {
            let contents = |stored: &Option<crate::Stored>| text(stored).map(|(contents, _)| contents);
            assert_eq!(contents(found), contents(after), "`get_many` finds what `get` finds");
            if text(before) != text(after) {
                continue;
            }
            compared += 1;
            assert_eq!(text(found), text(after), "`get_many` agrees with `get`");
            let expires = |stored: &Option<crate::Stored>| {
                stored.as_ref().and_then(|stored| stored.expires_in).is_some()
            };
            assert_eq!(expires(found), expires(after), "`get_many` tells the expiry where `get` does");
        }
        if compared == asked.len() {
            return;
        }
    }
    panic!("of {} records {compared} kept their version while they were read {READINGS} times", asked.len());
}

async fn one_by_one(store: &impl SessionStore, ids: &[SessionId]) -> Vec<Option<crate::Stored>> {
    let mut found = Vec::new();
    for id in ids {
        found.push(store.get(id).await.expect("get answers"));
    }
    found
}

/// `ids`, if the store has it, lists what is live, however many there are, and nothing that is gone.
pub async fn every_live_id_is_listed<S: SessionStore>(store: S) {
    if store.ids().is_none() {
        return;
    }
    let [live, gone] = [1100, 5].map(|count| (0..count).map(|_| SessionId::random()).collect::<Vec<_>>());
    let set = |id: SessionId| {
        let store = &store;
        async move { store.set(&id, &record(""), TTL).await.expect("set answers") }
    };
    let sets: Vec<_> = live.iter().chain(&gone).cloned().map(set).collect();
    stream::iter(sets).buffer_unordered(WRITERS).collect::<()>().await;
    for id in &gone {
        store.destroy(id).await.expect("destroy answers");
    }
    let ids = store.ids().expect("the store has it");
    let ids: HashSet<_> = ids.try_collect().await.expect("the store lists its ids");
    assert!(live.iter().all(|id| ids.contains(id)), "a live session is missing");
    assert!(!gone.iter().any(|id| ids.contains(id)), "an id is listed whose session is gone");
}
