//! Where requests begin and end in a stream of bytes (RFC 9112, sections 2 and 6).

use super::chunks::Chunks;
use super::head::{self, Framing};

/// The largest head.
const LARGEST_HEAD: usize = 64 * 1024;

/// How far a connection's input has come.
#[derive(Debug, Default)]
pub(super) struct Framer {
    state: State,
    requests: u64,
}

#[derive(Debug, Default)]
enum State {
    /// In a head, or before one.
    #[default]
    Head,
    /// So many bytes of a body are still to come.
    Length(u64),
    /// In a body of chunks.
    Chunked(Chunks),
}

/// What was made of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fed {
    /// So many of them may be handed on; the rest is the beginning of a head.
    pub(super) pass: usize,
    /// Why nothing after them may be.
    pub(super) ended: Option<Ended>,
}

/// What cannot be read in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// A head.
    Head,
    /// A head of which only the target is wrong: it has bytes that no path has.
    Path,
    /// A body's framing.
    Body,
}

impl Framer {
    /// How many heads have been handed on.
    pub(super) const fn requests(&self) -> u64 {
        self.requests
    }

    /// Follows the input. What was not passed must be fed again, with more. Notes the numbers of
    /// the requests whose targets have fragments.
    pub(super) fn feed(&mut self, bytes: &[u8], fragments: &mut Vec<u64>) -> Fed {
        let mut pass = 0;
        loop {
            let rest = bytes.get(pass..).unwrap_or_default();
            if rest.is_empty() {
                return Fed { pass, ended: None };
            }
            let taken = match &mut self.state {
                State::Head => match self.head(rest, fragments) {
                    Ok(Some(length)) => length,
                    Ok(None) => return Fed { pass, ended: None },
                    Err(ended) => return Fed { pass, ended: Some(ended) },
                },
                State::Length(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= taken as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                    taken
                }
                State::Chunked(chunks) => {
                    let (taken, done) = match chunks.feed(rest) {
                        Ok(progress) => progress,
                        Err(at) => return Fed { pass: pass + at, ended: Some(Ended::Body) },
                    };
                    if done {
                        self.state = State::Head;
                    }
                    taken
                }
            };
            pass += taken;
        }
    }

    /// Reads a head, if all of it is there.
    fn head(&mut self, bytes: &[u8], fragments: &mut Vec<u64>) -> Result<Option<usize>, Ended> {
        let Some(length) = end(bytes)? else {
            return if bytes.len() > LARGEST_HEAD { Err(Ended::Head) } else { Ok(None) };
        };
        if length > LARGEST_HEAD {
            return Err(Ended::Head);
        }
        let bytes = bytes.get(..length).unwrap_or_default();
        let read = head::read(bytes).ok_or_else(|| match head::has_odd_target(bytes) {
            true => Ended::Path,
            false => Ended::Head,
        })?;
        self.requests += 1;
        if read.fragment {
            fragments.push(self.requests);
        }
        self.state = match read.framing {
            Framing::None => State::Head,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunks::default()),
        };
        Ok(Some(length))
    }
}

/// The length of a head up to and with the empty line that ends it. Every line ends with CR and
/// LF; one empty line may stand before the first (RFC 9112, section 2.2).
fn end(bytes: &[u8]) -> Result<Option<usize>, Ended> {
    let mut line = 0;
    for at in memchr::memchr_iter(b'\n', bytes) {
        match bytes.get(line..at) {
            Some([.., b'\r']) => {}
            _ => return Err(Ended::Head),
        }
        match (at == line + 1, line) {
            (false, _) | (true, 0) => line = at + 1,
            // The second in a row at the beginning.
            (true, 2) => return Err(Ended::Head),
            (true, _) => return Ok(Some(at + 1)),
        }
    }
    Ok(None)
}
