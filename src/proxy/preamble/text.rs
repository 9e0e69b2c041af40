//! Version 1: one line of text.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use super::Fault;
use super::Read;
use super::Sender;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";
/// The longest line, with its end: that of two unabridged IPv6 addresses of an unknown protocol.
const LONGEST: usize = 107;

pub(super) fn read(bytes: &[u8]) -> Result<Read, Fault> {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let visible = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        let possible = bytes.len() < LONGEST && is_plain(visible);
        return possible.then_some(Read::Partial).ok_or(Fault::Malformed);
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let sender = line.filter(|line| is_plain(line)).and_then(sender).ok_or(Fault::Malformed)?;
    Ok(Read::Whole(end + 1, sender))
}

fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

fn sender(line: &[u8]) -> Option<Sender> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    let (Some("PROXY"), Some(protocol)) = (words.next(), words.next()) else { return None };
    let client = match protocol {
        // Whatever else the line says is to be passed over.
        "UNKNOWN" => return Some(Sender::Unknown),
        "TCP4" => IpAddr::V4(pair::<Ipv4Addr>(&mut words)?),
        "TCP6" => IpAddr::V6(pair::<Ipv6Addr>(&mut words)?),
        _ => return None,
    };
    is_port(words.next()?).then_some(())?;
    is_port(words.next()?).then_some(())?;
    words.next().is_none().then_some(Sender::Client(client))
}

/// The first of two addresses, both of which must be some.
fn pair<'w, A: std::str::FromStr>(words: &mut impl Iterator<Item = &'w str>) -> Option<A> {
    let client = words.next()?.parse().ok()?;
    words.next()?.parse::<A>().ok().map(|_| client)
}

/// A number up to 65535 as one writes it: no sign, no zero before it.
fn is_port(word: &str) -> bool {
    word.parse::<u16>().is_ok_and(|port| port.to_string() == word)
}
