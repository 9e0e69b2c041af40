//! What the HTTP library swallows: a `#` in a request target.
//!
//! The library cuts a fragment off a target before anyone can see it. A server behind us that
//! reads targets differently must not be given the chance, so HTTP/1 input is watched for a
//! request line with a `#`, and the request that it began is refused. Knows no more of HTTP.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest line that is remembered across reads; longer targets are refused by their size.
const LONGEST_LINE: usize = 16 * 1024;
/// How many suspects a connection may have at once.
const MOST_SUSPECTS: usize = 8;

/// The request lines with a `#` that a connection has sent, up to the `#`.
#[derive(Clone, Debug, Default)]
pub(super) struct Fragments(Arc<Mutex<Vec<Vec<u8>>>>);

impl Fragments {
    /// Whether a request of this method and target came with a fragment. Says so once.
    pub(super) fn take(&self, method: &str, target: &str) -> bool {
        let mut suspects = self.suspects();
        let found = suspects.iter().position(|line| {
            let rest = line.strip_prefix(method.as_bytes());
            rest.and_then(|rest| rest.strip_prefix(b" ")).is_some_and(|rest| {
                rest.ends_with(target.as_bytes()) || (target == "/" && !rest.starts_with(b"/"))
            })
        });
        found.map(|at| suspects.swap_remove(at)).is_some()
    }

    /// Only ever touched by the connection's own thread, so nobody waits.
    fn suspects(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, line: Vec<u8>) {
        let mut suspects = self.suspects();
        if suspects.len() < MOST_SUSPECTS {
            suspects.push(line);
        }
    }
}

/// A stream whose input is watched.
#[derive(Debug)]
pub(super) struct Sniffed<T> {
    io: T,
    fragments: Fragments,
    /// The part of a line that an earlier read ended with.
    begun: Vec<u8>,
}

impl<T> Sniffed<T> {
    pub(super) fn new(io: T) -> (Self, Fragments) {
        let fragments = Fragments::default();
        (Self { io, fragments: fragments.clone(), begun: Vec::new() }, fragments)
    }

    fn look(&mut self, input: &[u8]) {
        let hash = memchr::memchr(b'#', input);
        if let Some(first) = hash {
            for at in memchr::memchr_iter(b'#', input.get(first..).unwrap_or_default()) {
                self.suspect(input.get(..first + at).unwrap_or_default());
            }
        }
        self.keep(input);
    }

    /// Looks at the line before a `#`.
    fn suspect(&self, before: &[u8]) {
        let line = match memchr::memrchr(b'\n', before) {
            Some(end) => before.get(end + 1..).unwrap_or_default().to_vec(),
            None => [self.begun.as_slice(), before].concat(),
        };
        let mut words = line.split(|&byte| byte == b' ');
        let method = words.next().unwrap_or_default();
        let is_method = !method.is_empty() && method.iter().all(u8::is_ascii_graphic);
        let is_target =
            words.next().is_some_and(|target| !target.is_empty() && !target.contains(&b'#'));
        if is_method && is_target && words.next().is_none() {
            self.fragments.add(line);
        }
    }

    /// Remembers the line that is not over yet.
    fn keep(&mut self, input: &[u8]) {
        let rest = match memchr::memrchr(b'\n', input) {
            Some(end) => {
                self.begun.clear();
                input.get(end + 1..).unwrap_or_default()
            }
            None => input,
        };
        let room = LONGEST_LINE.saturating_sub(self.begun.len());
        self.begun.extend_from_slice(rest.get(..room).unwrap_or(rest));
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Sniffed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &polled
            && let Some(input) = buffer.filled().get(before..)
        {
            self.look(input);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Sniffed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragments(reads: &[&str]) -> Fragments {
        let (mut sniffed, fragments) = Sniffed::new(());
        reads.iter().for_each(|read| sniffed.look(read.as_bytes()));
        fragments
    }

    #[test]
    fn a_fragment_in_a_request_line_is_seen_however_it_is_split() {
        let whole = "GET /a?b=1#c HTTP/1.1\r\nHost: x\r\n\r\n";
        for at in 0..whole.len() {
            let (first, second) = whole.split_at(at);
            assert!(fragments(&[first, second]).take("GET", "/a?b=1"), "split at {at}");
        }
        assert!(fragments(&["GET http://x/a#c HTTP/1.1\r\n\r\n"]).take("GET", "/a"));
        assert!(fragments(&["GET /#c HTTP/1.1\r\n\r\n"]).take("GET", "/"));
    }

    #[test]
    fn other_hashes_mean_nothing() {
        let text = "POST /a HTTP/1.1\r\nCookie: a=#b\r\nX: GET /a\r\n\r\n# GET /a\n{\"#\":\"/a#\"}";
        assert!(!fragments(&[text]).take("POST", "/a"));
        let other = fragments(&["x\r\nGET /b#c HTTP/1.1"]);
        assert!(!other.take("GET", "/a"));
        assert!(other.take("GET", "/b") && !other.take("GET", "/b"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut sniffed, fragments) = Sniffed::new(());
        (0..100).for_each(|_| sniffed.look(&[b'a'; 4096]));
        assert!(sniffed.begun.len() <= LONGEST_LINE);
        (0..100).for_each(|_| sniffed.look(b"\nGET /a#b"));
        assert!(fragments.suspects().len() <= MOST_SUSPECTS);
    }
}
