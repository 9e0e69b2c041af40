//! HTTP/1.1 towards the upstream: one connection, owned by the request that uses it.
//!
//! An answer is read as strictly as a request is: a head, or the framing of a body, that has more than
//! one reading is no answer. A connection serves another request only when both sides have said
//! everything, and nothing else.
//!
//! Must not know keys, routes or clients: only a request that may be sent.

mod connection;
mod decoder;
mod head;
mod reading;
mod room;
mod sending;
mod stream;

use std::io;

use http::{Extensions, HeaderMap, StatusCode};

use super::body::RequestBody;

pub(super) use self::connection::Connection;
pub(super) use self::head::LARGEST_HEAD;
pub use self::reading::{Reading, read};
pub(super) use self::room::Room;
pub(super) use self::sending::Head;
pub(super) use self::stream::{Carrier, Stream};

/// What an answer says before its body.
pub(super) struct Opening {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// With the reason phrase, where that is one of its own.
    pub(super) extensions: Extensions,
}

/// Why an exchange ends before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// What came is not HTTP, or has more than one reading.
    #[error("{0}")]
    Garbage(&'static str),
    /// The upstream ended the connection.
    #[error("the connection ended before the answer did")]
    Closed,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(io::Error),
    /// The client broke its own body off.
    #[error("the request was broken off")]
    Client,
    /// A connection that others share failed.
    #[error(transparent)]
    Shared(#[from] hyper::Error),
}

/// A request without an answer.
pub(super) struct Failed {
    pub(super) why: Broken,
    pub(super) again: Again,
}

impl From<Broken> for Failed {
    fn from(why: Broken) -> Self {
        Self { why, again: Again::Never }
    }
}

/// Whether a request may be sent once more.
pub(super) enum Again {
    /// Something of an answer came.
    Never,
    /// Nothing of an answer came, but the upstream may have acted.
    Unanswered,
    /// It says that it has done nothing.
    Unheard,
    /// Nothing of it went out; here is its body.
    Unsent(RequestBody),
}
