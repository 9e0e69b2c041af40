//! Frames on their way to the library (RFC 9113, sections 4 to 6): where they begin and end, how
//! many of them carry nothing, and what stands in the paths of their header blocks.

use std::time::Duration;
use std::time::Instant;

use bytes::BytesMut;

use super::FRAGMENT;
use super::MANY;
use super::MARK;
use super::hpack::Found;
use super::hpack::Reader;

/// The length of the preface (section 3.4).
const PREFACE: usize = 24;
/// The length of a frame's head.
const HEAD: usize = 9;
/// The largest frame: what the specification begins with and we never raise.
const LARGEST_FRAME: usize = 16_384;
/// The largest header block with the frames that carry it: room for what the library reads in
/// order to refuse it with a status.
const LARGEST_BLOCK: usize = 128 * 1024;
/// How many fields a request may have: more than over HTTP/1, because here each cookie may be one.
const MOST_FIELDS: usize = 256;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PUSH_PROMISE: u8 = 5;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A PING without its content. The library ends the connection for it, in order: no other frame
/// tells it to.
const BROKEN_PING: [u8; HEAD] = [0, 0, 0, 6, 0, 0, 0, 0, 0];

/// How many frames that carry nothing a client may send at once, and how many a second for ever.
/// A client that takes a stream of small messages opens its windows twice for each; a request costs
/// hundreds of times as much as any of these frames.
const FRAMES: u32 = 10_000;
const FRAMES_A_SECOND: u32 = 2_000;
/// Each so many bytes of content, in either direction, allow one more.
const CONTENT_A_FRAME: usize = 256;
/// And each request so many.
const FRAMES_A_REQUEST: u32 = 8;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended;

/// How far a connection's input has come.
#[derive(Debug)]
pub(super) struct Framer {
    state: State,
    reader: Reader,
    allowance: Allowance,
    /// How many header blocks have come to their end.
    blocks: u64,
}

#[derive(Debug)]
enum State {
    Preface,
    /// Before a frame.
    Head,
    /// So many bytes of a frame are still to come, and to be handed on.
    Content(usize),
    /// In a header block of a stream.
    Block(Block),
}

/// A header block whose end has not come.
#[derive(Debug)]
struct Block {
    stream: [u8; 4],
    /// Its frames as they came.
    frames: BytesMut,
    /// Where the head of the last of them is.
    last: usize,
    /// What they carry.
    fields: BytesMut,
}

/// A frame's head.
#[derive(Clone, Copy, Debug)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: [u8; 4],
}

impl Framer {
    pub(super) fn new(now: Instant) -> Self {
        let allowance = Allowance { left: FRAMES, since: now };
        Self { state: State::Preface, reader: Reader::new(), allowance, blocks: 0 }
    }

    /// How many bytes may be handed on unseen.
    pub(super) const fn unseen(&self) -> usize {
        match self.state {
            State::Content(left) => left,
            State::Preface | State::Head | State::Block(_) => 0,
        }
    }

    /// Notes that so many of them were handed on.
    pub(super) fn passed(&mut self, count: usize) {
        if let State::Content(left) = &mut self.state {
            *left = left.saturating_sub(count);
            if *left == 0 {
                self.state = State::Head;
            }
        }
    }

    /// Notes that so many bytes were sent to the client.
    pub(super) fn sent(&mut self, count: usize) {
        self.allowance.content(count);
    }

    /// Whether a header block has begun whose end has not come.
    pub(super) const fn in_block(&self) -> bool {
        matches!(self.state, State::Block(_))
    }

    /// How many have come to their end.
    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Ends the connection, whatever has begun.
    pub(super) fn give_up(&mut self, to: &mut BytesMut) {
        self.state = State::Head;
        let Ended = broken(to);
    }

