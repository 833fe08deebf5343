//! The options of device-bound sessions: a warning at start, and a file.

use std::time::Duration;

use sessile::dbsc::{Dbsc, Missing};
use sessile::{ConfigError, SessionConfig, SessionOptions};

use crate::common::SECRET;
use crate::common::logs::Logs;

/// Chromium begins a refresh up to two minutes before the end of the bound cookie.
#[test]
fn a_bound_for_under_two_minutes_is_warned_about() {
    for (seconds, warnings) in [(119, 1), (1, 1), (120, 0), (600, 0)] {
        let logs = Logs::capture();
        let dbsc = Dbsc::new("/auth/dbsc").bound_for(Duration::from_secs(seconds));
        SessionConfig::hardened(SECRET).dbsc(dbsc).build().unwrap();
        assert_eq!(logs.warnings().len(), warnings, "{}", logs.text());
        let says = format!("seconds={seconds}");
        assert!(warnings == 0 || logs.warnings()[0].contains(&says), "{}", logs.text());
    }
}

#[test]
fn a_file_binds_sessions_to_devices() {
    let options = |json: &str| serde_json::from_str::<SessionOptions>(json);
    let file = options(
        r#"{"secret": "a secret of 32 bytes or more for tests", "dbsc": {
            "path": "/auth/dbsc", "boundFor": 300, "exclude": ["/static"], "whenMissing": "reject"
        }}"#,
    );
    let file = file.unwrap();
    let expected = Dbsc::new("/auth/dbsc").bound_for(Duration::from_secs(300)).exclude("/static");
    let expected = expected.when_missing(Missing::Reject);
    assert_eq!(format!("{:?}", file.dbsc), format!("{:?}", Some(expected)));
    // The endpoints are there, which without the option they are not.
    assert!(SessionConfig::from_options(file).unwrap().dbsc_routes::<()>().has_routes());

    let least = options(r#"{"secret": "s", "dbsc": {"path": "/auth/dbsc"}}"#).unwrap();
    assert_eq!(format!("{:?}", least.dbsc), format!("{:?}", Some(Dbsc::new("/auth/dbsc"))));
    let bad = options(r#"{"secret": "s", "dbsc": {"path": "/a b"}}"#).unwrap();
    assert_eq!(SessionConfig::from_options(bad).unwrap_err(), ConfigError::DbscPath);
    for bad in [
        r#"{"dbsc": {}}"#,
        r#"{"dbsc": "/auth/dbsc"}"#,
        r#"{"dbsc": {"path": "/a", "bound_for": 1}}"#,
        r#"{"dbsc": {"path": "/a", "whenMissing": "ignore"}}"#,
    ] {
        assert!(options(bad).is_err(), "{bad}");
    }
}
