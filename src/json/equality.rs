//! Whether two JSON texts say the same, without rounding a number.

use crate::json::object::{list, members};
use crate::json::text::text;

/// Whether two raw values are the same: the same text, or objects and arrays of one length that differ only in the
/// order a hash map gave their keys. Numbers are compared as text, so none is rounded.
pub(crate) fn same_value(one: &[u8], other: &str) -> bool {
    one == other.as_bytes() || one.len() == other.len() && same_within(text(one), other, 32)
}

fn same_within(one: &str, other: &str, depth: usize) -> bool {
    if one == other {
        return true;
    }
    if one.len() != other.len() || depth == 0 {
        return false;
    }
    if one.starts_with('[') && other.starts_with('[') {
        let (Ok(a), Ok(b)) = (list(one), list(other)) else { return false };
        return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same_within(a, b, depth - 1));
    }
    if !one.starts_with('{') {
        return false;
    }
    let sorted = |text| {
        let mut members = members(text).ok()?;
        members.sort_unstable_by_key(|member| member.key.of(text));
        Some(members)
    };
    let (Some(a), Some(b)) = (sorted(one), sorted(other)) else { return false };
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| {
            a.key.of(one) == b.key.of(other) && same_within(a.value.of(one), b.value.of(other), depth - 1)
        })
}
