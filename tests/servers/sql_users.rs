//! What the SQL stores note of each user's sessions, in a table beside that of the sessions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sessile::{Record, SessionId, SessionStore, StoreError};

const MINUTE: Duration = Duration::from_secs(60);
const USER: &str = "User-1_.z";

fn chain(error: &StoreError) -> String {
    let errors = std::iter::successors(Some(error as &dyn std::error::Error), |&error| error.source());
    errors.map(|error| format!("{error}; ")).collect()
}

/// Without the table of the users, as in a database that an earlier version has set up, the sessions work,
/// and a call about a user says what to do. `table` is the name that the error says.
pub(crate) async fn says_what_is_missing(store: &impl SessionStore, table: &str) {
    let id = SessionId::random();
    store.check().await.unwrap();
    store.set(&id, &Record::default(), MINUTE).await.unwrap();
    assert!(store.get(&id).await.unwrap().is_some());
    assert!(store.get_many(std::slice::from_ref(&id)).await.unwrap()[0].is_some());
    store.destroy(&id).await.unwrap();
    let index = store.users().unwrap();
    for error in [
        index.read(USER).await.map(drop).unwrap_err(),
        index.append(USER, "{}\n").await.map(drop).unwrap_err(),
        index.replace(USER, "", "{}\n").await.map(drop).unwrap_err(),
        index.replace(USER, "{}\n", "[]\n").await.map(drop).unwrap_err(),
        index.replace(USER, "{}\n", "").await.map(drop).unwrap_err(),
        index.replace(USER, "", "").await.map(drop).unwrap_err(),
    ] {
        let says = chain(&error);
        assert!(error.is_unavailable() && says.contains(table) && says.contains("migrate()"), "{says}");
    }
}

/// The migration adds the table of the users to one of the sessions, and changes neither when it is repeated.
pub(crate) async fn is_there_after_the_migration(store: &impl SessionStore, migrate: impl AsyncFn()) {
    let id = SessionId::random();
    store.set(&id, &Record::default(), MINUTE).await.unwrap();
    migrate().await;
    let index = store.users().unwrap();
    index.append(USER, "{}\n").await.unwrap();
    migrate().await;
    assert_eq!(index.read(USER).await.unwrap(), "{}\n");
    assert!(store.get(&id).await.unwrap().is_some());
    assert!(index.replace(USER, "{}\n", "").await.unwrap());
}

/// Two stores, each on a pool of its own, append to one text and compact it: nothing that was appended is
/// lost, and every answer has the line, although another task may have removed it by then.
pub(crate) async fn two_stores_share_a_text<S: SessionStore>(one: S, other: S) {
    const LINES: usize = 40;
    let stores = [Arc::new(one), Arc::new(other)];
    stores[0].users().unwrap().replace(USER, "", "{}\n").await.unwrap();
    let start = Arc::new(tokio::sync::Barrier::new(8));
    let writers = (0..8).map(|writer| {
        let (store, start) = (Arc::clone(&stores[writer % 2]), Arc::clone(&start));
        tokio::spawn(async move {
            let index = store.users().unwrap();
            start.wait().await;
            let mut taken = 0;
            for at in 0..LINES {
                let line = format!("[{writer},{at}]\n");
                let text = index.append(USER, &line).await.unwrap();
                assert!(text.ends_with(&line), "the answer has the line that was appended");
                // Whoever removes the text takes the lines that were in it.
                if index.replace(USER, &text, "").await.unwrap() {
                    taken += text.lines().filter(|line| line.starts_with('[')).count();
                }
            }
            taken
        })
    });
    let mut taken = 0;
    for writer in writers.collect::<Vec<_>>() {
        taken += writer.await.unwrap();
    }
    let index = stores[1].users().unwrap();
    let rest = index.read(USER).await.unwrap();
    taken += rest.lines().filter(|line| line.starts_with('[')).count();
    assert_eq!(taken, 8 * LINES, "each line was taken once");
    index.replace(USER, &rest, "").await.unwrap();
}

/// Of many ids, in more than one statement where the database limits them, each gets its own record.
pub(crate) async fn each_of_many_is_found(store: &impl SessionStore) {
    let of = |n: usize| Record::from_json(format!(r#"{{"cookie":{{}},"n":{n}}}"#)).unwrap();
    // Ids that need an escape, that a column cannot hold, or that differ by case alone.
    let odd = ["it's", "\"", "\\", "{a,b}", "a", "A", "é", "=a", "%", "a ", " a", "🦀"];
    let odd = odd.into_iter().map(str::to_owned).chain(["x".repeat(256), "X".repeat(256)]);
    let odd = odd.map(|id| SessionId::new(id).unwrap());
    let ids: Vec<_> = odd.chain((0..1200).map(|_| SessionId::random())).collect();
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 7 != 6 && (*n < 20 || n % 5 == 0)) {
        store.set(id, &of(n), MINUTE).await.unwrap();
    }
    let found = store.get_many(&ids).await.unwrap();
    for (n, (id, found)) in ids.iter().zip(&found).enumerate() {
        let expected = (n % 7 != 6 && (n < 20 || n % 5 == 0)).then(|| of(n));
        let (found, expected) = (found.as_ref().map(|stored| &stored.record), expected.as_ref());
        assert_eq!(found.map(Record::as_json), expected.map(Record::as_json), "{n}: {:?}", id.as_str());
    }
    for id in &ids[..14] {
        store.destroy(id).await.unwrap();
    }
}

/// Tells how long it takes to list 10,000 sessions of one user: to read the text, and the records.
pub(crate) async fn time_of_a_list(name: &str, store: &impl SessionStore) {
    let index = store.users().unwrap();
    let ids: Vec<_> = (0..10_000).map(|_| SessionId::random()).collect();
    let record = Record::from_json(format!(r#"{{"cookie":{{}},"pad":"{}"}}"#, "x".repeat(380))).unwrap();
    for ids in ids.chunks(100) {
        futures_util::future::join_all(ids.iter().map(async |id| {
            store.set(id, &record, Duration::from_secs(600)).await.unwrap();
        }))
        .await;
    }
    let pad = "x".repeat(50);
    let text: String =
        ids.iter().map(|id| format!("{{\"login\":\"{}\",\"at\":\"{pad}\"}}\n", id.as_str())).collect();
    let before = index.read(USER).await.unwrap();
    assert!(index.replace(USER, &before, &text).await.unwrap());
    let mut times = Vec::new();
    for _ in 0..11 {
        let start = Instant::now();
        assert_eq!(index.read(USER).await.unwrap().len(), text.len());
        let read = start.elapsed();
        let found = store.get_many(&ids).await.unwrap();
        times.push((start.elapsed(), read));
        assert!(found.len() == 10_000 && found.iter().all(Option::is_some));
    }
    times.sort();
    println!("{name}: {:?} of which the text {:?}; slowest {:?}", times[5].0, times[5].1, times[10].0);
    index.replace(USER, &text, "").await.unwrap();
}
