//! Express' `cookie` object in a record, but for its two times.

use std::borrow::Cow;

use super::{EXPIRES, MAX_AGE, OBJECT, Record};
use crate::cookie::attributes::{Attributes, Secure, SentAttributes};
use crate::json::object::members;
use crate::json::text::{push_member, quote};

const BEFORE: &[u8] = b"{\"originalMaxAge\":";
const BETWEEN: &str = ",\"expires\":";

/// A cookie object with its two times left out: `originalMaxAge` comes after `before`, `expires` after `between`.
#[derive(Debug, Clone)]
pub(crate) struct CookieTemplate<'a> {
    pub(super) before: Cow<'a, [u8]>,
    pub(super) between: Cow<'a, [u8]>,
    pub(super) after: Cow<'a, [u8]>,
}

impl CookieTemplate<'_> {
    pub(super) fn borrowed(&self) -> CookieTemplate<'_> {
        let [before, between, after] =
            [&self.before, &self.between, &self.after].map(|part| Cow::Borrowed(&**part));
        CookieTemplate { before, between, after }
    }

    pub(super) fn len(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}

impl CookieTemplate<'static> {
    pub(super) fn express() -> Self {
        Self {
            before: BEFORE.into(),
            between: BETWEEN.as_bytes().into(),
            after: b",\"httpOnly\":true,\"path\":\"/\"}".into(),
        }
    }

    /// A cookie object that is not as Express writes it: the two come first, the rest stays as it is.
    pub(super) fn around(object: &str) -> Self {
        let mut after = String::new();
        for member in members(object).unwrap_or_default() {
            if !member.is(object, "originalMaxAge") && !member.is(object, "expires") {
                push_member(&mut after, member.key.of(object), member.value.of(object));
            }
        }
        after.push('}');
        Self { before: BEFORE.into(), between: BETWEEN.as_bytes().into(), after: after.into_bytes().into() }
    }

    /// What a record born under these attributes says, in Express' order; what Express leaves out is left out.
    pub(crate) fn new(cookie: &Attributes, option: Secure, sent: SentAttributes) -> Self {
        let mut between = String::new();
        if cookie.partitioned {
            between.push_str(",\"partitioned\":true");
        }
        if let Some(priority) = cookie.priority {
            between.push_str(&format!(",\"priority\":\"{}\"", priority.as_str().to_ascii_lowercase()));
        }
        between.push_str(BETWEEN);
        let mut after = String::new();
        if option != Secure::Never {
            after.push_str(&format!(",\"secure\":{}", sent.secure));
        }
        after.push_str(&format!(",\"httpOnly\":{}", cookie.http_only));
        // Domain and path were checked to be printable ASCII; a quote or a backslash is still to be escaped.
        if let Some(domain) = &cookie.domain {
            after.push_str(&format!(",\"domain\":{}", quote(domain)));
        }
        after.push_str(&format!(",\"path\":{}", quote(&cookie.path)));
        if let Some(same_site) = sent.same_site {
            after.push_str(&format!(",\"sameSite\":\"{}\"", same_site.to_string().to_ascii_lowercase()));
        }
        after.push('}');
        Self { before: BEFORE.into(), between: between.into_bytes().into(), after: after.into_bytes().into() }
    }
}

impl Record {
    /// The cookie object around its two times.
    pub(crate) fn cookie_template(&self) -> CookieTemplate<'_> {
        let [object, max_age, expires] = [OBJECT, MAX_AGE, EXPIRES].map(|at| self.0.span(at));
        // As Express writes it: both are there, in this order.
        if max_age.start() > 0 && max_age.end() <= expires.start() {
            let text = self.0.bytes();
            let part = |start, end| Cow::Borrowed(&text[start..end]);
            return CookieTemplate {
                before: part(object.start(), max_age.start()),
                between: part(max_age.end(), expires.start()),
                after: part(expires.end(), object.end()),
            };
        }
        CookieTemplate::around(self.0.part(object))
    }
}
