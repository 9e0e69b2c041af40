//! The header of the PROXY protocol, which a proxy puts before everything else on a connection to
//! say whose connection it is (HAProxy, "The PROXY protocol", versions 1 and 2).
//!
//! Pure: bytes in, sender out. Who may send one is not decided here. A header is read strictly:
//! whatever two readers could understand differently is none.

mod binary;
mod text;

use std::net::IpAddr;

/// The longest header that is read, in bytes. The addresses of version 2 need 232 at most; the rest
/// is for what proxies tell besides.
pub const LONGEST: usize = 2048;

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The proxy's own: a health check.
    Proxy,
    /// Someone's whose address the proxy does not know or cannot say.
    Unknown,
    /// That of the client with this address.
    Client(IpAddr),
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of them belong to a header whose end has not come.
    Partial,
    /// They begin with a header of so many bytes, which names a sender.
    Whole(usize, Sender),
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection begins with something else.
    Absent,
    /// It begins like a header and is none.
    Malformed,
}

/// Reads the header that a connection begins with, from all the bytes that have come.
///
/// # Errors
/// When they are not the beginning of a header, and will not be whatever follows.
pub fn read(bytes: &[u8]) -> Result<Read, Fault> {
    if begins(bytes, binary::SIGNATURE) {
        binary::read(bytes)
    } else if begins(bytes, text::SIGNATURE) {
        text::read(bytes)
    } else {
        Err(Fault::Absent)
    }
}

/// Whether two texts are the same as far as both go.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(byte, wanted)| byte == wanted)
}

#[cfg(test)]
mod tests;
