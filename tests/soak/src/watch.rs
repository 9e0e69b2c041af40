//! What the process takes, says and counts, looked at from outside while it runs.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use serde_json::Value;

use crate::ledger::{Sample, Time, now};
use crate::world::{Stop, World};

/// What a process takes now.
pub(crate) fn sample(pid: u32) -> io::Result<Sample> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let size = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes =
            line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kilobytes.unwrap_or_default() * 1024
    };
    Ok(Sample {
        at: now(),
        resident: size("Rss:"),
        proportional: size("Pss:"),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
    })
}

/// Takes a sample each second.
pub(crate) fn samples(world: &World, stop: &Stop) {
    while stop.wait(Duration::from_secs(1)) {
        if let Ok(sample) = sample(world.pid) {
            world.ledger.open().samples.push(sample);
        }
    }
}

/// Looks how long a thread that wants a processor has to wait for one.
pub(crate) fn stalls(world: &World, stop: &Stop) {
    const STEP: Duration = Duration::from_millis(10);
    while !stop.raised() {
        let before = Instant::now();
        std::thread::sleep(STEP);
        let late = before.elapsed().saturating_sub(STEP);
        if late > Duration::from_millis(30) {
            let late = Time::try_from(late.as_micros()).unwrap_or_default();
            world.ledger.open().stalls.push((now(), late));
        }
    }
}

/// Asks the admin port.
pub(crate) fn admin(address: SocketAddr, target: &str) -> io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(socket, "GET {target} HTTP/1.1\r\nhost: soak\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Requests by outcome and reason.
pub(crate) type Counts = BTreeMap<(String, String), u64>;

/// The figures of `/metrics`, by series.
#[derive(Debug, Default)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub(crate) fn scrape(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::parse(&admin(address, "/metrics")?))
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| line.starts_with("keygate_"));
        let figure = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series.to_owned(), value.parse().ok()?))
        };
        Self(lines.filter_map(figure).collect())
    }

    /// The sum of a metric's series, or of those that begin with a label.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let own = |series: &str| {
            let rest = series.strip_prefix(name);
            rest.is_some_and(|rest| {
                !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            })
        };
        self.0.iter().filter(|(series, _)| own(series)).map(|(_, value)| value).sum()
    }

    /// Requests by outcome and reason.
    pub(crate) fn requests(&self) -> Counts {
        let mut requests = Counts::new();
        for (series, value) in &self.0 {
            let Some(labels) = series.strip_prefix("keygate_requests_total{") else { continue };
            let label = |name: &str| {
                let rest = labels.split(&format!("{name}=\"")).nth(1);
                rest.and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
            };
            *requests.entry((label("outcome"), label("reason"))).or_default() += *value as u64;
        }
        requests.retain(|_, count| *count > 0);
        requests
    }
}

/// A line of the access log.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) status: Option<u16>,
    pub(crate) outcome: String,
    pub(crate) reason: String,
    pub(crate) key: String,
}

/// The log, read.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) access: HashMap<String, Vec<Line>>,
    /// Requests that ended before anything was known of them.
    pub(crate) nameless: Vec<Line>,
    pub(crate) requests: Counts,
    pub(crate) panics: Vec<String>,
    /// What is no JSON: torn where the disk was full.
    pub(crate) torn: Vec<String>,
    /// Other lines, by what they say.
    pub(crate) messages: BTreeMap<String, u64>,
    pub(crate) addresses: Option<Value>,
}

impl Log {
    pub(crate) fn line(&mut self, text: &str) {
        let Ok(line) = serde_json::from_str::<Value>(text) else {
            if text.contains("panicked") {
                self.panics.push(text.to_owned());
            }
            self.torn.push(text.to_owned());
            return;
        };
        let member =
            |name: &str| line.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        if member("target") != "keygate::access" {
            let message = member("message");
            if message.contains("panicked") {
                self.panics.push(text.to_owned());
            }
            if message == "listening" {
                self.addresses = Some(line.clone());
            }
            *self.messages.entry(message).or_default() += 1;
            return;
        }
        let entry = Line {
            status: line.get("status").and_then(Value::as_u64).map(|status| status as u16),
            outcome: member("outcome"),
            reason: member("reason"),
            key: member("key"),
        };
        *self.requests.entry((entry.outcome.clone(), entry.reason.clone())).or_default() += 1;
        match member("request_id") {
            id if id.is_empty() => self.nameless.push(entry),
            id => self.access.entry(id).or_default().push(entry),
        }
    }

    /// How many requests it tells of.
    pub(crate) fn count(&self) -> u64 {
        self.requests.values().sum()
    }
}

/// A log file that is read while it grows; what was read is taken from the disk again.
pub(crate) struct Tail {
    file: File,
    at: u64,
    freed: u64,
    rest: Vec<u8>,
    pub(crate) log: Log,
    /// A copy of all lines that are not of the access log.
    copy: File,
}

impl Tail {
    pub(crate) fn new(path: &Path, copy: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let (log, copy) = (Log::default(), File::create(copy)?);
        Ok(Self { file, at: 0, freed: 0, rest: Vec::new(), log, copy })
    }

    /// Reads what there is.
    pub(crate) fn read(&mut self, free: bool) -> io::Result<()> {
        let mut piece = vec![0; 256 * 1024];
        loop {
            let length = self.file.read_at(&mut piece, self.at)?;
            if length == 0 {
                break;
            }
            self.at += length as u64;
            self.rest.extend_from_slice(&piece[..length]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let rest = self.rest.split_off(end + 1);
            for line in std::mem::replace(&mut self.rest, rest).split(|byte| *byte == b'\n') {
                if line.is_empty() {
                    continue;
                }
                let text = String::from_utf8_lossy(line);
                if !text.contains("\"keygate::access\"") {
                    writeln!(self.copy, "{text}")?;
                }
                self.log.line(&text);
            }
        }
        let whole = self.at & !0xfff;
        if free && whole > self.freed {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where a file system cannot do that, the log takes its room.
            let _ = fallocate(&self.file, flags, self.freed, whole - self.freed);
            self.freed = whole;
        }
        Ok(())
    }
}

/// Reads on until it is told to stop.
pub(crate) fn follow(tail: &Mutex<Tail>, world: &World, stop: &Stop) {
    while stop.wait(Duration::from_millis(100)) {
        let read = tail.lock().map(|mut tail| tail.read(!world.full.load(Relaxed)));
        if let Ok(Err(error)) = read {
            world.ledger.wrong(format!("the log cannot be read: {error}"));
        }
    }
}
