//! Sockets that somebody else opened for us: a service manager (`sd_listen_fds(3)`), or the process
//! whose place we take.
//!
//! Each is put where the configuration wants one: by its name (`https`, `http`, `admin`), or, where
//! it has none of these, by its address. Named ones count whatever the configuration says, so that
//! the service manager alone decides about addresses.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixListener;

use rustix::net::sockopt::socket_acceptconn;

use super::ServeError;
use crate::config::AdminAddress;
use crate::config::Listen;
use crate::observe::ListenerKind;
use crate::proxy::Spot;

/// A listening socket that we were given.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) socket: Socket,
    /// What it is for, if that was said.
    pub(super) kind: Option<ListenerKind>,
    /// Whether it counts whatever the configuration says.
    pub(super) given: bool,
}

/// A listening socket, blocking or not.
#[derive(Debug)]
pub(super) enum Socket {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

/// Where to listen.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) spots: Vec<Spot>,
    /// The admin listener, where there is one already.
    pub(super) admin: Option<Passed>,
    /// What there is no use for.
    pub(super) unused: Vec<Passed>,
}

impl Socket {
    /// Its address, as the configuration writes it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "?".to_owned(), |it| it.to_string())
            }
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                format!("unix:{}", path.map_or("?".into(), |path| path.to_string_lossy()))
            }
        }
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    fn is_at(&self, admin: &AdminAddress) -> bool {
        match (self, admin) {
            (Self::Tcp(_), AdminAddress::Tcp(wanted)) => self.address() == Some(*wanted),
            (Self::Unix(listener), AdminAddress::Unix(wanted)) => {
                listener.local_addr().is_ok_and(|at| at.as_pathname() == Some(wanted))
            }
            (Self::Tcp(_), AdminAddress::Unix(_)) | (Self::Unix(_), AdminAddress::Tcp(_)) => false,
        }
    }
}

/// What the service manager passed to this very process. To be called while it has one thread.
///
/// # Errors
/// When something that was passed cannot be listened on.
pub(super) fn by_manager() -> Result<Vec<Passed>, ServeError> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut listenfd = listenfd::ListenFd::from_env();
    let mut passed = Vec::new();
    for number in 0..listenfd.len() {
        let name = names.next().unwrap_or_default();
        let kind = kind_named(name);
        // The error of the first attempt leaves the descriptor where it is.
        let unix = listenfd.take_unix_listener(number).ok().flatten().map(Socket::Unix);
        let mut tcp = || listenfd.take_tcp_listener(number).ok().flatten().map(Socket::Tcp);
        let Some(socket) = unix.or_else(&mut tcp).filter(listens) else {
            return Err(ServeError::NotListening { number: number + 3, name: name.to_owned() });
        };
        passed.push(Passed { socket, kind, given: kind.is_some() });
    }
    Ok(passed)
}

/// The kind that a word stands for.
pub(super) fn kind_named(name: &str) -> Option<ListenerKind> {
    ListenerKind::ALL.into_iter().find(|kind| word(*kind) == name)
}

/// A kind as the service manager and our own successor say it.
pub(super) const fn word(kind: ListenerKind) -> &'static str {
    match kind {
        ListenerKind::Https => "https",
        ListenerKind::Http => "http",
        ListenerKind::Admin => "admin",
    }
}

/// All sockets once more, with what they are for: to be handed on.
///
/// # Errors
/// When the system gives no more descriptors.
pub(super) fn copies(spots: &[Spot], door: Option<&Passed>) -> io::Result<Vec<Passed>> {
    let mut copies = Vec::new();
    for spot in spots {
        for socket in &spot.sockets {
            let socket = Socket::Tcp(socket.try_clone()?);
            copies.push(Passed { socket, kind: Some(spot.kind), given: spot.given });
        }
    }
    if let Some(Passed { socket, given, .. }) = door {
        let kind = Some(ListenerKind::Admin);
        copies.push(Passed { socket: socket.try_clone()?, kind, given: *given });
    }
    Ok(copies)
}

fn listens(socket: &Socket) -> bool {
    let listens = match socket {
        Socket::Tcp(listener) => socket_acceptconn(listener),
        Socket::Unix(listener) => socket_acceptconn(listener),
    };
    listens.unwrap_or(false)
}

/// Puts what was passed where it belongs.
///
/// # Errors
/// When a socket is named what it cannot be.
pub(super) fn plan(
    listen: &Listen,
    tls: bool,
    mut passed: Vec<Passed>,
) -> Result<Plan, ServeError> {
    let mut spots = Vec::new();
    for (kind, wanted) in [(ListenerKind::Https, &listen.https), (ListenerKind::Http, &listen.http)]
    {
        let given = take(&mut passed, |it| it.given && it.kind == Some(kind));
        if given.is_empty() {
            for address in wanted {
                let mut spot = Spot::new(*address, kind);
                spot.sockets = tcp(at(&mut passed, kind, *address));
                spots.push(spot);
            }
            continue;
        }
        if kind == ListenerKind::Https && !tls {
            return Err(ServeError::NoTls);
        }
        for Passed { socket, .. } in given {
            let Socket::Tcp(listener) = socket else {
                return Err(ServeError::NotTcp { kind: word(kind), name: socket.name() });
            };
            let address = listener.local_addr()?;
            let known =
                spots.iter_mut().find(|it: &&mut Spot| it.kind == kind && it.address == address);
            match known {
                Some(spot) => spot.sockets.push(listener),
                None => spots.push(Spot {
                    given: true,
                    sockets: vec![listener],
                    ..Spot::new(address, kind)
                }),
            }
        }
    }
    for spot in &mut spots {
        if let Some(address) = spot.sockets.first().map(TcpListener::local_addr).transpose()? {
            spot.address = address;
        }
        for socket in &spot.sockets {
            socket.set_nonblocking(true)?;
        }
    }
    let admin = admin(listen.admin.as_ref(), &mut passed);
    Ok(Plan { spots, admin, unused: passed })
}

