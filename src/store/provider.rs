//! Which provider of cryptography rustls uses.

use rustls::crypto::{CryptoProvider, ring};

/// Installs a provider for the process, if there is none.
///
/// The drivers ask rustls for the one of the process. Where several are compiled in, because another crate of
/// the program wants another one, and none is installed, rustls panics.
pub(super) fn ensure() {
    if CryptoProvider::get_default().is_none() {
        // This fails if another thread has installed one in the meantime.
        let _ = ring::default_provider().install_default();
    }
}
