//! Log lines as JSON, one object a line, the members of an event at its top.
//!
//! With the access log on, a line is written for every request: so it is written in one pass, into
//! memory that the thread keeps.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;

use super::words::timestamp;
use crate::clock;

/// How much memory a thread keeps for its next line.
const KEPT: usize = 4096;

thread_local! {
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes every event that reaches it.
#[derive(Debug)]
pub(super) struct JsonLines<W>(pub(super) W);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Taken, not borrowed: what is written could log something itself.
        let mut line = LINE.take();
        write(event, &mut line);
        // There is nobody to tell of a log that cannot be written.
        let _ = self.0.make_writer_for(event.metadata()).write_all(&line);
        line.clear();
        line.shrink_to(KEPT);
        LINE.set(line);
    }
}

fn write(event: &Event<'_>, line: &mut Vec<u8>) {
    line.extend_from_slice(b"{\"timestamp\":\"");
    line.extend_from_slice(&timestamp(clock::now()));
    line.extend_from_slice(b"\",\"level\":\"");
    line.extend_from_slice(event.metadata().level().as_str().as_bytes());
    line.push(b'"');
    let mut members = Members(line);
    event.record(&mut members);
    members.member("target", event.metadata().target());
    line.extend_from_slice(b"}\n");
}

/// Adds the members of an event to a line.
struct Members<'l>(&'l mut Vec<u8>);

impl Members<'_> {
    fn member(&mut self, name: &str, value: impl Serialize) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        // Nothing that is given here fails to be written.
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.member(field.name(), format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field.name(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::tests::lines;

    #[test]
    fn a_line_is_json_whatever_stands_in_it() {
        let odd = "\"\\\n\u{1}\u{7f}é\u{2028}";
        let lines = lines("info", || {
            let none: Option<u64> = None;
            tracing::info!(text = odd, debug = ?odd, shown = %odd, "{odd}");
            tracing::info!(
                none,
                yes = true,
                less = -1,
                float = 1.5,
                not = f64::NAN,
                big = u64::MAX
            );
        });
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        for name in ["text", "shown", "message"] {
            assert_eq!(first[name], odd, "{name}");
        }
        assert_eq!(first["debug"], format!("{odd:?}"));
        assert!(second.get("none").is_none());
        assert_eq!(second["yes"], true);
        assert_eq!((&second["less"], &second["float"]), (&(-1).into(), &1.5.into()));
        assert_eq!((&second["not"], &second["big"]), (&serde_json::Value::Null, &u64::MAX.into()));
        let at = second["timestamp"].as_str().unwrap();
        assert_eq!((at.len(), at.parse::<jiff::Timestamp>().is_ok()), (27, true), "{at}");
    }
}
