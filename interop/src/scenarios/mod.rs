//! What holds for every store, in both directions: `here` acts first, `there` is the other side.

mod data;
mod identity;
mod lifetime;
mod secrets;

pub use data::*;
pub use identity::*;
pub use lifetime::*;
pub use secrets::*;

/// Makes two tests of each scenario, one for each side that begins. `$shared` is a
/// [`SharedServers`](crate::servers::SharedServers).
#[macro_export]
macro_rules! shared_sessions {
    ($shared:expr) => {
        $crate::shared_sessions! { @ $shared;
            a_login_is_shared
            a_passport_login_is_shared
            a_logout_is_final
            a_logout_beats_a_slow_request
            a_regenerated_session_is_seen
            a_cycled_id_is_seen
            data_goes_to_and_fro
            a_flash_message_is_drained_once
            a_max_age_is_honoured
            a_browser_session_is_honoured
            an_expired_session_is_gone
            a_touch_extends_the_life
            secrets_rotate
        }
    };
    (@ $shared:expr; $($scenario:ident)*) => {$(
        mod $scenario {
            #[allow(unused_imports)]
            use super::*;
            use $crate::servers::Side;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn express_first() {
                let Some(servers) = $shared.get() else { return };
                $crate::scenarios::$scenario(&servers, Side::Express, Side::Axum).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn axum_first() {
                let Some(servers) = $shared.get() else { return };
                $crate::scenarios::$scenario(&servers, Side::Axum, Side::Express).await;
            }
        }
    )*};
}
