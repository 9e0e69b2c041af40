//! All that a decision may look at.

use std::net::IpAddr;

use http::header::CONTENT_LENGTH;
use http::header::ORIGIN;
use http::{HeaderMap, HeaderName, Method};

/// How a request reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Over TLS that we terminated.
    Tls,
    /// In clear.
    Plain,
}

/// What is known of a request before its body: enough to decide, nothing to act with.
pub struct Facts<'r> {
    /// The method, standard or not.
    pub method: &'r Method,
    /// The raw path, without the query: the bytes that would be forwarded.
    pub path: &'r str,
    /// How it came.
    pub transport: Transport,
    /// Whether the peer is a trusted proxy.
    pub trusted_peer: bool,
    /// The client's address, after trusted proxies.
    pub client: IpAddr,
    /// Whether a body follows.
    pub has_body: bool,
    headers: &'r HeaderMap,
}

/// A header that must not be chosen between: the one accessor for all that decides on access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sole<'r> {
    /// Not sent.
    Absent,
    /// Sent once.
    One(&'r [u8]),
    /// Sent more than once, or joined with commas.
    Many,
}

impl<'r> Facts<'r> {
    /// Collects the facts.
    #[must_use]
    pub const fn new(
        method: &'r Method,
        path: &'r str,
        transport: Transport,
        (client, trusted_peer): (IpAddr, bool),
        headers: &'r HeaderMap,
        has_body: bool,
    ) -> Self {
        Self { method, path, transport, trusted_peer, client, has_body, headers }
    }

    /// A header that may stand there only once.
    pub(super) fn sole(&self, name: &HeaderName) -> Sole<'r> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Sole::Absent,
            (Some(value), None) if !value.as_bytes().contains(&b',') => Sole::One(value.as_bytes()),
            _ => Sole::Many,
        }
    }

    /// Whether a web page sends it: pages cannot leave `Origin` away where they may not read the
    /// answer, nor anything where a script asks for more (Fetch standard, section 3.2).
    pub(super) fn comes_from_a_page(&self) -> bool {
        self.headers.contains_key(ORIGIN)
    }

    /// The length that was announced of the body.
    pub(super) fn length(&self) -> Option<u64> {
        match self.sole(&CONTENT_LENGTH) {
            Sole::One(digits) => std::str::from_utf8(digits).ok()?.parse().ok(),
            Sole::Absent | Sole::Many => None,
        }
    }

    /// The elements of a header that is a list (RFC 9110, section 5.6.1).
    pub(super) fn elements(&self, name: &HeaderName) -> impl Iterator<Item = &'r str> {
        let lines = self.headers.get_all(name).iter();
        lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
    }
}
