//! HTTP/2 with clients: every limit said once, and input that is looked at before the library is
//! given it.

mod framer;
mod frames;
mod hpack;
mod huffman;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};
use hyper::rt::{Sleep, Timer};
use hyper::server::conn::http2;
use hyper_util::rt::TokioTimer;
use tokio::sync::Notify;

pub(super) use self::frames::Framed;

use super::exec::Streams;
use super::guard::Flaw;
use crate::clock;

/// The field that marks a request with what the library would not tell. It never travels on: a
/// request that has it is refused, whoever put it there.
const MARK: HeaderName = HeaderName::from_static("keygate-flaw");
/// Its value where the path has a fragment, which the library cuts off.
const FRAGMENT: u8 = b'#';
/// Its value where there are too many fields.
const MANY: u8 = b'+';

/// The largest list of header fields, in bytes as RFC 9113, section 6.5.2 counts them. Beyond it
/// the answer is 431, beyond four times as much the connection ends. As large as a head may be over
/// HTTP/1.
const HEADER_LIST: u32 = 64 * 1024;
/// The table that compresses their fields: the specification's own size, which is what the reader
/// of header blocks counts with.
const HEADER_TABLE: u32 = 4096;
/// The largest frame from a client: the specification's own, the smallest that can be asked for.
const FRAME: u32 = 16 * 1024;
/// How much of a body a client may send before it was passed on: on one stream, where one that is not
/// passed on must leave others room, and on all, which is the most memory that uploads of one connection
/// take.
const STREAM_WINDOW: u32 = CONNECTION_WINDOW / 4;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of an answer waits for a client that takes it slowly, on one stream.
const SEND_BUFFER: usize = 64 * 1024;
/// How many requests a client may take back before we have even seen them (rapid reset,
/// CVE-2023-44487). One after the other they are counted by [`Resets`].
const UNSEEN_RESETS: usize = 20;
/// How many streams a client may have us reset, by what the specification forbids, in all the life
/// of a connection (CVE-2025-8671).
const OWN_RESETS: usize = 256;

/// What the library is told. What a client opens beyond so many `streams` at once is refused, and
/// counts for [`OWN_RESETS`].
pub(super) fn builder(executor: Streams, streams: u32) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(Ticks(TokioTimer::new()))
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_LIST)
        .header_table_size(HEADER_TABLE)
        .max_frame_size(FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// The library's timer. It asks for the time with each frame and thinks in seconds.
#[derive(Debug)]
struct Ticks(TokioTimer);

impl Timer for Ticks {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.0.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.0.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        clock::latest()
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        self.0.reset(sleep, deadline);
    }
}

/// What is wrong with a request although the library did not notice.
pub(super) fn flaw(headers: &HeaderMap) -> Option<Flaw> {
    match headers.get(MARK)?.as_bytes() {
        [FRAGMENT] => Some(Flaw::Fragment),
        _ => Some(Flaw::Malformed),
    }
}

/// How many requests a client took back before they were answered: work for us and for the
/// upstream that costs it nothing.
#[derive(Debug, Default)]
pub(super) struct Resets {
    begun: Cell<u32>,
    taken_back: Cell<u32>,
    too_many: Notify,
}

/// One request that is being answered.
#[derive(Debug)]
pub(super) struct Answering {
    resets: Rc<Resets>,
    answered: bool,
}

impl Resets {
    /// So many may be taken back whatever the rest.
    const FREE: u32 = 100;

    pub(super) fn begin(self: &Rc<Self>) -> Answering {
        self.begun.set(self.begun.get().saturating_add(1));
        Answering { resets: Rc::clone(self), answered: false }
    }

    /// Until two of three of many requests were taken back.
    pub(super) async fn too_many(&self) {
        self.too_many.notified().await;
    }
}

impl Answering {
    /// The answer is there.
    pub(super) fn done(mut self) {
        self.answered = true;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let (resets, taken_back) = (&self.resets, self.resets.taken_back.get().saturating_add(1));
        resets.taken_back.set(taken_back);
        let begun = resets.begun.get();
        if taken_back > Resets::FREE && taken_back > begun - begun / 3 {
            resets.too_many.notify_one();
        }
    }
}
