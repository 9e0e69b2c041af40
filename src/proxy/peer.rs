//! Who is at the other end of a connection: whoever connected, or whom a trusted proxy names in a
//! header of the PROXY protocol before anything else.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::connection::in_time;
use super::preamble::{self, Fault, LONGEST, Read, Sender};
use super::worker::Worker;
use crate::gate::Place;
use crate::gate::normalize;
use crate::observe::TurnedAway;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// Its address, as it is believed.
    pub(super) address: IpAddr,
    /// Whether a proxy relays for someone whom it does not name. The address is the proxy's, but
    /// what is said there of further clients may be said by anyone.
    unnamed: bool,
}

/// Who is at the other end of a connection that has just begun, and its place as theirs; `None`
/// where it is not to be served. A trusted proxy must say it within a time. From anyone else no
/// header is taken: one that comes is no beginning of TLS or HTTP.
pub(super) async fn identify(
    worker: &Worker,
    stream: &mut TcpStream,
    (address, place): (IpAddr, Place),
    limit: Duration,
) -> Option<(Peer, Place)> {
    let expected = {
        let world = worker.world();
        world.proxy_protocol() && world.trusted_proxies().iter().any(|net| net.contains(&address))
    };
    if !expected {
        return Some((Peer::itself(address), place));
    }
    let named = in_time(worker, limit, Peer::named(stream, address)).await;
    let (last, reason) = match named.unwrap_or(Err(Some(TurnedAway::HeaderLate))) {
        Ok(peer) => match worker.pass_place(place, peer.address) {
            Ok(place) => return Some((peer, place)),
            Err(reason) => (peer.address, reason),
        },
        Err(reason) => (address, reason?),
    };
    worker.turn_away(last, reason);
    None
}

impl Peer {
    /// Whoever connected.
    const fn itself(address: IpAddr) -> Self {
        Self { address, unnamed: false }
    }

    /// Those of the trusted networks whose word of further clients counts here.
    pub(super) const fn trusting<'t>(&self, trusted: &'t [IpNet]) -> &'t [IpNet] {
        if self.unnamed { &[] } else { trusted }
    }

    /// Whom the proxy with this address names. Not a byte after the header is read.
    ///
    /// # Errors
    /// What was wrong, unless nothing was said at all: somebody looked whether we listen.
    async fn named(stream: &mut TcpStream, proxy: IpAddr) -> Result<Self, Option<TurnedAway>> {
        // A connection that broke is nobody's mistake.
        let sender = header(stream).await.unwrap_or(Err(None))?;
        Ok(match sender {
            Sender::Proxy => Self::itself(proxy),
            Sender::Unknown => Self { address: proxy, unnamed: true },
            Sender::Client(address) => Self::itself(normalize(address)),
        })
    }
}

/// Reads the header, looking before each read at how much of what has come belongs to it.
async fn header(stream: &mut TcpStream) -> io::Result<Result<Sender, Option<TurnedAway>>> {
    let mut bytes = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        // There is always room: a header that would not fit is not read on.
        let seen = taken + stream.peek(bytes.get_mut(taken..).unwrap_or_default()).await?;
        if seen == taken {
            return Ok(Err((taken > 0).then_some(TurnedAway::HeaderMalformed)));
        }
        let (until, sender) = match preamble::read(bytes.get(..seen).unwrap_or_default()) {
            Ok(Read::Partial) => (seen, None),
            Ok(Read::Whole(length, sender)) => (length, Some(sender)),
            Err(Fault::Absent) => return Ok(Err(Some(TurnedAway::HeaderAbsent))),
            Err(Fault::Malformed) => return Ok(Err(Some(TurnedAway::HeaderMalformed))),
        };
        stream.read_exact(bytes.get_mut(taken..until).unwrap_or_default()).await?;
        if let Some(sender) = sender {
            return Ok(Ok(sender));
        }
        taken = until;
    }
}
