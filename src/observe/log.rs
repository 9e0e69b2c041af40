//! The set-up of the log: JSON lines on standard error, or plain ones where a person is looking.
//!
//! `KEYGATE_LOG`, else `RUST_LOG`, says what is logged, in the syntax of `tracing`'s filters:
//! `debug`, or `info,keygate::access=debug`. Of the libraries below us nothing finer than `info` is
//! ever logged: they do not know which header is a secret.

use std::env;
use std::io::{self, IsTerminal, Write as _};
use std::panic;
use std::sync::{Arc, OnceLock};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;

use super::json::JsonLines;
use super::metrics::Metrics;
use super::sink::{self, Sink};

/// What the targets of our own lines begin with.
const OURS: &str = env!("CARGO_PKG_NAME");

/// What writes to standard error.
static SINK: OnceLock<Sink> = OnceLock::new();

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Human { colour: bool },
}

/// Writes out what is still queued when it is dropped: to be held to the end of `main`.
#[must_use = "lines that are still queued are lost when it is dropped at once"]
pub struct LogGuard(Sink);

impl Drop for LogGuard {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging to standard error. A second call changes nothing.
///
/// # Errors
/// When the system gives no thread to write from.
pub fn init() -> io::Result<LogGuard> {
    let sink = Sink::start(io::stderr())?;
    let _ = SINK.set(sink.clone());
    let (filter, complaint) = filter();
    // Someone who embeds us may have a subscriber already; that one stays.
    let _ = tracing::subscriber::set_global_default(subscriber(format(), filter, sink.clone()));
    if let Some((variable, error)) = complaint {
        tracing::warn!(variable, error, "the log filter is not understood; logging `info`");
    }
    Ok(LogGuard(sink))
}

/// Counts and logs every panic, with its place.
pub fn count_panics(metrics: Arc<Metrics>) {
    panic::set_hook(Box::new(move |info| {
        metrics.panicked();
        let place = info.location().map(ToString::to_string);
        let message = info.payload_as_str();
        tracing::error!(place, panic = message, "panicked; this is a bug");
    }));
}

/// Writes whole lines of our own beside those of the log.
pub(super) fn write(lines: &[u8]) -> io::Result<usize> {
    match SINK.get() {
        Some(sink) => sink.clone().write(lines),
        None => io::stderr().write(lines),
    }
}

/// Writes out what is still queued, where the process ends without the guard's being dropped.
pub fn flush() {
    if let Some(sink) = SINK.get() {
        sink.flush();
    }
}

/// How many lines were lost because nobody read standard error fast enough, or its disk was full.
#[must_use]
pub fn dropped() -> u64 {
    sink::dropped()
}

fn format() -> Format {
    if io::stderr().is_terminal() {
        let colour = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Format::Human { colour }
    } else {
        Format::Json
    }
}

/// The filter, and what is wrong with the one that was asked for.
fn filter() -> (EnvFilter, Option<(&'static str, String)>) {
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty()).map(|v| (name, v));
    let Some((name, value)) = set("KEYGATE_LOG").or_else(|| set("RUST_LOG")) else {
        return (EnvFilter::new("info"), None);
    };
    match EnvFilter::try_new(value) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some((name, error.to_string()))),
    }
}

fn subscriber<W>(format: Format, filter: EnvFilter, out: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(filter).with(filter_fn(is_ours_or_coarse));
    match format {
        Format::Json => Box::new(registry.with(JsonLines(out))),
        Format::Human { colour } => {
            let lines = fmt::layer().with_writer(out).with_target(true);
            Box::new(registry.with(lines.with_ansi(colour)))
        }
    }
}

/// The traces of libraries print frames and headers, keys among them.
fn is_ours_or_coarse(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let ours = target == OURS || target.strip_prefix(OURS).is_some_and(|r| r.starts_with("::"));
    ours || *metadata.level() <= Level::INFO
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Memory {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    /// The JSON lines that `act` logs at a level.
    pub(crate) fn lines(filter: &str, act: impl FnOnce()) -> Vec<serde_json::Value> {
        let memory = Memory::default();
        let subscriber = subscriber(Format::Json, EnvFilter::new(filter), memory.clone());
        tracing::subscriber::with_default(subscriber, act);
        let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn members_stand_at_the_top_of_a_json_line() {
        let lines = lines("info", || {
            tracing::info!(https = "127.0.0.1:8443", admin = "127.0.0.1:9090", "listening");
            tracing::debug!("not this one");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], "listening");
        assert_eq!(line["https"], "127.0.0.1:8443");
        assert_eq!(line["admin"], "127.0.0.1:9090");
        assert_eq!(line["level"], "INFO");
        assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')));
    }

    #[test]
    fn no_filter_lets_the_traces_of_libraries_through() {
        for filter in ["trace", "h2=trace,hyper=trace,keygate=trace", "trace,h2::codec=trace"] {
            let lines = lines(filter, || {
                tracing::trace!(target: "h2::codec", "authorization: Bearer SECRET");
                tracing::debug!(target: "hyper::proto", "authorization: Bearer SECRET");
                tracing::debug!(target: "keygatekeeper", "not ours");
                tracing::trace!(target: "keygate::access", "ours");
            });
            let [line] = lines.as_slice() else { panic!("{lines:?}") };
            assert_eq!(line["message"], "ours");
        }
    }
}
