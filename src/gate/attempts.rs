//! How many attempts to be let in failed, by address.
//!
//! Only failing counts, and only who fails is told to come back later: a valid key passes from the
//! same address as ever, so that nobody is locked out by whom they share it with. Nothing waits,
//! and what is remembered is bounded (see [`Rates`]).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::limit::{LaneKey, Who};
use super::network::neighbourhood;
use super::rate::{Quota, Rate, Rates};
use super::verdict::Denial;

/// How many addresses are remembered at a time: about 15 MB. Beyond it, who is not remembered and
/// fails is told to come back later.
const MOST: usize = 100_000;

/// Failed attempts of all addresses. Outlives snapshots.
#[derive(Clone, Debug)]
pub struct Attempts {
    rates: Rates,
    everywhere: Arc<str>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self::remembering(MOST)
    }
}

impl Attempts {
    fn remembering(most: usize) -> Self {
        Self { rates: Rates::holding(most), everywhere: "".into() }
    }

    /// Counts a refusal if it is one of a failed attempt.
    ///
    /// # Errors
    /// When there were too many from there: what to tell the client of it.
    pub fn count(
        &self,
        denial: Denial,
        client: IpAddr,
        rate: Rate,
        now: Instant,
    ) -> Result<(), Quota> {
        if !is_attempt(denial) {
            return Ok(());
        }
        let who = Who::Address(neighbourhood(client));
        let lane = LaneKey { route: Arc::clone(&self.everywhere), who };
        self.rates.enter(&lane, rate, now).map(drop)
    }

    /// How many addresses are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.rates.lanes()
    }

    /// What counts them.
    #[must_use]
    pub const fn rates(&self) -> &Rates {
        &self.rates
    }
}

/// Whether it is what somebody gets who guesses.
const fn is_attempt(denial: Denial) -> bool {
    matches!(
        denial,
        Denial::MalformedCredential
            | Denial::MalformedKey
            | Denial::UnknownKey
            | Denial::InvalidToken
            | Denial::SimpleAuthRefused
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::limit::LimitBy;
    use super::*;

    fn rate(requests: u32) -> Rate {
        Rate { requests, per: Duration::from_secs(60), by: LimitBy::Address }
    }

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_attempts_and_no_others() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let fails = |address| attempts.count(Denial::UnknownKey, from(address), rate(3), start);
        for _ in 0..3 {
            assert_eq!(fails("192.0.2.1"), Ok(()));
        }
        assert_eq!(fails("192.0.2.1").unwrap_err().retry, Duration::from_secs(20));
        assert_eq!(fails("192.0.2.2"), Ok(()));
        let later = start + Duration::from_secs(20);
        let again = attempts.count(Denial::MalformedKey, from("192.0.2.1"), rate(3), later);
        assert_eq!(again, Ok(()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_guesser() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for host in 1..=3 {
            let address = from(&format!("2001:db8::{host}"));
            assert_eq!(attempts.count(Denial::InvalidToken, address, rate(3), start), Ok(()));
        }
        let other = from("2001:db8::ffff:0:0:9");
        assert!(attempts.count(Denial::InvalidToken, other, rate(3), start).is_err());
        let elsewhere = from("2001:db8:0:1::1");
        assert_eq!(attempts.count(Denial::InvalidToken, elsewhere, rate(3), start), Ok(()));
        assert_eq!(attempts.remembered(), 2);
    }

    #[test]
    fn only_guesses_count() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for denial in Denial::ALL.iter().filter(|denial| !is_attempt(**denial)) {
            for _ in 0..3 {
                assert_eq!(attempts.count(*denial, from("192.0.2.1"), rate(1), start), Ok(()));
            }
        }
        assert_eq!(attempts.remembered(), 0);
        // A key that was revoked or is over is one that was issued.
        assert!(!is_attempt(Denial::RevokedKey) && !is_attempt(Denial::ExpiredKey));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let (attempts, start) = (Attempts::remembering(100), Instant::now());
        let fails = |number: u32, now| {
            let address = IpAddr::from(number.to_be_bytes());
            attempts.count(Denial::UnknownKey, address, rate(2), now)
        };
        for number in 0..10_000 {
            assert_eq!(fails(number, start).is_ok(), number < 100, "{number}");
        }
        assert_eq!(attempts.remembered(), 100);
        let later = start + Duration::from_secs(120);
        for number in 10_000..10_100 {
            assert_eq!(fails(number, later), Ok(()), "{number}");
        }
        assert!(attempts.remembered() <= 100);
    }
}
