//! The lists of users' sessions, line by line.

use futures_util::future::BoxFuture;
use sessile::{MemoryStore, Moving, SessionStore, StoreError, UserIndex};

use super::drain;

fn stores() -> (MemoryStore, MemoryStore) {
    (MemoryStore::new(), MemoryStore::new())
}

async fn append(store: &impl SessionStore, line: &str) -> String {
    store.users().unwrap().append("u", line).await.unwrap()
}

async fn read(store: &impl SessionStore) -> String {
    store.users().unwrap().read("u").await.unwrap()
}

async fn replace(store: &impl SessionStore, expected: &str, text: &str) -> bool {
    store.users().unwrap().replace("u", expected, text).await.unwrap()
}

#[tokio::test]
async fn a_list_moves_whole_and_once() {
    let (old, new) = stores();
    append(&old, "[1]\n").await;
    let unaware = Moving::new(old.clone(), new.clone());
    assert_eq!(append(&unaware, "[2]\n").await, "[1]\n[2]\n");
    assert_eq!(read(&old).await, "[1]\n[2]\n", "an old process sees the line");
    let aware = Moving::new(old.clone(), new.clone());
    drain(&aware).await.unwrap();
    assert_eq!(append(&aware, "[3]\n").await, "[1]\n[2]\n[3]\n");
    assert_eq!(
        append(&unaware, "[4]\n").await,
        "[1]\n[2]\n[3]\n[4]\n",
        "a line that came too late is appended anew"
    );
    for moving in [&aware, &unaware, &Moving::new(old.clone(), new.clone())] {
        assert_eq!(read(moving).await, "[1]\n[2]\n[3]\n[4]\n");
    }
    assert!(read(&new).await.ends_with("[1]\n[2]\n[3]\n[4]\n"), "the new store alone has the lines");
    assert!(!replace(&unaware, "[1]\n[2]\n", "").await, "another text than the expected one stays");
    assert!(replace(&unaware, "[1]\n[2]\n[3]\n[4]\n", "[5]\n").await);
    assert_eq!(read(&aware).await, "[5]\n");
    // Emptied, it does not begin again with what the old store has.
    assert!(replace(&aware, "[5]\n", "").await);
    assert_eq!(read(&aware).await, "");
    assert_eq!(append(&unaware, "[6]\n").await, "[6]\n");
}

/// A copy that comes late, after the text was emptied.
#[tokio::test]
async fn a_line_of_a_process_that_knows_nothing_is_not_lost_before_the_move() {
    let (old, new) = stores();
    let moving = Moving::new(old.clone(), new.clone());
    append(&moving, "[1]\n").await;
    append(&old, "[2]\n").await;
    assert!(replace(&moving, "[1]\n[2]\n", "[3]\n").await);
    append(&old, "[4]\n").await;
    drain(&Moving::new(old, new.clone())).await.unwrap();
    assert_eq!(append(&moving, "[5]\n").await, "[3]\n[4]\n[5]\n");
}

/// The text is closed after a line was appended, and before the store answers.
#[tokio::test]
async fn a_line_before_the_closing_one_is_not_appended_again() {
    struct Late(MemoryStore);

    impl SessionStore for Late {
        sessile::forward_store!(self => self.0, except users);

        fn users(&self) -> Option<&dyn UserIndex> {
            Some(self)
        }
    }

    impl Late {
        fn index(&self) -> &dyn UserIndex {
            self.0.users().unwrap()
        }
    }

    impl UserIndex for Late {
        fn read<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
            self.index().read(user)
        }

        fn append<'a>(&'a self, user: &'a str, line: &'a str) -> BoxFuture<'a, Result<String, StoreError>> {
            Box::pin(async move {
                self.index().append(user, line).await?;
                self.index().append(user, "{\"moved\":true}\n").await
            })
        }

        fn replace<'a>(
            &'a self,
            user: &'a str,
            expected: &'a str,
            text: &'a str,
        ) -> BoxFuture<'a, Result<bool, StoreError>> {
            self.index().replace(user, expected, text)
        }
    }

    let (old, new) = stores();
    let moving = Moving::new(Late(old), new);
    assert_eq!(append(&moving, "[1]\n").await, "[1]\n");
    assert_eq!(read(&moving).await, "[1]\n");
}

/// A list goes back, also where the first move was given up half-way.
#[tokio::test]
async fn a_list_goes_back() {
    for crossed in [false, true] {
        let (old, new) = stores();
        append(&old, "[1]\n").await;
        let forth = Moving::new(old.clone(), new.clone());
        drain(&forth).await.unwrap();
        if crossed {
            append(&forth, "[2]\n").await;
        } else {
            // It was closed, and not copied.
            append(&old, "{\"moved\":true}\n").await;
        }
        let back = Moving::new(new.clone(), old.clone());
        drain(&back).await.unwrap();
        let whole = if crossed { "[1]\n[2]\n[3]\n" } else { "[1]\n[3]\n" };
        let text = append(&back, "[3]\n").await;
        let lines: String = text.split_inclusive('\n').filter(|line| line.starts_with('[')).collect();
        assert_eq!(lines, whole);
        let alone: String =
            read(&old).await.split_inclusive('\n').filter(|line| line.starts_with('[')).collect();
        assert_eq!(alone, whole, "the store alone has the lines");
    }
}
