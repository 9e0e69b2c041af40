//! `[limits]`: how long each phase of a connection may take, how many connections there may be, and
//! how many attempts may fail.

use std::time::Duration;

use super::limits;
use super::reading::deadline;
use crate::gate::LimitBy;
use crate::gate::Rate;
use crate::source::At;
use crate::source::Section;
use crate::source::Value;

/// What clients may take, in time and in number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From there to the first byte, and for the whole preface of HTTP/2.
    pub first_bytes: Duration,
    /// From the first byte of a head to its end.
    pub head: Duration,
    /// Without a request, over HTTP/1.
    pub idle: Duration,
    /// Without a new request, over HTTP/2.
    pub idle_http2: Duration,
    /// Between the pieces of a body that is inspected.
    pub body_pause: Duration,
    /// Between the pieces of a body that is streamed, until the upstream answers.
    pub upload_pause: Duration,
    /// Without a byte taken of an answer that waits.
    pub write_pause: Duration,
    /// Connections in all; 0 is what the system allows.
    pub connections: usize,
    /// Connections of one address; 0 is no limit.
    pub connections_per_address: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// Failed attempts of one address.
    pub failures: Option<Rate>,
}

impl Default for Bounds {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            handshake: seconds(10),
            first_bytes: seconds(15),
            head: seconds(10),
            idle: seconds(60),
            idle_http2: seconds(120),
            body_pause: seconds(10),
            upload_pause: seconds(60),
            write_pause: seconds(60),
            connections: 0,
            connections_per_address: 1024,
            streams: 256,
            failures: Some(Rate { requests: 1000, per: seconds(60), by: LimitBy::Address }),
        }
    }
}

/// More would be a typing mistake.
const MOST_CONNECTIONS: i64 = 100_000_000;
const MOST_STREAMS: i64 = 100_000;

pub(super) fn read(root: &mut Section<'_, '_>) -> Bounds {
    let mut bounds = Bounds::default();
    let Some(table) = root.table("limits") else { return bounds };
    let mut section = root.enter("[limits]", table);
    let durations = [
        ("handshake", &mut bounds.handshake),
        ("first_bytes", &mut bounds.first_bytes),
        ("head", &mut bounds.head),
        ("idle", &mut bounds.idle),
        ("idle_http2", &mut bounds.idle_http2),
        ("body_pause", &mut bounds.body_pause),
        ("upload_pause", &mut bounds.upload_pause),
        ("write_pause", &mut bounds.write_pause),
    ];
    for (name, duration) in durations {
        if let Some(At { value, .. }) = deadline(&mut section, name) {
            *duration = value;
        }
    }
    let connections = [
        ("connections", &mut bounds.connections),
        ("connections_per_address", &mut bounds.connections_per_address),
    ];
    for (name, count) in connections {
        let written = number(&mut section, name, 0..=MOST_CONNECTIONS);
        *count = written.and_then(|number| usize::try_from(number).ok()).unwrap_or(*count);
    }
    let streams = number(&mut section, "streams", 1..=MOST_STREAMS);
    let streams = streams.and_then(|number| u32::try_from(number).ok());
    bounds.streams = streams.unwrap_or(bounds.streams);
    failures(&mut section, &mut bounds.failures);
    bounds
}

fn number(
    section: &mut Section<'_, '_>,
    name: &'static str,
    range: std::ops::RangeInclusive<i64>,
) -> Option<i64> {
    let At { value, span } = section.integer(name)?;
    if !range.contains(&value) {
        let help = format!("write a number from {} to {}", range.start(), range.end());
        section.wrong(&span, format!("`{name}` cannot be {value}"), help);
        return None;
    }
    Some(value)
}

fn failures(section: &mut Section<'_, '_>, failures: &mut Option<Rate>) {
    let Some((key, at)) = section.take_entry("failures") else { return };
    match at.value {
        Value::Boolean(false) => *failures = None,
        Value::Table(value) => {
            let table = section.enter("failures", At { value, span: key });
            if let Some(rate) = limits::failures(table) {
                *failures = Some(rate);
            }
        }
        Value::Boolean(true)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            let help = "write `{ requests = 1000, per = \"1m\" }`, or `false` for no limit";
            section.wrong(&at.span, "`failures` wants a rate", help);
        }
    }
}
