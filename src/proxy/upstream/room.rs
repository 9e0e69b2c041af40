//! Memory that the connections of one worker share.
//!
//! A connection that waits holds no buffer: what is read goes into a piece of memory that all share,
//! and each keeps the part that it has read. The pieces are small, so that a slow client who
//! keeps a few bytes keeps little else; whoever sends much is read into larger ones.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much is asked for at once of who sends little, and of who sends much.
const LITTLE: Piece = Piece { memory: 16 * 1024, least: 4 * 1024 };
const MUCH: Piece = Piece { memory: 128 * 1024, least: 64 * 1024 };
/// What is kept to write a head into.
const LARGEST_LEAD: usize = 16 * 1024;

/// How large a piece of memory is, and with how much left of it the next one is begun.
struct Piece {
    memory: usize,
    least: usize,
}

/// The memory.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Room {
    little: RefCell<BytesMut>,
    much: RefCell<BytesMut>,
    lead: RefCell<Vec<u8>>,
}

impl Room {
    /// Reads once; nothing means that the other side has ended. Notes whether much came.
    pub(super) fn poll_read(
        &self,
        context: &mut Context<'_>,
        io: &mut (impl AsyncRead + Unpin),
        much: &mut bool,
    ) -> Poll<io::Result<BytesMut>> {
        let (memory, piece) = if *much { (&self.much, MUCH) } else { (&self.little, LITTLE) };
        let mut memory = memory.borrow_mut();
        if memory.capacity() < piece.least {
            memory.reserve(piece.memory);
        }
        let read = ready!(pin!(io.read_buf(&mut *memory)).poll(context))?;
        *much = read >= LITTLE.least;
        Poll::Ready(Ok(memory.split()))
    }

    /// An empty buffer for a head.
    pub(super) fn lead(&self) -> Vec<u8> {
        self.lead.take()
    }

    /// Takes it back.
    pub(super) fn put_lead(&self, mut lead: Vec<u8>) {
        if lead.capacity() <= LARGEST_LEAD {
            lead.clear();
            self.lead.replace(lead);
        }
    }
}
