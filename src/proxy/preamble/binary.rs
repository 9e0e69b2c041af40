//! Version 2: a signature, a command, a family, a length, addresses, and what else the proxy tells.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use super::Fault;
use super::LONGEST;
use super::Read;
use super::Sender;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The length of what every header has: the signature and four bytes.
const FIXED: usize = 16;
/// The kind of the value that is a checksum of the whole header.
const CHECKSUM: u8 = 0x03;

/// Whose addresses there are, as the header counts them.
#[derive(Clone, Copy)]
enum Family {
    Unspecified,
    Ipv4,
    Ipv6,
    Unix,
}

pub(super) fn read(bytes: &[u8]) -> Result<Read, Fault> {
    let Some(&[version_command, family, high, low]) =
        bytes.get(SIGNATURE.len()..).and_then(<[u8]>::first_chunk)
    else {
        return if sound_so_far(bytes) { Ok(Read::Partial) } else { Err(Fault::Malformed) };
    };
    let ours = is_proxied(version_command).ok_or(Fault::Malformed)?;
    // The proxy's own connections have no family: what stands there means nothing.
    let family =
        if ours { family_of(family).ok_or(Fault::Malformed)? } else { Family::Unspecified };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST || length < FIXED + family.length() {
        return Err(Fault::Malformed);
    }
    let Some(header) = bytes.get(..length) else { return Ok(Read::Partial) };
    let sender = match ours {
        true => client(header, family).ok_or(Fault::Malformed)?,
        false => Sender::Proxy,
    };
    Ok(Read::Whole(length, sender))
}

/// Whether what has come of the four bytes can be theirs.
fn sound_so_far(bytes: &[u8]) -> bool {
    let command = bytes.get(SIGNATURE.len()).map(|&byte| is_proxied(byte));
    let family = bytes.get(SIGNATURE.len() + 1).map(|&byte| family_of(byte).is_some());
    match command {
        None | Some(Some(false)) => true,
        Some(Some(true)) => family.unwrap_or(true),
        Some(None) => false,
    }
}

/// Version 2, and whether the connection is relayed; the proxy's own is the other command.
const fn is_proxied(byte: u8) -> Option<bool> {
    match byte {
        0x20 => Some(false),
        0x21 => Some(true),
        _ => None,
    }
}

/// Family and protocol: a datagram's sender is as well known as a stream's.
const fn family_of(byte: u8) -> Option<Family> {
    match byte {
        0x00 => Some(Family::Unspecified),
        0x11 | 0x12 => Some(Family::Ipv4),
        0x21 | 0x22 => Some(Family::Ipv6),
        0x31 | 0x32 => Some(Family::Unix),
        _ => None,
    }
}

impl Family {
    /// How many bytes its addresses and ports take.
    const fn length(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::Ipv4 => 12,
            Self::Ipv6 => 36,
            Self::Unix => 216,
        }
    }
}

fn client(header: &[u8], family: Family) -> Option<Sender> {
    let content = header.get(FIXED..)?;
    let sender = match family {
        // Nothing that follows has a known form.
        Family::Unspecified => return Some(Sender::Unknown),
        Family::Ipv4 => Sender::Client(IpAddr::V4(Ipv4Addr::from(*content.first_chunk()?))),
        Family::Ipv6 => Sender::Client(IpAddr::V6(Ipv6Addr::from(*content.first_chunk()?))),
        Family::Unix => Sender::Unknown,
    };
    is_sound(header, FIXED + family.length()).then_some(sender)
}

/// Whether what follows the addresses are whole values, with the right checksum if there is one.
fn is_sound(header: &[u8], mut at: usize) -> bool {
    let mut checked = false;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..).and_then(<[u8]>::first_chunk) else {
            return false;
        };
        let start = at + 3;
        at = start + usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = header.get(start..at) else { return false };
        if kind == CHECKSUM {
            let right = !checked && value == checksum(header, start..at).to_be_bytes();
            if !right {
                return false;
            }
            checked = true;
        }
    }
    true
}

/// The CRC-32C of a header whose own place in it counts as zeros (RFC 3720, appendix B.4).
fn checksum(header: &[u8], own: std::ops::Range<usize>) -> u32 {
    let bytes =
        header.iter().enumerate().map(|(at, &byte)| if own.contains(&at) { 0 } else { byte });
    !bytes.fold(!0, |mut crc: u32, byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
        crc
    })
}

#[cfg(test)]
pub(super) fn checksum_of(bytes: &[u8]) -> u32 {
    checksum(bytes, 0..0)
}