fn admin(wanted: Option<&AdminAddress>, passed: &mut Vec<Passed>) -> Option<Passed> {
    let kind = ListenerKind::Admin;
    let given = passed.iter().position(|it| it.given && it.kind == Some(kind));
    let position = given.or_else(|| {
        let wanted = wanted?;
        let suits = |it: &Passed| it.may_be(kind);
        let exact = passed.iter().position(|it| suits(it) && it.socket.is_at(wanted));
        let AdminAddress::Tcp(wanted) = wanted else { return exact };
        exact.or_else(|| passed.iter().position(|it| suits(it) && it.took(kind, *wanted)))
    });
    position.map(|position| passed.remove(position))
}

/// All that listen on an address.
fn at(passed: &mut Vec<Passed>, kind: ListenerKind, wanted: SocketAddr) -> Vec<Passed> {
    let suits = |it: &Passed| it.may_be(kind);
    let exact = take(passed, |it| suits(it) && it.socket.address() == Some(wanted));
    if !exact.is_empty() {
        return exact;
    }
    let free = passed.iter().find(|it| suits(it) && it.took(kind, wanted));
    let Some(address) = free.and_then(|it| it.socket.address()) else { return Vec::new() };
    take(passed, |it| suits(it) && it.socket.address() == Some(address))
}

impl Passed {
    fn may_be(&self, kind: ListenerKind) -> bool {
        self.kind.is_none_or(|its| its == kind)
    }

    /// Whether it is the free port that was taken where the configuration says port 0.
    fn took(&self, kind: ListenerKind, wanted: SocketAddr) -> bool {
        let same = |address: SocketAddr| address.ip() == wanted.ip();
        wanted.port() == 0 && self.kind == Some(kind) && self.socket.address().is_some_and(same)
    }
}

fn take(passed: &mut Vec<Passed>, wanted: impl Fn(&Passed) -> bool) -> Vec<Passed> {
    passed.extract_if(.., |it| wanted(it)).collect()
}

fn tcp(passed: Vec<Passed>) -> Vec<TcpListener> {
    let listener = |it: Passed| match it.socket {
        Socket::Tcp(listener) => Some(listener),
        Socket::Unix(_) => None,
    };
    passed.into_iter().filter_map(listener).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::HttpAccepts;

    fn listen(https: &[SocketAddr], admin: Option<AdminAddress>) -> Listen {
        Listen {
            https: https.to_vec(),
            http: Vec::new(),
            http_accepts: HttpAccepts::default(),
            admin,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        }
    }

    fn socket() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn passed(listener: &TcpListener, kind: Option<ListenerKind>, given: bool) -> Passed {
        Passed { socket: Socket::Tcp(listener.try_clone().unwrap()), kind, given }
    }

    fn free(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_name_counts_whatever_the_configuration_says() {
        let (named, address) = socket();
        let named = passed(&named, Some(ListenerKind::Https), true);
        let plan = plan(&listen(&[free(1), free(2)], None), true, vec![named]).unwrap();
        let spots: Vec<_> = plan.spots.iter().map(|it| (it.address, it.sockets.len())).collect();
        assert_eq!(spots, [(address, 1)]);
        assert!(plan.spots[0].given && plan.unused.is_empty());
    }

    #[test]
    fn without_a_name_the_address_decides() {
        let ((first, one), (second, two)) = (socket(), socket());
        let sockets = vec![passed(&first, None, false), passed(&second, None, false)];
        let admin = Some(AdminAddress::Tcp(two));
        let plan = plan(&listen(&[free(1), one], admin), true, sockets).unwrap();
        let spots: Vec<_> = plan.spots.iter().map(|it| (it.address, it.sockets.len())).collect();
        assert_eq!(spots, [(free(1), 0), (one, 1)]);
        assert!(plan.admin.unwrap().socket.is_at(&AdminAddress::Tcp(two)));
        assert!(plan.unused.is_empty());
    }

    #[test]
    fn what_fits_nothing_is_left_over_and_a_free_port_fits_its_own_kind_only() {
        let (stray, _) = socket();
        let wanted = listen(&[free(0)], None);
        for kind in [None, Some(ListenerKind::Http), Some(ListenerKind::Admin)] {
            let plan = plan(&wanted, true, vec![passed(&stray, kind, false)]).unwrap();
            assert_eq!((plan.unused.len(), plan.spots[0].sockets.len()), (1, 0), "{kind:?}");
        }
        let https = Some(ListenerKind::Https);
        let sockets = vec![passed(&stray, https, false), passed(&stray, https, false)];
        let plan = plan(&wanted, true, sockets).unwrap();
        assert_eq!((plan.unused.len(), plan.spots[0].sockets.len()), (0, 2));
    }

    #[test]
    fn https_wants_tls() {
        let (named, _) = socket();
        let named = passed(&named, Some(ListenerKind::Https), true);
        let refused = plan(&listen(&[], None), false, vec![named]);
        assert!(matches!(refused, Err(ServeError::NoTls)), "{refused:?}");
    }
}
