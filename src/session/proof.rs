//! [`Proof`]: what a request to a bound session brought to prove that it comes from the device.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;

use crate::config::ConfigInner;
use crate::config::dbsc::{Devices, Missing};
use crate::cookie::header::cookie_values;
use crate::cookie::stamp::Purpose;
use crate::record::metadata::{Device, to_millis};

/// How far the clocks of browser and server, and the way between them, may make a bound cookie come late.
const LEEWAY: Duration = Duration::from_secs(30);
/// For how long after a registration requests count as those of a browser that is about to register: they
/// were on their way before the browser had the answer.
const REGISTERING: Duration = Duration::from_secs(10);

/// What a request to a bound session brought of the device.
#[derive(Debug)]
pub(crate) enum Proof {
    /// The time of the proof in the bound cookie, in milliseconds since 1970.
    Proven(u64),
    Missing {
        skipped: Option<String>,
        what: Missing,
    },
    /// The request was on its way when the device was registered.
    Registering,
}

impl Proof {
    /// Reads the proof of the device with this binding from the request's headers.
    pub(crate) fn read(
        config: &ConfigInner,
        options: &Devices,
        device: &Device,
        headers: &HeaderMap,
    ) -> Self {
        let now = config.clock.now();
        let keys = config.keys();
        let stamps = cookie_values(headers, &options.name);
        let mut times = stamps.filter_map(|value| Purpose::Cookie.read(&keys.derived, &device.id, value));
        if let Some(proven) = times.find(|&proven| is_fresh(proven, options.bound_for, now)) {
            return Self::Proven(proven);
        }
        let skipped = skipped(headers, &device.id);
        if skipped.is_none() && is_within(device.at, REGISTERING, now) {
            return Self::Registering;
        }
        Self::Missing { skipped, what: options.missing }
    }
}

/// Whether a proof of this time is still good.
fn is_fresh(proven: u64, bound_for: Duration, now: SystemTime) -> bool {
    is_within(proven, bound_for + LEEWAY, now)
}

/// Whether a time is at most this long ago. A time that is in the future by more than clocks differ is not.
pub(crate) fn is_within(time: u64, duration: Duration, now: SystemTime) -> bool {
    let (now, duration) = (to_millis(now), duration.as_millis());
    match now.checked_sub(time) {
        Some(ago) => u128::from(ago) <= duration,
        None => u128::from(time - now) <= LEEWAY.as_millis(),
    }
}

/// Why the browser says that it could not refresh the proof of this binding: the header
/// `Secure-Session-Skipped`, a list such as `quota_exceeded;session_identifier="…"`.
fn skipped(headers: &HeaderMap, binding: &str) -> Option<String> {
    let lines = headers.get_all("secure-session-skipped").into_iter();
    let mut members = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    members.find_map(|member| {
        let mut parts = member.split(';').map(str::trim);
        let reason = parts.next()?;
        let is_ours = parts.filter_map(|part| part.strip_prefix("session_identifier="));
        let is_ours = is_ours.map(|id| id.trim_matches('"')).any(|id| id == binding);
        let is_token = (1..=64).contains(&reason.len())
            && reason.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (is_ours && is_token).then(|| reason.to_owned())
    })
}
