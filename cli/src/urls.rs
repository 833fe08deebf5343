//! What may be shown of a store's URL.

/// A URL without user, password and options, to be shown.
pub(crate) fn public_name(store: &str) -> String {
    let (scheme, path) = store.split_once(':').unwrap_or((store, ""));
    if matches!(scheme, "file" | "sqlite") {
        return format!("{scheme}:{}", path.split('?').next().unwrap_or_default());
    }
    match url::Url::parse(store) {
        Ok(url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{scheme}://{}{port}{}", url.host_str().unwrap_or_default(), url.path())
        }
        // What stands in it is not known, so none of it is shown.
        Err(_) => "the store".to_owned(),
    }
}

/// The text of an error without the passwords of this URL, in case a driver quotes it.
pub(crate) fn without_password(text: &str, store: &str) -> String {
    let after = store.split_once("://").map_or("", |(_, rest)| rest);
    let user = after.rsplit_once('@').map_or("", |(user, _)| user);
    let password = user.split_once(':').map_or("", |(_, password)| password);
    let options = store.split_once('?').map_or("", |(_, options)| options).split('&');
    let options = options.filter_map(|option| {
        let (name, value) = option.split_once('=')?;
        name.to_ascii_lowercase().contains("pass").then_some(value)
    });
    let mut text = text.to_owned();
    for password in options.chain([password]).filter(|password| !password.is_empty()) {
        text = text.replace(password, "***");
    }
    text
}
