//! One key's last use, in 28 bytes.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::keys::digest::KeyDigest;

/// Before this (2026-01-01T00:00:00Z) nothing was ever recorded. A clock that says so has not been set
/// yet, as on a machine that keeps no time while it is off.
pub(super) const EARLIEST: u32 = 1_767_225_600;

/// How many bytes an entry has: its mark, the second (little endian), the network, a zero.
pub(super) const LENGTH: usize = MARK + 4 + NETWORK + 1;
const MARK: usize = 16;
const NETWORK: usize = 7;

/// Which key: the first 16 bytes of its digest. That two keys share them does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark([u8; MARK]);

impl Mark {
    /// The mark of the key that has a digest.
    #[must_use]
    pub fn of(digest: &KeyDigest) -> Self {
        let mut mark = [0; MARK];
        mark.copy_from_slice(digest.as_bytes().split_at(MARK).0);
        Self(mark)
    }
}

/// The network that an address is in: of IPv4 24 bits, of IPv6 48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network([u8; NETWORK]);

const BITS_4: u8 = 24;
const BITS_6: u8 = 48;

impl Network {
    /// What can be told of where an address is.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                Self([4, a, b, c, 0, 0, 0])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, ..] = address.octets();
                Self([6, a, b, c, d, e, f])
            }
        }
    }

    fn read(bytes: [u8; NETWORK]) -> Option<Self> {
        let [family, _, _, _, rest @ ..] = bytes;
        (family == 6 || (family == 4 && rest == [0; 3])).then_some(Self(bytes))
    }

    fn network(self) -> Option<IpNet> {
        let [family, a, b, c, d, e, f] = self.0;
        match family {
            4 => IpNet::new(Ipv4Addr::new(a, b, c, 0).into(), BITS_4).ok(),
            _ => {
                let mut octets = [0; 16];
                for (octet, byte) in octets.iter_mut().zip([a, b, c, d, e, f]) {
                    *octet = byte;
                }
                IpNet::new(Ipv6Addr::from(octets).into(), BITS_6).ok()
            }
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network().map_or(Ok(()), |network| network.fmt(f))
    }
}

/// When, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// In seconds since 1970: enough until 2106.
    pub(super) at: u32,
    /// From where.
    pub from: Network,
}

impl Use {
    /// A use of some key.
    #[must_use]
    pub fn new(at: Timestamp, client: IpAddr) -> Self {
        Self { at: second(at), from: Network::of(client) }
    }

    /// When, to the second.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        instant(self.at)
    }

    /// Whether it was later than another one.
    #[must_use]
    pub const fn is_after(&self, other: &Self) -> bool {
        self.at > other.at
    }
}

/// The whole seconds of an instant, as far as they can be told.
pub(super) fn second(at: Timestamp) -> u32 {
    u32::try_from(at.as_second().max(0)).unwrap_or(u32::MAX)
}

/// The instant of a second.
pub(super) fn instant(second: u32) -> Timestamp {
    Timestamp::from_second(second.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When something was at the latest, which was recorded by a clock that may not have been set.
pub(super) const fn at_the_latest(second: u32, now: u32) -> u32 {
    if second < EARLIEST { now } else { second }
}

pub(super) fn write((mark, last): &(Mark, Use)) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let fields = mark.0.into_iter().chain(last.at.to_le_bytes()).chain(last.from.0);
    for (byte, field) in bytes.iter_mut().zip(fields) {
        *byte = field;
    }
    bytes
}

pub(super) fn read(bytes: &[u8; LENGTH]) -> Option<(Mark, Use)> {
    let (mark, rest) = bytes.split_first_chunk::<MARK>()?;
    let (at, rest) = rest.split_first_chunk::<4>()?;
    let (network, rest) = rest.split_first_chunk::<NETWORK>()?;
    let from = Network::read(*network).filter(|_| rest == [0])?;
    Some((Mark(*mark), Use { at: u32::from_le_bytes(*at), from }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_an_address_only_its_network_is_told() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
            ("::1", "::/48"),
            ("0.0.0.0", "0.0.0.0/24"),
            ("255.255.255.255", "255.255.255.0/24"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
    }

    #[test]
    fn two_digests_have_the_mark_of_their_beginning() {
        let mark = |bytes: [u8; 32]| Mark::of(&KeyDigest::from_bytes(bytes));
        let (mut end, mut beginning) = ([7; 32], [7; 32]);
        (end[16], beginning[15]) = (0, 0);
        assert_eq!(mark([7; 32]), mark(end));
        assert_ne!(mark([7; 32]), mark(beginning));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(mark: [u8; MARK], at: u32, address: IpAddr) {
            let entry = (Mark(mark), Use { at, from: Network::of(address) });
            prop_assert_eq!(read(&write(&entry)), Some(entry));
        }

        #[test]
        fn any_bytes_are_read_as_what_is_written_so_or_not_at_all(bytes: [u8; LENGTH]) {
            if let Some(entry) = read(&bytes) {
                prop_assert_eq!(write(&entry), bytes);
            }
        }
    }
}
