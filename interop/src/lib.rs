//! What the tests against Express share.

pub mod axum_app;
pub mod http;
pub mod pair;
pub mod place;
pub mod scenarios;
pub mod visitor;

use std::path::Path;

use sessile_test_servers::Server;

/// A program of the folder `node`; see [`sessile_test_servers::node`].
pub fn node(script: &str, environment: &[(&str, &str)]) -> Option<Server> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    sessile_test_servers::node(&folder.join(script), environment)
}
