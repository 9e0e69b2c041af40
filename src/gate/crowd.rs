//! How many connections there are, in all and of one address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dashmap::DashMap;

use super::network::neighbourhood;

/// All connections of all workers. Outlives snapshots.
#[derive(Clone, Debug, Default)]
pub struct Crowd(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// What the system allows; 0 as long as nobody has said it.
    capacity: AtomicUsize,
    all: AtomicUsize,
    addresses: DashMap<IpAddr, usize>,
}

/// How many connections there may be. 0 is no number: in all it is the capacity, of one address no
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// In all.
    pub all: usize,
    /// Of one address, or one /64 network of IPv6.
    pub of_one: usize,
}

/// Which of the numbers is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// Those of all.
    All,
    /// Those of the address.
    Address,
}

/// One connection; dropping it gives its place back.
#[derive(Debug)]
pub struct Place {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// Says how many connections the system allows.
    pub fn set_capacity(&self, capacity: usize) {
        self.0.capacity.store(capacity, Relaxed);
    }

    /// Takes a place for a connection from an address.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self, address: IpAddr, most: Most) -> Result<Place, Crowded> {
        let all = self.most(most.all);
        // Counted first, and given back with the place: two that come at once do not both find the
        // last one free.
        let place = Place { crowd: self.clone(), address: neighbourhood(address) };
        let before = self.0.all.fetch_add(1, Relaxed);
        let of_one = self.0.arrive(place.address);
        if all > 0 && before >= all {
            return Err(Crowded::All);
        }
        if most.of_one > 0 && of_one > most.of_one {
            return Err(Crowded::Address);
        }
        Ok(place)
    }

    /// How many there may be in all, where 0 is no number.
    #[must_use]
    pub fn most(&self, all: usize) -> usize {
        match all {
            0 => self.0.capacity.load(Relaxed),
            all => all,
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.all.load(Relaxed)
    }
}

impl Place {
    /// The same place as another address's: it came on behalf of that.
    ///
    /// # Errors
    /// When that address has more than so many, where 0 is no limit. The place is given back.
    pub fn pass(mut self, address: IpAddr, most: usize) -> Result<Self, Crowded> {
        let address = neighbourhood(address);
        let of_one = self.crowd.0.arrive(address);
        self.crowd.0.leave(std::mem::replace(&mut self.address, address));
        if most > 0 && of_one > most { Err(Crowded::Address) } else { Ok(self) }
    }
}

impl Inner {
    fn arrive(&self, address: IpAddr) -> usize {
        let mut count = self.addresses.entry(address).or_default();
        *count += 1;
        *count
    }

    fn leave(&self, address: IpAddr) {
        self.addresses.remove_if_mut(&address, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.0.all.fetch_sub(1, Relaxed);
        self.crowd.0.leave(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Most = Most { all: 0, of_one: 0 };

    fn from(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_are_so_many_places_and_each_comes_back() {
        let crowd = Crowd::default();
        let most = Most { all: 2, ..NONE };
        let first = crowd.enter(from("192.0.2.1"), most).unwrap();
        let _second = crowd.enter(from("192.0.2.2"), most).unwrap();
        assert_eq!(crowd.enter(from("192.0.2.3"), most).unwrap_err(), Crowded::All);
        assert_eq!(crowd.count(), 2);
        drop(first);
        let _third = crowd.enter(from("192.0.2.3"), most).unwrap();
        assert_eq!(crowd.enter(from("192.0.2.4"), most).unwrap_err(), Crowded::All);
        assert_eq!(crowd.0.addresses.len(), 2);
    }

    #[test]
    fn an_address_has_its_places_and_a_network_of_ipv6_is_one() {
        let crowd = Crowd::default();
        let most = Most { of_one: 1, ..NONE };
        let _first = crowd.enter(from("192.0.2.1"), most).unwrap();
        assert_eq!(crowd.enter(from("192.0.2.1"), most).unwrap_err(), Crowded::Address);
        let _other = crowd.enter(from("192.0.2.2"), most).unwrap();
        let _ipv6 = crowd.enter(from("2001:db8::1"), most).unwrap();
        assert_eq!(crowd.enter(from("2001:db8::2"), most).unwrap_err(), Crowded::Address);
        assert_eq!(crowd.count(), 3);
    }

    #[test]
    fn a_place_passes_to_whom_it_was_taken_for() {
        let crowd = Crowd::default();
        let most = Most { all: 2, of_one: 0 };
        let first = crowd.enter(from("10.0.0.1"), most).unwrap();
        let second = crowd.enter(from("10.0.0.1"), most).unwrap();
        let first = first.pass(from("192.0.2.1"), 1).unwrap();
        assert_eq!(second.pass(from("192.0.2.1"), 1).unwrap_err(), Crowded::Address);
        assert_eq!((crowd.count(), crowd.0.addresses.len()), (1, 1));
        let first = first.pass(from("192.0.2.1"), 2).unwrap();
        drop(first);
        assert_eq!((crowd.count(), crowd.0.addresses.len()), (0, 0));
    }

    #[test]
    fn without_a_number_the_capacity_counts() {
        let crowd = Crowd::default();
        let places: Vec<_> = (0..1000).map(|_| crowd.enter(from("192.0.2.1"), NONE)).collect();
        assert!(places.iter().all(Result::is_ok));
        crowd.set_capacity(1000);
        assert_eq!(crowd.enter(from("192.0.2.1"), NONE).unwrap_err(), Crowded::All);
        drop(places);
        assert!(crowd.enter(from("192.0.2.1"), NONE).is_ok());
        assert_eq!((crowd.count(), crowd.0.addresses.len()), (0, 0));
    }

    #[test]
    fn two_that_come_at_once_do_not_get_one_place() {
        let (crowd, most) = (Crowd::default(), Most { all: 10, of_one: 0 });
        let got = std::thread::scope(|scope| {
            let ask = || {
                let places: Vec<_> =
                    (0..100).filter_map(|_| crowd.enter(from("192.0.2.1"), most).ok()).collect();
                let count = places.len();
                std::mem::forget(places);
                count
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
        });
        assert!((1..=10).contains(&got), "{got}");
    }
}
