//! Where the name of the upstream leads: asked for with new connections, and remembered for when
//! nobody answers that.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::clock;

/// For how long an answer is not asked for again.
const FRESH: Duration = Duration::from_secs(5);
/// For how long the last one is better than none.
const STALE: Duration = Duration::from_secs(600);

/// What is known of the last name that was asked for.
#[derive(Default)]
pub(super) struct Names(RefCell<Option<Known>>);

struct Known {
    name: (String, u16),
    addresses: Vec<SocketAddr>,
    /// When somebody last asked, with what outcome whatever.
    asked: Instant,
    answered: Instant,
}

impl Names {
    /// The addresses, in the order in which they are to be tried; never none. `longest` is how long
    /// connecting may take in all; where the last answer would do, half of that is for asking again.
    ///
    /// # Errors
    /// What the system says, where no answer is known that would do.
    pub(super) async fn addresses(
        &self,
        name: (&str, u16),
        longest: Duration,
        lookup: impl Future<Output = io::Result<Vec<SocketAddr>>>,
    ) -> io::Result<Vec<SocketAddr>> {
        let now = clock::mono();
        let known = self.known(name, now);
        let patience = match &known {
            Some((addresses, true)) => return Ok(addresses.clone()),
            Some(_) => longest / 2,
            // Not all of it, so that it is told what took so long.
            None => longest * 9 / 10,
        };
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        let found = tokio::time::timeout(patience, lookup).await.unwrap_or_else(late);
        let found = found.and_then(|addresses| match addresses.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
            false => Ok(addresses),
        });
        match (found, known) {
            (Ok(addresses), _) => {
                *self.0.borrow_mut() = Some(Known {
                    name: (name.0.to_owned(), name.1),
                    addresses: addresses.clone(),
                    asked: now,
                    answered: now,
                });
                Ok(addresses)
            }
            (Err(error), Some((addresses, _))) => {
                tracing::warn!(%error, "the upstream's name is not resolved: its last addresses are used");
                Ok(addresses)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// What is known and would do, and whether that is not to be asked for again. Where it is, the
    /// next ones take it as it is: one is enough to ask.
    fn known(&self, (host, port): (&str, u16), now: Instant) -> Option<(Vec<SocketAddr>, bool)> {
        let mut known = self.0.borrow_mut();
        let known = known.as_mut()?;
        let stale = now.saturating_duration_since(known.answered) >= STALE;
        if stale || known.name.0 != host || known.name.1 != port {
            return None;
        }
        let fresh = now.saturating_duration_since(known.asked) < FRESH;
        if !fresh {
            known.asked = now;
        }
        Some((known.addresses.clone(), fresh))
    }

    /// Nobody takes connections there: until the name is asked for again, the others come first.
    pub(super) fn put_last(&self, address: SocketAddr) {
        if let Some(known) = &mut *self.0.borrow_mut() {
            known.addresses.sort_by_key(|other| *other == address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: (&str, u16) = ("api", 80);
    const LONGEST: Duration = Duration::from_secs(1);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 80))
    }

    async fn ask(names: &Names, answer: io::Result<Vec<SocketAddr>>) -> Vec<SocketAddr> {
        names.addresses(API, LONGEST, async { answer }).await.unwrap_or_default()
    }

    fn age(names: &Names, by: Duration) {
        let mut known = names.0.borrow_mut();
        let known = known.as_mut().unwrap();
        known.asked = known.asked.checked_sub(by).unwrap();
        known.answered = known.answered.checked_sub(by).unwrap();
    }

    fn fails() -> io::Result<Vec<SocketAddr>> {
        Err(io::Error::other("nobody answers"))
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_again_after_a_while() {
        let names = Names::default();
        assert_eq!(ask(&names, Ok(vec![address(1)])).await, [address(1)]);
        assert_eq!(ask(&names, Ok(vec![address(2)])).await, [address(1)]);
        age(&names, FRESH);
        assert_eq!(ask(&names, Ok(vec![address(2)])).await, [address(2)]);
        // Another name is another matter.
        for other in [("ap", 80), ("api", 81)] {
            let answer = names.addresses(other, LONGEST, async { Ok(vec![address(3)]) }).await;
            assert_eq!(answer.unwrap(), [address(3)]);
            assert_eq!(ask(&names, Ok(vec![address(2)])).await, [address(2)]);
        }
    }

    #[tokio::test]
    async fn the_last_answer_does_where_there_is_none() {
        let names = Names::default();
        assert!(ask(&names, fails()).await.is_empty());
        assert!(ask(&names, Ok(Vec::new())).await.is_empty());
        assert_eq!(ask(&names, Ok(vec![address(1)])).await, [address(1)]);
        for answer in [fails(), Ok(Vec::new())] {
            age(&names, FRESH);
            assert_eq!(ask(&names, answer).await, [address(1)]);
        }
        age(&names, STALE);
        assert!(ask(&names, fails()).await.is_empty(), "it has been long");
    }

    #[tokio::test]
    async fn nobody_waits_for_long_where_the_last_answer_does_and_only_one_waits() {
        let names = Names::default();
        assert_eq!(ask(&names, Ok(vec![address(1)])).await, [address(1)]);
        age(&names, FRESH);
        let began = clock::mono();
        let waits = names.addresses(API, LONGEST, std::future::pending());
        let other = async {
            let asked = names.addresses(API, LONGEST, async { panic!("it is asked for already") });
            (asked.await.unwrap(), began.elapsed())
        };
        let (first, (second, at_once)) = tokio::join!(waits, other);
        assert_eq!((first.unwrap(), second), (vec![address(1)], vec![address(1)]));
        let waited = began.elapsed();
        assert!(at_once < LONGEST / 2 && waited >= LONGEST / 2, "{at_once:?} {waited:?}");
    }

    #[tokio::test]
    async fn one_that_takes_no_connections_comes_last() {
        let names = Names::default();
        let all = [1, 2, 3].map(address);
        assert_eq!(ask(&names, Ok(all.to_vec())).await, all);
        names.put_last(address(1));
        assert_eq!(ask(&names, fails()).await, [2, 3, 1].map(address));
        age(&names, FRESH);
        assert_eq!(ask(&names, Ok(all.to_vec())).await, all);
    }
}
