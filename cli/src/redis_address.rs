//! Where a Redis store is, as its URL says: one server, a cluster, or what Sentinels watch over.

use anyhow::bail;

/// The port of Sentinels that name none.
const SENTINEL_PORT: u16 = 26379;

/// The addresses of a Redis store, as the driver reads them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RedisAddress {
    Single(String),
    /// Some nodes of a cluster.
    Cluster(Vec<String>),
    /// The Sentinels, and the servers that they watch over, with the name of the primary as the host.
    Sentinel {
        sentinels: Vec<String>,
        primary: String,
    },
}

impl RedisAddress {
    /// Reads a URL. `None`: it names another kind of store.
    ///
    /// # Errors
    /// Where something is missing. No error quotes the URL.
    pub(crate) fn of(url: &str) -> anyhow::Result<Option<Self>> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let scheme = scheme.to_ascii_lowercase();
        let (tls, kind) = match scheme.as_str() {
            "redis" | "rediss" | "redis+unix" | "unix" => return Ok(Some(Self::Single(url.to_owned()))),
            "redis+cluster" | "redis+sentinel" => ("redis", &scheme["redis+".len()..]),
            "rediss+cluster" | "rediss+sentinel" => ("rediss", &scheme["rediss+".len()..]),
            _ => return Ok(None),
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, place) = place.rsplit_once('@').map_or(("", place), |(user, place)| (user, place));
        let user = if user.is_empty() { String::new() } else { format!("{user}@") };
        let (hosts, path) = place.split_once('/').unwrap_or((place, ""));
        let hosts: Vec<_> = hosts.split(',').map(str::trim).collect();
        if hosts.iter().any(|host| host.is_empty()) {
            bail!("a host is missing: {tls}+{kind}://HOST:PORT,HOST:PORT");
        }
        if kind == "cluster" {
            if !path.trim_matches('/').is_empty() {
                bail!("a cluster has no databases: {tls}+cluster://HOST:PORT,HOST:PORT");
            }
            let nodes = hosts.iter().map(|host| format!("{tls}://{user}{host}{}", with_options(options)));
            return Ok(Some(Self::Cluster(nodes.collect())));
        }
        let (name, database) = path.split_once('/').unwrap_or((path, ""));
        if name.is_empty() {
            bail!("the name of the primary is missing: {tls}+sentinel://HOST:PORT,HOST:PORT/NAME");
        }
        let mut of_servers = Vec::new();
        let (mut sentinel_user, mut sentinel_password, mut sentinel_scheme) = ("", "", tls);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sentinel_username", value)) => sentinel_user = value,
                Some(("sentinel_password", value)) => sentinel_password = value,
                Some(("sentinel_tls", "no")) => sentinel_scheme = "redis",
                _ => of_servers.push(option),
            }
        }
        let sentinel_user = match (sentinel_user, sentinel_password) {
            ("", "") => String::new(),
            (user, password) => format!("{}:{}@", in_user(user), in_user(password)),
        };
        let sentinel = |host: &&str| {
            let port = if has_port(host) { String::new() } else { format!(":{SENTINEL_PORT}") };
            format!("{sentinel_scheme}://{sentinel_user}{host}{port}")
        };
        Ok(Some(Self::Sentinel {
            sentinels: hosts.iter().map(sentinel).collect(),
            primary: format!("{tls}://{user}{name}/{database}{}", with_options(&of_servers.join("&"))),
        }))
    }
}

fn with_options(options: &str) -> String {
    if options.is_empty() { String::new() } else { format!("?{options}") }
}

/// An option's value in front of a host, where fewer characters stand for themselves. Those that are encoded
/// already stay as they are.
fn in_user(value: &str) -> String {
    [("/", "%2F"), ("?", "%3F"), ("#", "%23"), ("@", "%40"), (":", "%3A")]
        .iter()
        .fold(value.to_owned(), |value, (plain, encoded)| value.replace(plain, encoded))
}

/// An IPv6 address stands in brackets.
fn has_port(host: &str) -> bool {
    host.rsplit(']').next().is_some_and(|after| after.contains(':'))
}
