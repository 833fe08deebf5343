//! Whether two JSON values are equal, without rounding a number.

use crate::json::object::{list, members};
use crate::json::text::text;

/// How many levels of nesting are compared. Deeper values count as different unless their text is the same.
const MAX_DEPTH: usize = 32;

/// Whether two raw values are equal: the same text, or texts of the same length that differ only in the order
/// of an object's keys, which is another one in each hash map. Everything else is compared as text, so no
/// number is rounded.
pub(crate) fn same_value(one: &[u8], other: &str) -> bool {
    one == other.as_bytes() || one.len() == other.len() && same_within(text(one), other, MAX_DEPTH)
}

/// The same, down to `depth` levels of nesting.
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
