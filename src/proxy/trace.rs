//! `traceparent` and `tracestate` (W3C Trace Context, level 2): the client's trace goes on with a
//! span of ours, or one begins here.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::id::anywhere;
use super::id::mix;
use crate::config::Tracing;
use crate::observe::Trace;

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long the header is in the version that we speak, and how many share one piece of memory.
const LENGTH: usize = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-00".len();
const BLOCK: usize = 32;

const SAMPLED: u8 = 0x01;
const RANDOM: u8 = 0x02;
/// The bits of a trace's id that are random, and by which it is chosen.
const LOWER: u64 = (1 << 56) - 1;

/// Makes the ids of one worker's traces and spans. They protect nothing.
#[derive(Debug)]
pub(super) struct Traces {
    worker: u64,
    next: Cell<u64>,
    room: RefCell<BytesMut>,
}

impl Traces {
    /// Begins anywhere.
    pub(super) fn new() -> Self {
        let [worker, next] = anywhere();
        Self { worker, next: Cell::new(next), room: RefCell::default() }
    }

    /// The trace of a request; `trusted` is whether the client's word counts.
    pub(super) fn of(&self, headers: &HeaderMap, trusted: bool, tracing: &Tracing) -> Trace {
        let said = if trusted { parent(headers) } else { None };
        let span_id = self.id();
        said.map_or_else(|| self.begin(span_id, tracing), |parent| Trace { span_id, ..parent })
    }

    fn begin(&self, span_id: u64, tracing: &Tracing) -> Trace {
        let lower = self.id();
        let sampled = lower & LOWER >= tracing.left_out;
        let trace_id = [self.id() ^ self.worker, lower];
        Trace { trace_id, span_id, parent_id: 0, sampled, random: true }
    }

    /// An id that is not zero.
    fn id(&self) -> u64 {
        // An odd step comes by every number before it comes by one again.
        let next = self.next.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.next.set(next);
        mix(next).max(1)
    }

    /// What the upstream is told.
    pub(super) fn header(&self, trace: &Trace) -> HeaderValue {
        let mut room = self.room.borrow_mut();
        if room.capacity() < LENGTH {
            room.reserve(LENGTH * BLOCK);
        }
        let flags = u8::from(trace.sampled) * SAMPLED + u8::from(trace.random) * RANDOM;
        room.extend_from_slice(b"00-");
        room.extend_from_slice(&trace.trace_id());
        room.extend_from_slice(b"-");
        room.extend_from_slice(&trace.span_id());
        room.extend_from_slice(&[b'-', b'0', b'0' + flags]);
        let header = room.split().freeze();
        HeaderValue::from_maybe_shared(header).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}

/// What a client says, if it says it once and well. The span is not ours yet.
fn parent(headers: &HeaderMap) -> Option<Trace> {
    let mut said = headers.get_all(TRACEPARENT).iter();
    match (said.next(), said.next()) {
        (Some(value), None) => parse(value.as_bytes()),
        _ => None,
    }
}

/// Section 3.2 and, for versions that are to come, section 4.3.
fn parse(value: &[u8]) -> Option<Trace> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let &[v0, v1, b'-', ref known @ ..] = known else { return None };
    let version = number(&[v0, v1])?;
    let ends = rest.is_empty() || (version > 0 && rest.starts_with(b"-"));
    let (upper, known) = known.split_at_checked(16)?;
    let (lower, known) = known.split_at_checked(16)?;
    let (span, flags) = known.strip_prefix(b"-")?.split_at_checked(16)?;
    let flags = number(flags.strip_prefix(b"-")?)?;
    let trace_id = [number(upper)?, number(lower)?];
    let parent_id = number(span)?;
    if !ends || version == 0xff || trace_id == [0, 0] || parent_id == 0 {
        return None;
    }
    let is_set = |flag: u8| flags & u64::from(flag) != 0;
    let (sampled, random) = (is_set(SAMPLED), is_set(RANDOM));
    Some(Trace { trace_id, span_id: 0, parent_id, sampled, random })
}

/// Digits in lower case, as many as there are.
fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(TRACEPARENT, line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_is_well_said_goes_on_under_a_span_of_ours() {
        let traces = Traces::new();
        for (said, flags) in [
            (GOOD.to_owned(), "01"),
            (GOOD.replace("-01", "-00"), "00"),
            (GOOD.replace("-01", "-03"), "03"),
            (GOOD.replace("-01", "-ff"), "03"),
            (GOOD.replacen("00", "cc", 1), "01"),
            (GOOD.replacen("00", "cc", 1) + "-what-is-to-come", "01"),
        ] {
            let trace = traces.of(&headers(&[&said]), true, &Tracing::default());
            assert!(trace.is_continued(), "{said}");
            assert_eq!(trace.parent_id, 0xb7ad_6b71_6920_3331);
            let span = String::from_utf8(trace.span_id().to_vec()).unwrap();
            let header = format!("00-0af7651916cd43dd8448eb211c80319c-{span}-{flags}");
            assert_eq!(traces.header(&trace), header.as_str(), "{said}");
        }
    }

    #[test]
    fn what_is_badly_said_or_not_trusted_begins_anew() {
        let traces = Traces::new();
        let begins = |lines: &[&str], trusted| {
            let trace = traces.of(&headers(lines), trusted, &Tracing::default());
            !trace.is_continued() && traces.header(&trace).to_str().unwrap().ends_with("-03")
        };
        assert!(begins(&[], true) && begins(&[GOOD], false) && begins(&[GOOD, GOOD], true));
        for bad in [
            "",
            "00",
            GOOD.trim_start_matches("00"),
            GOOD.trim_end_matches('1'),
            &GOOD.to_uppercase(),
            &format!("{GOOD}-"),
            &format!("{GOOD}0"),
            &GOOD.replacen("00", "ff", 1),
            &GOOD.replacen("00", "0x", 1),
            &(GOOD.replacen("00", "01", 1) + "0"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace("b7ad", "b7ag"),
            &GOOD.replace("-b7", "_b7"),
            &GOOD.replace("-01", "-0g"),
            &GOOD.replace("-01", " 01"),
        ] {
            assert!(begins(&[bad], true), "{bad}");
        }
    }

    #[test]
    fn ids_differ_and_so_many_are_sampled_as_were_asked_for() {
        let traces = Traces::new();
        let made = |tracing: &Tracing| -> Vec<Trace> {
            (0..1000).map(|_| traces.of(&HeaderMap::new(), true, tracing)).collect()
        };
        let all = made(&Tracing::default());
        let ids: HashSet<_> = all.iter().flat_map(|it| [it.trace_id[1], it.span_id]).collect();
        assert_eq!(ids.len(), 2000);
        assert!(all.iter().all(|trace| trace.sampled));
        for (share, range) in [(0.0, 0..=0), (0.5, 400..=600)] {
            let some = made(&Tracing::default().sampling(share));
            let sampled = some.iter().filter(|trace| trace.sampled).count();
            assert!(range.contains(&sampled), "{share}: {sampled}");
        }
    }
}