    /// Moves what may be handed on. What it leaves must be fed again, with more.
    ///
    /// # Errors
    /// When nothing more may be, after what was moved.
    pub(super) fn feed(
        &mut self,
        from: &mut BytesMut,
        to: &mut BytesMut,
        now: impl Fn() -> Instant,
    ) -> Result<(), Ended> {
        loop {
            match &mut self.state {
                State::Preface if from.len() >= PREFACE => {
                    to.unsplit(from.split_to(PREFACE));
                    self.state = State::Head;
                }
                State::Content(left) if !from.is_empty() => {
                    let taken = from.len().min(*left);
                    to.unsplit(from.split_to(taken));
                    self.passed(taken);
                }
                State::Preface | State::Content(_) => return Ok(()),
                State::Head | State::Block(_) => {
                    if !self.frame(from, to, &now)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Looks at the next frame; whether enough of it was there.
    fn frame(
        &mut self,
        from: &mut BytesMut,
        to: &mut BytesMut,
        now: impl Fn() -> Instant,
    ) -> Result<bool, Ended> {
        let Some(head) = Head::read(from) else { return Ok(false) };
        if head.length > LARGEST_FRAME {
            // The library has seen enough to end the connection.
            to.unsplit(from.split_to(HEAD));
            return Err(Ended);
        }
        if let State::Block(block) = &self.state
            && !block.continues(head)
        {
            return Err(broken(to));
        }
        match head.kind {
            HEADERS | CONTINUATION => {
                if from.len() < HEAD + head.length {
                    return Ok(false);
                }
                self.block(head, from.split_to(HEAD + head.length), to)?;
                return Ok(true);
            }
            // No client may promise anything.
            PUSH_PROMISE => return Err(broken(to)),
            DATA if head.length > 0 => self.allowance.content(head.length),
            _ => self.allowance.spend(now).map_err(|Ended| broken(to))?,
        }
        to.unsplit(from.split_to(HEAD));
        if head.length > 0 {
            self.state = State::Content(head.length);
        }
        Ok(true)
    }

    /// Adds a whole frame to a header block, and hands the block on when that ends it.
    fn block(&mut self, head: Head, frame: BytesMut, to: &mut BytesMut) -> Result<(), Ended> {
        let fields = head.fields(&frame).ok_or_else(|| broken(to))?;
        let state = std::mem::replace(&mut self.state, State::Head);
        let block = match state {
            State::Block(mut block) => {
                block.last = block.frames.len();
                block.fields.extend_from_slice(fields);
                block.frames.unsplit(frame);
                block
            }
            State::Head if head.kind == HEADERS => {
                let fields = BytesMut::from(fields);
                Block { stream: head.stream, frames: frame, last: 0, fields }
            }
            State::Preface | State::Head | State::Content(_) => return Err(broken(to)),
        };
        if block.frames.len() > LARGEST_BLOCK {
            return Err(broken(to));
        }
        if head.flags & END_HEADERS == 0 {
            self.state = State::Block(block);
            return Ok(());
        }
        let found = self.reader.read(&block.fields).map_err(|_| broken(to))?;
        self.allowance.request();
        self.blocks += 1;
        let mark = match found {
            Found { fields, .. } if fields > MOST_FIELDS => Some(MANY),
            Found { fragment: true, .. } => Some(FRAGMENT),
            Found { .. } => None,
        };
        block.hand_on(mark, to);
        Ok(())
    }
}

/// Has the library end the connection.
fn broken(to: &mut BytesMut) -> Ended {
    to.extend_from_slice(&BROKEN_PING);
    Ended
}

impl Block {
    fn continues(&self, head: Head) -> bool {
        head.kind == CONTINUATION && head.stream == self.stream
    }

    /// Perhaps with a mark: one field more, in a frame of its own.
    fn hand_on(mut self, mark: Option<u8>, to: &mut BytesMut) {
        let Some(mark) = mark else { return to.unsplit(self.frames) };
        if let Some(flags) = self.frames.get_mut(self.last + 4) {
            *flags &= !END_HEADERS;
        }
        to.unsplit(self.frames);
        // Literal, without indexing, so that neither table changes (RFC 7541, section 6.2.2).
        let name = u8::try_from(MARK.as_str().len()).unwrap_or_default();
        to.extend_from_slice(&[0, 0, name + 4, CONTINUATION, END_HEADERS]);
        to.extend_from_slice(&self.stream);
        to.extend_from_slice(&[0, name]);
        to.extend_from_slice(MARK.as_str().as_bytes());
        to.extend_from_slice(&[1, mark]);
    }
}

impl Head {
    fn read(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD>()?;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Self { length, kind, flags, stream })
    }

    /// What a frame of a header block has of it (RFC 9113, section 6.2).
    fn fields(self, frame: &[u8]) -> Option<&[u8]> {
        let mut fields = frame.get(HEAD..)?;
        if self.kind != HEADERS {
            return Some(fields);
        }
        let mut padding = 0;
        if self.flags & PADDED != 0 {
            let (length, rest) = fields.split_first()?;
            (padding, fields) = (usize::from(*length), rest);
        }
        if self.flags & PRIORITY != 0 {
            fields = fields.get(5..)?;
        }
        fields.get(..fields.len().checked_sub(padding)?)
    }
}

/// How many frames that carry nothing may still come.
#[derive(Debug)]
struct Allowance {
    left: u32,
    since: Instant,
}

impl Allowance {
    fn spend(&mut self, now: impl Fn() -> Instant) -> Result<(), Ended> {
        if self.left == 0 {
            let now = now();
            let passed = now.saturating_duration_since(self.since).min(Duration::from_secs(60));
            self.since = now;
            let more = passed.as_millis().saturating_mul(FRAMES_A_SECOND.into()) / 1000;
            self.add(u32::try_from(more).unwrap_or(FRAMES));
        }
        self.left = self.left.checked_sub(1).ok_or(Ended)?;
        Ok(())
    }

    fn content(&mut self, bytes: usize) {
        self.add(u32::try_from(bytes / CONTENT_A_FRAME).unwrap_or(FRAMES));
    }

    fn request(&mut self) {
        self.add(FRAMES_A_REQUEST);
    }

    fn add(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(FRAMES);
    }
}

#[cfg(test)]
mod tests;
