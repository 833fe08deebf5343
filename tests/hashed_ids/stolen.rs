//! What a store shows that sees hashes.

use sessile::testing::Visitor;
use sessile::{Ended, Origin, SessionId, SessionStore};

use crate::{HOUR, Shared, at, log_in, origin};

fn is_hash(id: &SessionId) -> bool {
    id.as_str().strip_prefix("sha256-").is_some_and(|hash| {
        hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// Whoever reads the store, or a backup, and even has the secret, has no cookie.
#[tokio::test]
async fn a_stolen_store_gives_no_cookie() {
    let shared = Shared::new();
    for config in [shared.hashed(), shared.moving(HOUR)] {
        shared.store.clear();
        let visitor = log_in(&config, "ada").await;
        let stolen = shared.store.all_ids();
        assert_eq!(stolen.len(), 1);
        for id in &stolen {
            assert!(is_hash(id) && Some(id) != visitor.id().as_ref());
            assert_eq!(origin(&Visitor::with_id(&config, id)).await, Origin::Unknown);
        }
        // Nor has the record been changed, or another one made.
        assert_eq!(origin(&visitor).await, Origin::Loaded);
        assert_eq!(shared.store.all_ids(), stolen);
    }
}

/// The hash is the one that other programs compute: SHA-256 of the id's bytes.
#[tokio::test]
async fn the_key_is_the_sha_256_of_the_id() {
    let shared = Shared::new();
    let id = SessionId::new("abc").unwrap();
    let genid = {
        let id = id.clone();
        move || id.clone()
    };
    let config = shared.builder().hash_ids(sessile::HashIds::On).genid(genid).build().unwrap();
    let visitor = log_in(&config, "ada").await;
    assert_eq!(visitor.id().unwrap(), id, "the cookie has the id");
    // FIPS 180-2, appendix B.1.
    let expected = "sha256-ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(shared.store.all_ids()[0].as_str(), expected);
}

/// Nothing in a whole store's folder, file names and users' lists included, contains an id.
#[cfg(feature = "file")]
#[tokio::test]
async fn no_file_of_a_store_contains_an_id() {
    use sessile::{FileStore, HashIds, SessionConfig};

    fn dump(folder: &std::path::Path, into: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            into.extend(entry.file_name().as_encoded_bytes());
            match entry.file_type().unwrap().is_dir() {
                true => dump(&entry.path(), into),
                false => into.extend(std::fs::read(entry.path()).unwrap()),
            }
        }
    }

    for hashed in [false, true] {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = FileStore::new(folder.path().join("sessions")).unwrap();
        let builder = SessionConfig::builder(crate::SECRET).store(store);
        let builder = if hashed { builder.hash_ids(HashIds::On) } else { builder };
        let config = builder.build().unwrap();
        let mut visitor = log_in(&config, "ada").await;
        let before = visitor.id().unwrap();
        let session = visitor.open().await.unwrap();
        session.cycle_id();
        visitor.commit(&session).await.unwrap();
        let mut dumped = Vec::new();
        dump(folder.path(), &mut dumped);
        let current = visitor.id().unwrap();
        let contains = |id: &SessionId| dumped.windows(36).any(|window| window == id.as_str().as_bytes());
        assert_eq!((contains(&before), contains(&current)), (!hashed, !hashed));
    }
}

/// What an administrator does with the ids that the store tells: each session that is destroyed is over.
#[tokio::test]
async fn ids_that_the_store_tells_end_sessions() {
    let shared = Shared::new();
    let config = shared.hashed();
    let visitors = [log_in(&config, "ada").await, log_in(&config, "ada").await];
    for id in shared.store.all_ids() {
        shared.store.destroy(&id).await.unwrap();
    }
    for visitor in &visitors {
        assert_eq!(origin(visitor).await, Origin::Unknown);
    }
    assert_eq!(config.sessions_of("ada").count().await.unwrap(), 0);
}

/// Lists, handles and ends speak of the same sessions, also where another process asks.
#[tokio::test]
async fn lists_and_handles_agree_with_sessions() {
    let shared = Shared::new();
    let (config, other) = (shared.hashed(), shared.hashed());
    let (visitor, stays) = (log_in(&config, "ada").await, log_in(&config, "ada").await);
    let session = visitor.open().await.unwrap();
    let listed = other.sessions_of("ada").list().await.unwrap();
    let own: Vec<_> = listed.iter().filter(|one| one.is(&session)).collect();
    assert_eq!((listed.len(), own.len()), (2, 1));
    assert_eq!(own[0].handle(), session.handle());
    assert!(other.sessions_of("ada").end(&session.handle()).await.unwrap());
    assert_eq!((origin(&visitor).await, origin(&stays).await), (Origin::Unknown, Origin::Loaded));
    let kept = at(&other, &stays).open().await.unwrap();
    let more = log_in(&config, "ada").await;
    assert_eq!(other.sessions_of("ada").end_others(&kept).await.unwrap(), 1);
    assert_eq!((origin(&more).await, origin(&stays).await), (Origin::Unknown, Origin::Loaded));
}

/// Those who wait for a session's end are told of it, whoever ends it.
#[tokio::test]
async fn an_end_is_told() {
    let shared = Shared::new();
    let config = shared.hashed();
    let logged_out = log_in(&config, "ada").await;
    let session = logged_out.open().await.unwrap();
    let ended = tokio::spawn(session.ended());
    session.destroy();
    drop(session.commit().await.unwrap());
    assert_eq!(ended.await.unwrap(), Ended::Destroyed);

    let moved = log_in(&config, "ada").await.open().await.unwrap();
    let ended = tokio::spawn(moved.ended());
    moved.cycle_id();
    drop(moved.commit().await.unwrap());
    assert_eq!(ended.await.unwrap(), Ended::Moved);

    let listed = log_in(&config, "ada").await.open().await.unwrap();
    let ended = tokio::spawn(listed.ended());
    config.sessions_of("ada").end(&listed.handle()).await.unwrap();
    assert_eq!(ended.await.unwrap(), Ended::Destroyed);

    let new = Visitor::new(&config).open().await.unwrap();
    let ended = tokio::spawn(new.ended());
    new.insert("n", 1).unwrap();
    drop(new.commit().await.unwrap());
    new.destroy();
    drop(new.commit().await.unwrap());
    assert_eq!(ended.await.unwrap(), Ended::Destroyed);
}
