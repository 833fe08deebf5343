//! What browsers demand of a cookie's name and attributes, checked when a configuration is built.
//!
//! Sections are those of [RFC 6265bis](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis);
//! the prefixes `__Http-` and `__Host-Http-` are in its successor, [Layered
//! Cookies](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-layered-cookies).

use cookie::SameSite;

use crate::cookie::attributes::{Attributes, SameSitePolicy, Secure};
use crate::cookie::signature::MAX_DECODED;
use crate::error::config::ConfigError;

/// The longest attribute value in bytes. Browsers ignore longer ones (RFC 6265bis, section 5.6).
const MAX_ATTRIBUTE: usize = 1024;

/// The longest name in bytes: our own limit, which leaves room for every value.
const MAX_NAME: usize = 256;
// Browsers ignore a cookie whose name and value are over 4,096 bytes together (RFC 6265bis, section 5.6).
const _: () = assert!(MAX_NAME + 3 * MAX_DECODED <= 4096);

/// Refuses a cookie that browsers would ignore, or would read as another one.
///
/// # Errors
/// A [`ConfigError`] that names the option to change.
pub(crate) fn validate(cookie: &Attributes, secure: Secure) -> Result<(), ConfigError> {
    name(&cookie.name)?;
    path(&cookie.path)?;
    cookie.domain.as_deref().map_or(Ok(()), domain)?;
    prefix(cookie, secure)?;
    // Browsers ignore `SameSite=None` without `Secure` (RFC 6265bis, section 5.7).
    let cross_site = matches!(cookie.same_site, SameSitePolicy::Fixed(SameSite::None) | SameSitePolicy::Auto);
    if secure == Secure::Never && cross_site {
        return Err(ConfigError::SameSite);
    }
    // Browsers ignore `Partitioned` without `Secure` (CHIPS, draft-cutler-httpbis-partitioned-cookies).
    if secure == Secure::Never && cookie.partitioned {
        return Err(ConfigError::Partitioned);
    }
    Ok(())
}

/// A name is a token (RFC 6265bis, section 4.1.1).
fn name(name: &str) -> Result<(), ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let legal = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(token);
    legal.then_some(()).ok_or(ConfigError::Name)
}

/// A path is printable ASCII without a semicolon (RFC 6265bis, section 4.1.1), and begins with a slash:
/// otherwise browsers put the path of the request in its place (section 5.6.4).
fn path(path: &str) -> Result<(), ConfigError> {
    let legal = path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE
        && path.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';');
    legal.then_some(()).ok_or(ConfigError::Path)
}

/// A domain is a host name in ASCII: at most 253 bytes, in labels of at most 63 bytes (RFC 1035, section
/// 2.3.4). Browsers ignore a leading dot (RFC 6265bis, section 5.6.3).
fn domain(domain: &str) -> Result<(), ConfigError> {
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let legal = host.len() <= 253 && host.split('.').all(label);
    legal.then_some(()).ok_or(ConfigError::Domain)
}

/// The rules for names with a prefix (RFC 6265bis, section 4.1.3). Browsers ignore case in a prefix (section
/// 5.4), so the rules hold for a `__HOST-` name as well.
fn prefix(cookie: &Attributes, secure: Secure) -> Result<(), ConfigError> {
    const PREFIXES: [(&str, bool, bool); 4] = [
        // The prefix; whether the cookie is for one host only; whether it is hidden from scripts. Of two
        // prefixes that fit, the longer one comes first.
        ("__Host-Http-", true, true),
        ("__Host-", true, false),
        ("__Http-", false, true),
        ("__Secure-", false, false),
    ];
    let starts = |prefix: &str| {
        cookie
            .name
            .as_bytes()
            .get(..prefix.len())
            .is_some_and(|name| name.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let Some(&(prefix, host, http)) = PREFIXES.iter().find(|(prefix, ..)| starts(prefix)) else {
        return Ok(());
    };
    let needs = if secure == Secure::Never {
        "`secure`"
    } else if host && cookie.domain.is_some() {
        "no `domain`"
    } else if host && cookie.path != "/" {
        "`path(\"/\")`"
    } else if http && !cookie.http_only {
        "`http_only`"
    } else {
        return Ok(());
    };
    Err(ConfigError::Prefix { prefix, needs })
}
