//! What a client is told of the rate that its request was charged to:
//! draft-ietf-httpapi-ratelimit-headers-10, and `Retry-After` (RFC 9110, section 10.2.3).

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::Denial;
use crate::gate::Quota;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds the fields to an answer's head. Both are lists: what the upstream says of limits of its own
/// stays beside them.
pub(super) fn tell(headers: &mut HeaderMap, quota: Option<&Quota>) {
    let Some(quota) = quota else { return };
    let policy = format!("\"keygate\";q={};w={}", quota.rate.requests, seconds(quota.rate.per));
    let limit = format!("\"keygate\";r={};t={}", quota.remaining, seconds(quota.reset));
    for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.append(name, value);
        }
    }
}

/// Says in a refusal when to come back.
pub(super) fn tell_when(headers: &mut HeaderMap, denial: Denial, quota: Option<&Quota>) {
    if let Some(quota) = quota.filter(|_| denial == Denial::RateLimited) {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(quota.retry).max(1)));
    }
}

/// Whole seconds are all that the fields can say. Rounded up: who waits as long is let in, and who
/// sends no more than is promised for a time is never refused.
fn seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::LimitBy;
    use crate::gate::Rate;

    fn quota(remaining: u32, reset: u64, retry: u64) -> Quota {
        let rate = Rate { requests: 100, per: Duration::from_millis(250), by: LimitBy::Account };
        let milliseconds = Duration::from_millis;
        Quota { rate, remaining, reset: milliseconds(reset), retry: milliseconds(retry) }
    }

    fn told(headers: &HeaderMap, name: &str) -> Vec<String> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_fields_stand_beside_the_upstreams_own() {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit", HeaderValue::from_static("\"api\";r=1"));
        tell(&mut headers, Some(&quota(99, 3, 0)));
        assert_eq!(told(&headers, "ratelimit-policy"), ["\"keygate\";q=100;w=1"]);
        assert_eq!(told(&headers, "ratelimit"), ["\"api\";r=1", "\"keygate\";r=99;t=1"]);
        tell(&mut headers, None);
        assert_eq!(told(&headers, "ratelimit-policy").len(), 1);
    }

    #[test]
    fn only_a_spent_rate_says_when_to_come_back_and_never_at_once() {
        let mut headers = HeaderMap::new();
        tell_when(&mut headers, Denial::TooManyInFlight, Some(&quota(0, 250, 0)));
        assert_eq!(told(&headers, "retry-after"), [""; 0]);
        for (retry, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            tell_when(&mut headers, Denial::RateLimited, Some(&quota(0, 250, retry)));
            assert_eq!(told(&headers, "retry-after"), [seconds]);
        }
    }
}
