//! Listening: each worker has listeners of its own on the same addresses, and the kernel deals
//! connections out among them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use super::doors::Doors;
use crate::config::Listen;
use crate::observe::ListenerKind;

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

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

/// The listeners of one worker.
#[derive(Debug, Default)]
pub struct Bound {
    pub(super) listeners: Vec<(TcpListener, ListenerKind)>,
    pub(super) doors: Doors,
}

impl Bound {
    /// Binds every address once for each worker. Port 0 is the same free port for all of them.
    ///
    /// # Errors
    /// The first address that cannot be had.
    pub fn bind(listen: &Listen, workers: usize) -> Result<Vec<Self>, ListenError> {
        let doors = Doors::default();
        let one = |_| Self { listeners: Vec::new(), doors: doors.clone() };
        let mut bound: Vec<Self> = (0..workers).map(one).collect();
        let https = listen.https.iter().map(|address| (*address, ListenerKind::Https));
        let http = listen.http.iter().map(|address| (*address, ListenerKind::Http));
        for (mut address, kind) in https.chain(http) {
            let setting = if kind == ListenerKind::Https { "listen.https" } else { "listen.http" };
            let wanted = address;
            let fail = |error| ListenError { address: wanted, setting, error };
            claim(address).map_err(fail)?;
            for worker in &mut bound {
                let listener = open(address).map_err(fail)?;
                address = listener.local_addr().map_err(fail)?;
                worker.listeners.push((listener, kind));
            }
        }
        Ok(bound)
    }

    /// The addresses in use of a kind.
    #[must_use]
    pub fn addresses(&self, kind: ListenerKind) -> Vec<SocketAddr> {
        let of_kind = self.listeners.iter().filter(|(_, of)| *of == kind);
        of_kind.filter_map(|(listener, _)| listener.local_addr().ok()).collect()
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
