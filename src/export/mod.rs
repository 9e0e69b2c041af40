//! Sends spans to a collector: OTLP over HTTP, in batches, from a thread of its own.
//!
//! Nobody waits for it. What the collector does not take in time is lost and counted. Must not know
//! routes or keys: a span says what it says.

mod encode;
mod send;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::clock;
use crate::config::Collector;
use crate::observe::Metrics;
use crate::observe::Span;
use crate::observe::SpanCounts;

use self::send::Sender;

/// How many spans are sent at once.
const BATCH: usize = 512;
/// How long spans may gather before they are sent together.
const GATHER: Duration = Duration::from_secs(1);
/// How long one look for more takes, so that the end of the process is seen.
const LOOK: Duration = Duration::from_millis(100);
/// How long the end of the process waits for what is still queued.
const PATIENCE: Duration = Duration::from_secs(3);

/// The thread that sends. To be ended, or what is queued is lost.
#[derive(Debug)]
pub struct Exporter {
    ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts sending, if there is a collector.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(collector: Option<&Collector>, metrics: &Metrics) -> io::Result<Option<Self>> {
        let Some(collector) = collector.cloned() else { return Ok(None) };
        let (spans, counts) = metrics.spans();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sender = Sender::new(collector, runtime);
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        let thread = std::thread::Builder::new().name("otlp".to_owned());
        let thread = thread.spawn(move || run(&spans, &counts, &sender, &told))?;
        Ok(Some(Self { ending, thread }))
    }

    /// Sends what is still queued, but not for long.
    pub fn end(self) {
        self.ending.store(true, Relaxed);
        let until = clock::mono() + PATIENCE;
        while !self.thread.is_finished() && clock::mono() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn run(spans: &Receiver<Span>, counts: &SpanCounts, sender: &Sender, ending: &AtomicBool) {
    let mut failing = false;
    loop {
        // Looked at first: what was queued before is in the batch, or in the next one.
        let last = ending.load(Relaxed);
        let (batch, gone) = gather(spans, ending);
        let count = batch.len();
        if count > 0 {
            match sender.send(batch, ending) {
                Ok(refused) => {
                    failing = false;
                    counts.exported(count.saturating_sub(refused));
                    counts.refused(refused);
                }
                Err(error) => {
                    // Said once, not once for each batch.
                    if !failing {
                        tracing::warn!(%error, "spans cannot be sent");
                    }
                    failing = true;
                    counts.refused(count);
                }
            }
        }
        if gone || (last && count == 0) {
            return;
        }
    }
}

/// As many spans as are sent together, and whether there will never be more.
fn gather(spans: &Receiver<Span>, ending: &AtomicBool) -> (Vec<Span>, bool) {
    let mut batch = Vec::new();
    let until = clock::mono() + GATHER;
    while batch.len() < BATCH {
        let left = until.saturating_duration_since(clock::mono());
        let wait = if ending.load(Relaxed) { Duration::ZERO } else { left.min(LOOK) };
        match spans.recv_timeout(wait) {
            Ok(span) => batch.push(span),
            Err(RecvTimeoutError::Disconnected) => return (batch, true),
            Err(RecvTimeoutError::Timeout) if left.is_zero() || ending.load(Relaxed) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    (batch, false)
}
