//! What may be shown of a store's URL.

/// A URL without user, password and options, to be shown.
pub(crate) fn public_name(store: &str) -> String {
    let (scheme, path) = store.split_once(':').unwrap_or((store, ""));
    if matches!(scheme, "file" | "sqlite") {
        return format!("{scheme}:{}", path.split('?').next().unwrap_or_default());
    }
    // A cluster and Sentinels have several hosts.
    let (before, hosts) = path.split_once("//").unwrap_or_default();
    let hosts = hosts.split(['?', '#']).next().unwrap_or_default();
    let hosts = hosts.rsplit_once('@').map_or(hosts, |(_, hosts)| hosts);
    if let Some((first, rest)) = hosts.split_once(',')
        && before.is_empty()
    {
        let (others, path) = rest.split_once('/').map_or((rest, ""), |(hosts, path)| (hosts, path));
        let hosts = std::iter::once(first).chain(others.split(','));
        let hosts: Option<Vec<_>> = hosts.map(|host| place(&format!("{scheme}://{host}"))).collect();
        let slash = if path.is_empty() { "" } else { "/" };
        return hosts.map_or_else(unknown, |hosts| format!("{scheme}://{}{slash}{path}", hosts.join(",")));
    }
    match url::Url::parse(store) {
        Ok(url) => format!("{scheme}://{}{}", host_and_port(&url), url.path()),
        Err(_) => unknown(),
    }
}

/// What stands in the URL is not known, so none of it is shown.
fn unknown() -> String {
    "the store".to_owned()
}

fn place(url: &str) -> Option<String> {
    url::Url::parse(url).ok().map(|url| host_and_port(&url))
}

fn host_and_port(url: &url::Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// The text of an error without the passwords of this URL, in case a driver quotes it.
pub(crate) fn without_password(text: &str, store: &str) -> String {
    let after = store.split_once("://").map_or("", |(_, rest)| rest);
    // An option may hold an `@`, and a password that is not encoded a question mark.
    let places = [after, after.split('?').next().unwrap_or_default()];
    let passwords = places.into_iter().filter_map(|place| Some(place.rsplit_once('@')?.0.split_once(':')?.1));
    let options = store.split_once('?').map_or("", |(_, options)| options).split('&');
    let options = options.filter_map(|option| {
        let (name, value) = option.split_once('=')?;
        name.to_ascii_lowercase().contains("pass").then_some(value)
    });
    let mut text = text.to_owned();
    for password in options.chain(passwords).filter(|password| !password.is_empty()) {
        text = text.replace(password, "***");
    }
    text
}
