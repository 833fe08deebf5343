//! What a browser demands of a cookie's attributes, checked before the first request.

use cookie::SameSite;

use crate::cookie::attributes::{Attributes, SameSitePolicy, Secure};
use crate::error::ConfigError;

/// Browsers ignore an attribute value over this many bytes (RFC 6265bis).
const MAX_ATTRIBUTE: usize = 1024;
const MAX_NAME: usize = 256;

pub(crate) fn validate(cookie: &Attributes, secure: Secure) -> Result<(), ConfigError> {
    name(&cookie.name)?;
    path(&cookie.path)?;
    cookie.domain.as_deref().map_or(Ok(()), domain)?;
    prefix(cookie, secure)?;
    let cross_site = matches!(cookie.same_site, SameSitePolicy::Fixed(SameSite::None) | SameSitePolicy::Auto);
    if secure == Secure::Never && cross_site {
        return Err(ConfigError::SameSite);
    }
    if secure == Secure::Never && cookie.partitioned {
        return Err(ConfigError::Partitioned);
    }
    Ok(())
}

fn name(name: &str) -> Result<(), ConfigError> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let legal = (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(token);
    legal.then_some(()).ok_or(ConfigError::Name)
}

fn path(path: &str) -> Result<(), ConfigError> {
    let legal = path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE
        && path.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';');
    legal.then_some(()).ok_or(ConfigError::Path)
}

fn domain(domain: &str) -> Result<(), ConfigError> {
    let host = domain.strip_prefix('.').unwrap_or(domain);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let legal = host.len() <= 253 && host.split('.').all(label);
    legal.then_some(()).ok_or(ConfigError::Domain)
}

/// The prefixes' rules. Browsers match them without regard to case, so a `__HOST-` name is held to them as well.
fn prefix(cookie: &Attributes, secure: Secure) -> Result<(), ConfigError> {
    const PREFIXES: [(&str, bool, bool); 4] = [
        // prefix, bound to the host, hidden from scripts
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
