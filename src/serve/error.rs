//! Why the process cannot serve.

use std::io;

use thiserror::Error;

use super::handover::CATCHING_UP;
use crate::proxy::ListenError;
use crate::source::Problem;

/// Why the process cannot serve although its files are right.
#[derive(Debug, Error)]
pub enum ServeError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The admin address cannot be listened on.
    #[error("cannot listen on {address} for `listen.admin`: {error}")]
    Admin {
        /// The address or the path.
        address: String,
        /// What the system says.
        error: io::Error,
    },
    /// The access log cannot be written.
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    /// What the service manager passed is no listening stream socket.
    #[error(
        "descriptor {number} (`{name}`), which the service manager passed, is no stream socket that listens"
    )]
    NotListening {
        /// The descriptor.
        number: usize,
        /// What the service manager calls it.
        name: String,
    },
    /// What should take requests is no TCP socket.
    #[error("the socket {name}, which the service manager passed as `{kind}`, is no TCP socket")]
    NotTcp {
        /// What it is passed as.
        kind: &'static str,
        /// Where it listens.
        name: String,
    },
    /// TLS without a certificate.
    #[error("the service manager passed a socket as `https`, but the configuration has no `[tls]`")]
    NoTls,
    /// No use for what the service manager passed.
    #[error(
        "the service manager passed a socket on {name}, which no listener of the configuration has"
    )]
    Unwanted {
        /// Where it listens.
        name: String,
    },
    /// The process whose place was to be taken serves on, or is gone.
    #[error(
        "nothing was handed over: the process that was to hand over its sockets went on by itself, or ended"
    )]
    NotHandedOver,
    /// What changed while we loaded is in force only in the process whose place was to be taken.
    #[error(
        "nothing was taken over: what changed in the files meanwhile was not read within {} s",
        CATCHING_UP.as_secs()
    )]
    NotCaughtUp,
    /// The system gives no thread, no signal, no runtime.
    #[error("the system does not give what serving needs: {0}")]
    System(#[from] io::Error),
    /// A worker ended although nobody told it to.
    #[error("a worker ended unexpectedly")]
    Worker,
}

impl ServeError {
    /// As it is shown.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let help = match self {
            Self::NotListening { .. } | Self::NotTcp { .. } => {
                "use `ListenStream=` with an address and a port in the socket unit"
            }
            Self::NoTls => "add `[tls]` with `certificate` and `private_key`",
            Self::Unwanted { .. } => {
                "write the same address in `[listen]`, or name the socket with \
                 `FileDescriptorName=https`, `http` or `admin` in the socket unit"
            }
            Self::AccessLog(_) => "let the user that keygate runs as write to it",
            Self::Listen(_)
            | Self::Admin { .. }
            | Self::NotHandedOver
            | Self::NotCaughtUp
            | Self::System(_)
            | Self::Worker => return Problem::new(self.to_string()),
        };
        Problem::new(self.to_string()).help(help)
    }
}
