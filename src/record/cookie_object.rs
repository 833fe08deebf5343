//! The `cookie` object that express-session keeps in a record, without its two times.

use std::borrow::Cow;

use super::{EXPIRES, MAX_AGE, OBJECT, Record};
use crate::cookie::attributes::{Attributes, Secure, SentAttributes};
use crate::json::object::members;
use crate::json::text::{push_member, quote};

// What express-session writes before the max-age, and between it and the expiry.
const BEFORE: &[u8] = b"{\"originalMaxAge\":";
const BETWEEN: &str = ",\"expires\":";

/// A `cookie` object without its two times, which each write fills in.
#[derive(Debug, Clone)]
pub(crate) struct CookieTemplate<'a> {
    // The object is `before`, the value of `originalMaxAge`, `between`, the value of `expires`, `after`.
    pub(super) before: Cow<'a, [u8]>,
    pub(super) between: Cow<'a, [u8]>,
    pub(super) after: Cow<'a, [u8]>,
}

impl CookieTemplate<'_> {
    /// The same template, borrowing its parts from this one.
    pub(super) fn borrowed(&self) -> CookieTemplate<'_> {
        let [before, between, after] =
            [&self.before, &self.between, &self.after].map(|part| Cow::Borrowed(&**part));
        CookieTemplate { before, between, after }
    }

    /// The length of the object without its two times, in bytes.
    pub(super) fn len(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }
}

impl CookieTemplate<'static> {
    /// The object that express-session writes under its default options.
    pub(super) fn express() -> Self {
        Self {
            before: BEFORE.into(),
            between: BETWEEN.as_bytes().into(),
            after: b",\"httpOnly\":true,\"path\":\"/\"}".into(),
        }
    }

    /// The template for an object whose members are not in express-session's order: its times move to the
    /// front, and its other members stay as they are.
    pub(super) fn around(object: &str) -> Self {
        // Invariant: a record's `cookie` object is a JSON object, which reading the record has checked.
        let members = members(object);
        debug_assert!(members.is_ok(), "a record's `cookie` object cannot be read");
        let mut after = String::new();
        for member in members.unwrap_or_default() {
            if !member.is(object, "originalMaxAge") && !member.is(object, "expires") {
                push_member(&mut after, member.key.of(object), member.value.of(object));
            }
        }
        after.push('}');
        Self { before: BEFORE.into(), between: BETWEEN.as_bytes().into(), after: after.into_bytes().into() }
    }

    /// The template for new records under these attributes: the members that express-session 1.19 writes, in
    /// its order.
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
        // Domain and path are quoted because a path may contain a quote or a backslash.
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
    /// This record's `cookie` object without its two times.
    pub(crate) fn cookie_template(&self) -> CookieTemplate<'_> {
        let [object, max_age, expires] = [OBJECT, MAX_AGE, EXPIRES].map(|at| self.0.span(at));
        // The object has both times, in express-session's order. A missing one has the span `0..0`.
        if max_age.start() > 0 && max_age.end() <= expires.start() {
            let text = self.0.bytes();
            let part = |start, end| Cow::Borrowed(&text[start..end]);
            return CookieTemplate {
                before: part(object.start(), max_age.start()),
                between: part(max_age.end(), expires.start()),
                after: part(expires.end(), object.end()),
            };
        }
        CookieTemplate::around(self.0.str_at(object))
    }
}
