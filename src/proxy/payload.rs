//! A request's body: still to come, or read into memory because a route wants to see it.
//!
//! What is read is copied together as it comes, so that a client's small pieces never hold large
//! buffers, and only what has come counts against the budget that all connections share.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::Version;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::clock;
use crate::gate::Budget;
use crate::gate::Denial;
use crate::gate::Reserve;

/// How long all of an inspected body may take: this, and a second for each of so many bytes that it may have.
const LONGEST: Duration = Duration::from_secs(30);
const BYTES_A_SECOND: usize = 64 * 1024;
/// The first piece of memory that is reserved for a body.
const FIRST: usize = 4 * 1024;

/// The body of a request.
pub(super) struct Payload {
    /// What was read of it.
    pub(super) read: Option<Bytes>,
    /// What is still to come.
    pub(super) rest: Option<Incoming>,
    /// What came after it.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// Why not all of it was read.
    stopped: Option<Denial>,
    /// Whether the rest knows whether it came to its end: over HTTP/2.
    pub(super) http2: bool,
}

/// Whether a body over HTTP/2 that seems to be over is not. The library takes a reset without an error
/// for an end, because so an upstream says after its answer that it wants no more of the request (RFC
/// 9113, section 8.1). What ended before it was reset has still ended.
pub(super) fn is_torn(body: &Incoming) -> bool {
    !body.is_end_stream()
}

/// Memory that gives its share of the budget back when the last view of it is gone.
struct Held {
    bytes: Vec<u8>,
    reserve: Reserve,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The room that a body may take.
pub(super) struct Room<'a> {
    /// The most bytes of this body.
    pub(super) most: usize,
    /// What all connections share, and how much that is.
    pub(super) budget: (&'a Budget, usize),
    /// How long the client may pause within it.
    pub(super) pause: Duration,
}

impl Payload {
    pub(super) fn new(body: Incoming, version: Version) -> Self {
        let rest = (!body.is_end_stream()).then_some(body);
        let http2 = version == Version::HTTP_2;
        Self { read: None, rest, trailers: None, stopped: None, http2 }
    }

    /// Whether there is no body at all, or none any more.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_none() && self.read.is_none()
    }

    /// How long it is said to be, as long as none of it has been read.
    pub(super) fn announced(&self) -> Option<u64> {
        self.rest.as_ref().and_then(|rest| rest.size_hint().exact())
    }

    /// Whether none of it has been asked for yet.
    pub(super) const fn is_untouched(&self) -> bool {
        self.read.is_none()
    }

    /// The whole body, or why it was not read to its end; `None` if nobody has tried.
    pub(super) fn whole(&self) -> Option<Result<&[u8], Denial>> {
        match (&self.read, self.stopped, &self.rest) {
            (_, Some(denial), _) => Some(Err(denial)),
            (Some(read), None, None) => Some(Ok(read)),
            (None, None, None) => Some(Ok(&[])),
            (_, None, Some(_)) => None,
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// When the client broke it off. What else stands against it is kept for [`Self::whole`].
    pub(super) async fn collect(&mut self, room: &Room<'_>) -> Result<(), Denial> {
        let Some(body) = &mut self.rest else { return Ok(()) };
        let (budget, most) = room.budget;
        let Some(reserve) = budget.reserve(0, most) else {
            self.stopped = Some(Denial::Overloaded);
            return Ok(());
        };
        let mut held = Held { bytes: Vec::new(), reserve };
        let seconds = u64::try_from(room.most / BYTES_A_SECOND).unwrap_or(u64::MAX);
        let until = clock::mono() + LONGEST.saturating_add(Duration::from_secs(seconds));
        let read = held.fill((body, self.http2), room, until).await;
        let done = match read {
            Ok(trailers) => {
                self.trailers = trailers.map(Box::new);
                self.rest = None;
                Ok(())
            }
            Err(Stop::Denied(denial)) => {
                self.stopped = Some(denial);
                Ok(())
            }
            Err(Stop::Broken) => Err(Denial::MalformedRequest),
        };
        self.read = Some(Bytes::from_owner(held));
        done
    }
}

/// Why reading ends before the end.
enum Stop {
    Denied(Denial),
    Broken,
}

impl Held {
    async fn fill(
        &mut self,
        (body, http2): (&mut Incoming, bool),
        room: &Room<'_>,
        until: std::time::Instant,
    ) -> Result<Option<HeaderMap>, Stop> {
        let late = |_| Stop::Denied(Denial::RequestTimeout);
        loop {
            let next = until.min(clock::mono() + room.pause);
            let frame = tokio::time::timeout_at(next.into(), body.frame()).await.map_err(late)?;
            let frame = match frame {
                None if http2 && is_torn(body) => return Err(Stop::Broken),
                None => return Ok(None),
                Some(frame) => frame.map_err(|_| Stop::Broken)?,
            };
            match frame.into_data() {
                Ok(data) => self.take(&data, room)?,
                Err(frame) => return Ok(frame.into_trailers().ok()),
            }
        }
    }

    /// Keeps every byte, also those that are too many: they may have to travel on.
    fn take(&mut self, data: &[u8], room: &Room<'_>) -> Result<(), Stop> {
        let length = self.bytes.len().saturating_add(data.len());
        let denied = match self.make_room(length, room) {
            true if length <= room.most => None,
            true => Some(Denial::BodyTooLarge),
            false => Some(Denial::Overloaded),
        };
        self.bytes.extend_from_slice(data);
        denied.map_or(Ok(()), |denial| Err(Stop::Denied(denial)))
    }

    fn make_room(&mut self, length: usize, room: &Room<'_>) -> bool {
        let capacity = self.bytes.capacity();
        if length <= capacity || length > room.most {
            return true;
        }
        let wanted = (capacity * 2).max(FIRST).min(room.most).max(length);
        let grown = self.reserve.grow(wanted - capacity, room.budget.1);
        if grown {
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        grown
    }
}
