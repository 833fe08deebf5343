//! What the tests against Express share.

pub mod axum_app;
pub mod http;
pub mod http_client;
pub mod proxy;
pub mod scenarios;
pub mod servers;
pub mod shared_store;
pub mod shop_client;

use std::path::Path;
use std::sync::LazyLock;

use sessile_test_servers::Server;

/// A program of the folder `node`; see [`sessile_test_servers::node`].
pub fn node(script: &str, environment: &[(&str, &str)]) -> Option<Server> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
    sessile_test_servers::node(&folder.join(script), environment)
}

/// Whether Node.js and the packages are installed; found out once, before a server is started for them in
/// vain.
pub fn express_is_installed() -> bool {
    static INSTALLED: LazyLock<bool> = LazyLock::new(|| node("versions.js", &[]).is_some());
    *INSTALLED
}

/// The Express half of `examples/with_express` over these session files; see [`node`].
pub fn shop(secret: &str, sessions: &Path) -> Option<Server> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/with_express/express.js");
    let sessions = sessions.display().to_string();
    sessile_test_servers::node(&script, &[("SECRET", secret), ("SESSIONS", &sessions)])
}

/// Makes a test of each of these functions for each store; they take the [`Servers`](servers::Servers) over
/// it.
#[macro_export]
macro_rules! on_each_store {
    ($($check:ident)*) => {
        $crate::on_each_store! { @ files File; $($check)* }
        $crate::on_each_store! { @ redis Redis; $($check)* }
        $crate::on_each_store! { @ postgres Postgres; $($check)* }
        $crate::on_each_store! { @ mariadb MySql; $($check)* }
        $crate::on_each_store! { @ sqlite Sqlite; $($check)* }
    };
    (@ $store:ident $kind:ident; $($check:ident)*) => {
        mod $store {
            use $crate::servers::SharedServers;
            use $crate::shared_store::Kind;

            static SERVERS: SharedServers = SharedServers::new(Kind::$kind);
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $check() {
                    let Some(servers) = SERVERS.get() else { return };
                    super::$check(servers).await;
                }
            )*
        }
    };
}
