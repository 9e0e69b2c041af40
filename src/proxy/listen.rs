//! Listening: each worker has listeners of its own on the same addresses, and the kernel deals
//! connections out among them. Where sockets were opened by somebody else, a service manager or an
//! older process, workers listen on those.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

use super::doors::Doors;
use super::pulse::Pulse;
use crate::observe::ListenerKind;

/// How many connections may wait to be accepted; the system may allow fewer.
pub(super) const BACKLOG: i32 = 4096;

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address} for `{setting}`: {}", reason(.error))]
pub struct ListenError {
    /// The address.
    pub address: SocketAddr,
    /// Which setting names it.
    pub setting: &'static str,
    /// What the system says.
    pub error: io::Error,
}

fn reason(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::AddrInUse, "the port is in use by another process"),
        (io::ErrorKind::AddrNotAvailable, "this machine does not have the address"),
        (io::ErrorKind::PermissionDenied, "ports below 1024 need a privilege"),
    ];
    let known = known.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, text)| (*text).to_owned())
}

/// An address to listen on, and the sockets that listen there already: somebody opened them for us.
#[derive(Debug)]
pub struct Spot {
    /// The address.
    pub address: SocketAddr,
    /// What is spoken there.
    pub kind: ListenerKind,
    /// Whether it comes from whoever opened the sockets, whatever the configuration says.
    pub given: bool,
    /// To be shared by the workers; where there is none, each worker opens one of its own.
    pub sockets: Vec<TcpListener>,
}

/// The listeners of one worker.
#[derive(Debug, Default)]
pub struct Bound {
    pub(super) listeners: Vec<(TcpListener, ListenerKind)>,
    pub(super) doors: Doors,
    pub(super) pulse: Pulse,
}

impl Bound {
    /// Gives each worker a listener for every spot. Port 0 is the same free port for all of them.
    /// Afterwards each spot names the address in use.
    ///
    /// Connections wait at the very socket that they came to, so each one that we were given goes
    /// to some worker: where there are more of them than workers a worker has several, and where
    /// there are fewer workers share.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(spots: &mut [Spot], workers: usize) -> Result<Vec<Self>, ListenError> {
        let doors = Doors::default();
        let one = |_| Self { doors: doors.clone(), ..Self::default() };
        let mut bound: Vec<Self> = (0..workers).map(one).collect();
        for spot in spots {
            let https = spot.kind == ListenerKind::Https;
            let setting = if https { "listen.https" } else { "listen.http" };
            let wanted = spot.address;
            let fail = |error| ListenError { address: wanted, setting, error };
            if spot.sockets.is_empty() {
                spot.open(workers).map_err(fail)?;
            }
            for socket in &spot.sockets {
                // Connections have it from the listener, without being told one by one. Small
                // answers must not wait for the client's acknowledgement.
                SockRef::from(socket).set_tcp_nodelay(true).map_err(fail)?;
            }
            for turn in 0..workers.max(spot.sockets.len()) {
                let socket = spot.sockets.iter().cycle().nth(turn);
                let socket = socket.map(TcpListener::try_clone).transpose().map_err(fail)?;
                if let (Some(socket), Some(worker)) = (socket, bound.get_mut(turn % workers)) {
                    worker.listeners.push((socket, spot.kind));
                }
            }
        }
        Ok(bound)
    }

    /// What shows that the worker answers.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }
}

impl Spot {
    /// A place where nobody listens yet.
    #[must_use]
    pub const fn new(address: SocketAddr, kind: ListenerKind) -> Self {
        Self { address, kind, given: false, sockets: Vec::new() }
    }

    fn open(&mut self, count: usize) -> io::Result<()> {
        claim(self.address)?;
        for _ in 0..count {
            let listener = open(self.address)?;
            self.address = listener.local_addr()?;
            self.sockets.push(listener);
        }
        Ok(())
    }
}

/// Fails where another process listens: sharing a port is for our own workers, and a second
/// process that silently took half of the connections would be hard to find.
fn claim(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    prepare(&socket, address)?;
    socket.bind(&address.into())
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    prepare(&socket, address)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// `[::]` takes IPv4 as well, whatever the system's default.
fn prepare(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => socket.set_only_v6(false),
        SocketAddr::V4(_) | SocketAddr::V6(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(given: usize, workers: usize) -> Vec<usize> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut spot = Spot::new(any, ListenerKind::Https);
        if given > 0 {
            spot.open(given).unwrap();
        }
        let bound = Bound::bind(std::slice::from_mut(&mut spot), workers).unwrap();
        assert_ne!(spot.address.port(), 0);
        let ports = bound.iter().flat_map(|it| &it.listeners);
        assert!(ports.map(|(it, _)| it.local_addr().unwrap()).all(|it| it == spot.address));
        bound.iter().map(|worker| worker.listeners.len()).collect()
    }

    #[test]
    fn connections_send_without_delay_from_the_beginning() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for given in [0, 1] {
            let mut spot = Spot::new(any, ListenerKind::Https);
            if given > 0 {
                spot.sockets.push(TcpListener::bind(any).unwrap());
                spot.address = spot.sockets[0].local_addr().unwrap();
            }
            let bound = Bound::bind(std::slice::from_mut(&mut spot), 1).unwrap();
            let _client = std::net::TcpStream::connect(spot.address).unwrap();
            let (listener, _) = &bound[0].listeners[0];
            listener.set_nonblocking(false).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert!(accepted.nodelay().unwrap());
        }
    }

    #[test]
    fn every_worker_listens_and_at_every_socket_somebody_does() {
        assert_eq!(bind(0, 3), [1, 1, 1]);
        assert_eq!(bind(1, 3), [1, 1, 1], "one socket is shared");
        assert_eq!(bind(4, 3), [2, 1, 1], "none is left alone");
        assert_eq!(bind(2, 1), [2]);
    }
}
