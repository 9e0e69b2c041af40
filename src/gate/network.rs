//! Whose address it is: the socket's, or what trusted proxies say.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;
use ipnet::IpNet;

/// An IPv4 address that came as an IPv4-mapped IPv6 one, as itself (RFC 4291, section 2.5.5.2).
#[must_use]
pub fn normalize(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// Who is counted as one: an address, of IPv6 the /64 network that one subscriber has (RFC 6177).
pub(super) fn neighbourhood(address: IpAddr) -> IpAddr {
    match normalize(address) {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

/// Whether any of the networks holds the address.
pub(super) fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Walks `X-Forwarded-For` from right to left through trusted proxies only. Returns the client's
/// address and the trusted hops after it, in the order of the header. An element that is not an
/// address ends the walk at the last good one.
#[must_use]
pub fn client_address(
    peer: IpAddr,
    trusted: &[IpNet],
    headers: &HeaderMap,
) -> (IpAddr, Vec<IpAddr>) {
    let mut client = normalize(peer);
    let mut hops = Vec::new();
    if trusted.is_empty() || !holds(trusted, client) {
        return (client, hops);
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
    let elements = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','));
    for element in elements {
        if !holds(trusted, client) {
            break;
        }
        let Some(address) = parse(element) else { break };
        hops.push(client);
        client = address;
    }
    hops.reverse();
    (client, hops)
}

/// An address, also with a port or in brackets.
fn parse(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    bare.parse().ok().or_else(with_port).map(normalize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(peer: &str, trusted: &[&str], lines: &[&str]) -> (String, Vec<String>) {
        let trusted: Vec<IpNet> = trusted.iter().map(|n| n.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let (client, hops) = client_address(peer.parse().unwrap(), &trusted, &headers);
        (client.to_string(), hops.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_is_believed_of_an_untrusted_peer() {
        assert_eq!(walk("9.9.9.9", &[], &["1.1.1.1"]).0, "9.9.9.9");
        assert_eq!(walk("9.9.9.9", &["10.0.0.0/8"], &["1.1.1.1"]).0, "9.9.9.9");
    }

    #[test]
    fn the_walk_goes_from_right_to_left_and_stops_at_the_first_stranger() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(walk("10.0.0.1", &trusted, &["6.6.6.6, 1.1.1.1"]).0, "1.1.1.1");
        let (client, hops) = walk("10.0.0.1", &trusted, &["6.6.6.6, 1.1.1.1, 10.0.0.2"]);
        assert_eq!(
            (client.as_str(), hops),
            ("1.1.1.1", vec!["10.0.0.2".into(), "10.0.0.1".into()])
        );
        assert_eq!(walk("10.0.0.1", &trusted, &["6.6.6.6", "1.1.1.1"]).0, "1.1.1.1");
        assert_eq!(walk("::ffff:10.0.0.1", &trusted, &["1.1.1.1"]).0, "1.1.1.1");
    }

    #[test]
    fn what_is_no_address_ends_the_walk_at_the_last_good_one() {
        let trusted = ["10.0.0.0/8"];
        assert_eq!(walk("10.0.0.1", &trusted, &["1.1.1.1, unknown, 10.0.0.2"]).0, "10.0.0.2");
        assert_eq!(walk("10.0.0.1", &trusted, &["garbage"]).0, "10.0.0.1");
        assert_eq!(walk("10.0.0.1", &trusted, &["[2001:db8::1]:443"]).0, "2001:db8::1");
        assert_eq!(walk("10.0.0.1", &trusted, &["1.1.1.1:99"]).0, "1.1.1.1");
    }
}
