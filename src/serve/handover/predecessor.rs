//! The side that takes over.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use rustix::net::AddressFamily;
use rustix::net::sockopt::socket_domain;

use super::ANSWER;
use super::END;
use super::GO;
use super::MAIN;
use super::PREPARATION;
use super::PREPARED;
use super::SERVING;
use super::VARIABLE;
use super::channel::Channel;
use super::channel::Message;
use crate::serve::ServeError;
use crate::serve::passed::Passed;
use crate::serve::passed::Socket;
use crate::serve::passed::kind_named;

/// The process whose place we take.
#[derive(Debug)]
pub(in crate::serve) struct Predecessor(Channel);

impl Predecessor {
    /// Who started us to take over, if somebody did, and the sockets that we are to listen on.
    ///
    /// # Errors
    /// When it is gone already.
    pub(in crate::serve) fn of_this_process() -> Result<Option<(Self, Vec<Passed>)>, ServeError> {
        let named = std::env::var(VARIABLE).ok().and_then(|pid| pid.parse().ok());
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        // The variable of somebody else, inherited, means nothing.
        if named.is_none() || named != parent {
            return Ok(None);
        }
        let Some(channel) = Channel::of(io::stdin().as_fd().try_clone_to_owned()?) else {
            return Ok(None);
        };
        rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
        channel.wait_at_most(ANSWER)?;
        let mut passed = Vec::new();
        loop {
            let message = channel.receive()?.ok_or(ServeError::NotHandedOver)?;
            if message.text == END {
                break;
            }
            passed.extend(socket(message));
        }
        Ok(Some((Self(channel), passed)))
    }

    /// Says that everything is loaded and listened on, and waits for the word to go.
    ///
    /// # Errors
    /// When it does not come: then the other process serves on.
    pub(in crate::serve) fn prepared(&self) -> Result<(), ServeError> {
        self.0.wait_at_most(PREPARATION)?;
        self.0.send(PREPARED, None)?;
        match self.0.hear(GO) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ServeError::NotHandedOver),
        }
    }

    /// Says that we serve, and waits until the service manager was told of it: what we say to that
    /// is heard only then.
    pub(in crate::serve) fn serving(self) {
        // If it has gone meanwhile, or is of a version that says no more, we serve all the same.
        let _ = self.0.wait_at_most(ANSWER);
        let _ = self.0.send(SERVING, None).and_then(|()| self.0.hear(MAIN));
    }
}

/// `None` for what a newer program may send that we do not know.
fn socket(Message { text, socket }: Message) -> Option<Passed> {
    let (kind, origin) = text.split_once(' ')?;
    let kind = Some(kind_named(kind)?);
    let socket = listener(socket?);
    Some(Passed { socket, kind, given: origin == "given" })
}

fn listener(socket: OwnedFd) -> Socket {
    match socket_domain(&socket) {
        Ok(AddressFamily::UNIX) => Socket::Unix(UnixListener::from(socket)),
        _ => Socket::Tcp(TcpListener::from(socket)),
    }
}
