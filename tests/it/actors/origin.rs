//! The upstream: a server that notes every byte and behaves, or misbehaves, as its script says.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::pki::Identity;
use super::wire::{Fields, Framing, Piece, Socket, Wire, parse_head, values};
use super::{PATIENCE, scripts};

/// What the upstream saw of one request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
    /// The body came to its end.
    pub(crate) complete: bool,
    /// The other side left before the script was done.
    pub(crate) gone: bool,
}

impl Seen {
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.fields, name)
    }

    /// The one value of a field; `None` when there is none.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "`{name}` arrived twice: {values:?}");
        values.first().copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

/// Everything that was seen so far.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) requests: Vec<Seen>,
    pub(crate) connections: usize,
    pub(crate) open: usize,
}

#[derive(Default)]
struct Log {
    state: Mutex<State>,
    changed: Condvar,
}

impl Log {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
        result
    }
}

/// What becomes of the connection after a script.
#[derive(PartialEq, Eq)]
pub(crate) enum After {
    Keep,
    Close,
}

type Script = dyn Fn(&mut Exchange<'_>) -> After + Send + Sync;

/// A running upstream; it ends with the test.
pub(crate) struct Origin {
    /// For `upstream.url`.
    pub(crate) url: String,
    log: Arc<Log>,
    _directory: Option<TempDir>,
}

impl Origin {
    /// One that answers every request with what it saw, as JSON.
    pub(crate) fn echo() -> Self {
        Self::tcp(scripts::echo)
    }

    pub(crate) fn tcp(script: impl Fn(&mut Exchange<'_>) -> After + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // Hundreds may connect at once, and who is not taken at once tries again a second later.
        rustix::net::listen(&listener, 1024).unwrap();
        Self::listening(listener, script)
    }

    /// On a listener that exists already: to come back on the same port.
    pub(crate) fn listening(
        listener: TcpListener,
        script: impl Fn(&mut Exchange<'_>) -> After + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let log = Arc::<Log>::default();
        serve(Arc::clone(&log), Arc::new(script), move || {
            let (stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Socket>)
        });
        let url = format!("http://{address}");
        Self { url, log, _directory: None }
    }

    pub(crate) fn unix(
        script: impl Fn(&mut Exchange<'_>) -> After + Send + Sync + 'static,
    ) -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("upstream.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let log = Arc::<Log>::default();
        serve(Arc::clone(&log), Arc::new(script), move || {
            Ok(Box::new(listener.accept()?.0) as Box<dyn Socket>)
        });
        let url = format!("unix:{}", path.display());
        Self { url, log, _directory: Some(directory) }
    }

    pub(crate) fn tls(
        identity: &Identity,
        script: impl Fn(&mut Exchange<'_>) -> After + Send + Sync + 'static,
    ) -> Self {
        let config = identity.server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::<Log>::default();
        serve(Arc::clone(&log), Arc::new(script), move || {
            let (stream, _): (TcpStream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            let session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
            Ok(Box::new(StreamOwned::new(session, stream)) as Box<dyn Socket>)
        });
        let url = format!("https://{address}");
        Self { url, log, _directory: None }
    }

    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.state().requests.clone()
    }

    /// The only request that was seen.
    pub(crate) fn only(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "requests seen upstream: {requests:#?}");
        requests.into_iter().next().unwrap()
    }

    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request upstream")
    }

    pub(crate) fn count(&self) -> usize {
        self.state().requests.len()
    }

    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// Waits until what was seen satisfies a condition.
    pub(crate) fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let state = self.state();
        let (state, _) =
            self.log.changed.wait_timeout_while(state, PATIENCE, |state| !done(state)).unwrap();
        assert!(done(&state), "upstream never saw {what}: {:#?}", state.requests);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.log.state.lock().unwrap()
    }
}

fn serve(
    log: Arc<Log>,
    script: Arc<Script>,
    mut accept: impl FnMut() -> io::Result<Box<dyn Socket>> + Send + 'static,
) {
    thread::spawn(move || {
        while let Ok(socket) = accept() {
            let (log, script) = (Arc::clone(&log), Arc::clone(&script));
            thread::spawn(move || {
                let connection = log.change(|state| {
                    state.connections += 1;
                    state.open += 1;
                    state.connections - 1
                });
                let mut wire = Wire::new(socket);
                // A failure to read or write is the other side's leaving; the log has it.
                let _ = converse(&log, &*script, connection, &mut wire);
                wire.socket.hang_up();
                log.change(|state| state.open -= 1);
            });
        }
    });
}

fn converse(log: &Log, script: &Script, connection: usize, wire: &mut Wire) -> io::Result<()> {
    // An idle connection may stay as long as any test.
    wire.socket.patience(Duration::from_mins(5));
    while let Some(head) = wire.head()? {
        let (first, fields) = parse_head(&head);
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let left = Framing::of(&fields, Framing::Length(0));
        let seen = Seen { connection, method, target, fields, ..Seen::default() };
        let index = log.change(|state| {
            state.requests.push(seen.clone());
            state.requests.len() - 1
        });
        let mut exchange = Exchange { request: seen, wire, log, index, left, ended: false };
        if script(&mut exchange) == After::Close || !exchange.drain() {
            break;
        }
    }
    Ok(())
}

/// One request and what a script does about it.
pub(crate) struct Exchange<'c> {
    pub(crate) request: Seen,
    wire: &'c mut Wire,
    log: &'c Log,
    index: usize,
    left: Framing,
    ended: bool,
}

impl Exchange<'_> {
    /// The next piece of the request's body; `None` at its end or when the other side left.
    pub(crate) fn piece(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        match self.wire.piece(&mut self.left) {
            Ok(Piece::Data(data)) => {
                self.note(|seen| seen.body.extend_from_slice(&data));
                return Some(data);
            }
            Ok(Piece::End(trailers)) => self.note(|seen| {
                seen.complete = true;
                seen.trailers.clone_from(&trailers);
            }),
            Ok(Piece::Cut) | Err(_) => self.note(|seen| seen.gone = true),
        }
        self.ended = true;
        None
    }

    /// Reads the body to its end; `false` when the other side left before.
    pub(crate) fn drain(&mut self) -> bool {
        while self.piece().is_some() {}
        self.request.complete
    }

    /// Sends bytes as they are; `false` when the other side is gone.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = self.wire.write(bytes.as_ref()).is_ok();
        if !sent {
            self.note(|seen| seen.gone = true);
        }
        sent
    }

    /// Waits until the other side leaves, and notes it.
    pub(crate) fn wait_gone(&mut self) -> bool {
        self.wire.socket.patience(PATIENCE);
        let gone = loop {
            match self.wire.fill() {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => {
                    let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
                    break !late.contains(&error.kind());
                }
            }
        };
        if gone {
            self.note(|seen| seen.gone = true);
        }
        gone
    }

    /// Whatever bytes come, without any framing; `None` when the other side left.
    pub(crate) fn raw(&mut self) -> Option<Vec<u8>> {
        if self.wire.buffer.is_empty() && !matches!(self.wire.fill(), Ok(1..)) {
            self.note(|seen| seen.gone = true);
            return None;
        }
        Some(std::mem::take(&mut self.wire.buffer))
    }

    fn note(&mut self, change: impl Fn(&mut Seen)) {
        change(&mut self.request);
        self.log.change(|state| change(&mut state.requests[self.index]));
    }
}
