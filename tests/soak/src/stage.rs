//! The order of the play: warm up, everything at once, settle, drain, judge.

use std::error::Error;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::check::{Seen, check};
use crate::churn::Churn;
use crate::faults::{self, Upstream};
use crate::ledger::{Fault, Ledger, Sample, now};
use crate::load;
use crate::pki::TRUSTED;
use crate::report::{self, Measured};
use crate::watch::{self, Counts, Metrics, Tail};
use crate::world::{self, Stage, Stop, World};

/// How long the load runs before anything is measured, and before SIGTERM.
const WARM: Duration = Duration::from_secs(4);
const BEFORE_TERM: Duration = Duration::from_secs(3);
/// How long settling may take, and ending: longer than what the configuration gives a drain.
const SETTLE: Duration = Duration::from_secs(40);
const END: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) keygate: PathBuf,
    pub(crate) files: PathBuf,
    pub(crate) out: PathBuf,
    /// Of all of it, roughly.
    pub(crate) time: Duration,
    pub(crate) tomorrow: String,
    pub(crate) seed: u64,
    pub(crate) faketime: Option<PathBuf>,
    pub(crate) small: bool,
    pub(crate) skipped: Vec<String>,
}

/// The program, ended whatever happens.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    now();
    fs::create_dir_all(&options.out)?;
    let stage = Stage {
        keygate: options.keygate.clone(),
        files: options.files.clone(),
        small: options.small,
        faketime: options.faketime.clone(),
        upstream: free_address()?,
        upstream_tls: free_address()?,
        upstream_http2: free_address()?,
    };
    world::write_files(&stage, &options.tomorrow)?;
    let upstream = Upstream::new();
    upstream.start(&stage)?;
    let path = stage.files.join("log/log");
    let mut program = Program(faults::program(&stage, &path)?);
    let mut tail = Tail::new(&path, &options.out.join("keygate.log"))?;
    let world = Arc::new(enter(stage, &mut program, &mut tail)?);
    let tail = Mutex::new(tail);
    world.ledger.open().skipped.clone_from(&options.skipped);

    let (all, reading) = (Stop::default(), Stop::default());
    let measured = thread::scope(|scope| {
        let (world, all, reading) = (&world, &all, &reading);
        let tail = &tail;
        scope.spawn(move || watch::follow(tail, world, reading));
        scope.spawn(move || watch::samples(world, all));
        scope.spawn(move || watch::stalls(world, all));
        let measured = play(options, world, &upstream, &mut program, tail);
        all.raise();
        reading.raise();
        measured
    });
    let mut tail = tail.into_inner().map_err(|_| "the log's reader panicked")?;
    tail.read(true)?;
    let measured = measured?;
    judge(options, &world, &tail, measured)
}

/// Upstream addresses are not of the address that clients connect from: nobody else takes the
/// port while the upstream is dead.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.2:0")?.local_addr()
}

/// Waits until the program listens.
fn enter(stage: Stage, program: &mut Program, tail: &mut Tail) -> Result<World, Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let addresses = loop {
        tail.read(true)?;
        if let Some(addresses) = tail.log.addresses.take() {
            break addresses;
        }
        if program.0.try_wait()?.is_some() || Instant::now() > deadline {
            return Err(format!("the program does not start: {:?}", tail.log).into());
        }
        thread::sleep(Duration::from_millis(20));
    };
    let address = |name: &str| {
        let text = addresses.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        text.parse::<SocketAddr>().map_err(|error| format!("{name} is `{text}`: {error}"))
    };
    Ok(World {
        https: address("https")?,
        http: address("http")?,
        admin: address("admin")?,
        stage,
        ledger: Ledger::default(),
        holders: world::holders(),
        listed: world::listed(),
        tokens: Mutex::default(),
        http1: TRUSTED.client(&["http/1.1"]),
        http2: TRUSTED.client(&["h2"]),
        pid: program.0.id(),
        sequence: AtomicU64::new(1),
        named: AtomicBool::new(false),
        full: AtomicBool::new(false),
    })
}

fn play(
    options: &Options,
    world: &Arc<World>,
    upstream: &Upstream,
    program: &mut Program,
    tail: &Mutex<Tail>,
) -> Result<Measured, Box<dyn Error>> {
    let churn = Arc::new(Churn::default());
    let started = watch::sample(world.pid)?;
    eprintln!("warming up");
    loaded(world, &churn, options.seed, || thread::sleep(WARM));
    upstream.kill();
    let before = settle(world, None)?;
    upstream.start(&world.stage)?;

    eprintln!("load and faults, all at once");
    let (from, quiet) = (now(), WARM + BEFORE_TERM + Duration::from_secs(6));
    let time = options.time.saturating_sub(quiet).max(Duration::from_secs(20));
    loaded(world, &churn, options.seed + 1, || everything(options, world, &churn, upstream, time));
    let to = now();
    eprintln!("settling");
    upstream.kill();
    let after = settle(world, Some(before))?;
    let metrics = Metrics::scrape(world.admin)?;
    let logged = logged(tail, &metrics)?;
    let records = world.ledger.open().records.len();

    eprintln!("draining under load");
    upstream.start(&world.stage)?;
    world.named.store(true, Relaxed);
    let mut term = 0;
    let mut exit = None;
    loaded(world, &churn, options.seed + 2, || {
        thread::sleep(BEFORE_TERM);
        term = now();
        faults::signal(world.pid, Signal::TERM);
        let deadline = Instant::now() + END;
        while exit.is_none() && Instant::now() < deadline {
            exit = program.0.try_wait().ok().flatten();
            thread::sleep(Duration::from_millis(10));
        }
        world.ledger.window(Fault::Drain, term);
    });
    let drained = now();
    match exit {
        None => world.ledger.wrong("the drain did not end".to_owned()),
        Some(status) if status.code() == Some(0) => {}
        Some(status) => world.ledger.wrong(format!("the program ended with {status}")),
    }
    let leftover = leftovers(world)?;
    if !leftover.is_empty() {
        world.ledger.wrong(format!("files were left behind: {leftover}"));
    }
    let drain = world.ledger.open().windows.last().map_or(0, |window| window.to - window.from);
    Ok(Measured { started, before, after, metrics, logged, records, from, to, drained, drain })
}

/// What the log says by now: it may be a moment behind what was counted.
fn logged(tail: &Mutex<Tail>, metrics: &Metrics) -> Result<Counts, Box<dyn Error>> {
    let counted: u64 = metrics.requests().values().sum();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let mut tail = tail.lock().map_err(|_| "the log's reader panicked")?;
        tail.read(true)?;
        if tail.log.count() >= counted || Instant::now() > deadline {
            return Ok(tail.log.requests.clone());
        }
        drop(tail);
        thread::sleep(Duration::from_millis(50));
    }
}

/// The clients are there while something is done.
fn loaded(world: &Arc<World>, churn: &Arc<Churn>, seed: u64, act: impl FnOnce()) {
    let stop = Stop::default();
    thread::scope(|scope| {
        let clients = scope.spawn(|| load::run(world, churn, &stop, seed));
        act();
        stop.raise();
        if clients.join().is_err() {
            world.ledger.wrong("the clients panicked".to_owned());
        }
    });
}

/// All faults at their own times.
fn everything(
    options: &Options,
    world: &Arc<World>,
    churn: &Churn,
    upstream: &Upstream,
    time: Duration,
) {
    let stop = Stop::default();
    let seed = options.seed * 100;
    thread::scope(|scope| {
        scope.spawn(|| faults::reloads(world, &stop, seed + 1));
        scope.spawn(|| faults::hangups(world, &stop, seed + 2));
        scope.spawn(|| upstream.run(world, &stop, seed + 3));
        scope.spawn(|| churn.run(world, &stop, seed + 4));
        if world.stage.small {
            scope.spawn(|| faults::disk(world, &stop, seed + 5));
        }
        if world.stage.faketime.is_some() {
            scope.spawn(|| faults::clock(world, &stop, seed + 6));
        }
        let began = Instant::now();
        let mut told = 0;
        while began.elapsed() < time {
            thread::sleep(Duration::from_millis(200));
            if began.elapsed().as_secs() / 60 > told {
                told += 1;
                let records = world.ledger.open().records.len();
                eprintln!("{told} min: {records} requests");
            }
        }
        stop.raise();
    });
}

/// Waits until nothing is left of the load: no request, no connection, no more descriptors and
/// not much more memory than before.
fn settle(world: &World, before: Option<Sample>) -> Result<Sample, Box<dyn Error>> {
    let deadline = Instant::now() + SETTLE;
    let mut last = 0;
    loop {
        let metrics = Metrics::scrape(world.admin)?;
        let busy = metrics.sum("keygate_in_flight_requests")
            + metrics.sum("keygate_connections{listener=\"http")
            + metrics.sum("keygate_connections{listener=\"https");
        let sample = watch::sample(world.pid)?;
        let calm = match before {
            Some(before) => sample.descriptors <= before.descriptors && modest(before, sample),
            None => sample.descriptors == last,
        };
        if busy == 0.0 && calm {
            return Ok(sample);
        }
        last = sample.descriptors;
        if Instant::now() > deadline {
            world.ledger.wrong(format!(
                "it does not come back to where it began: {busy} requests and connections, {sample:?}, before: {before:?}"
            ));
            return Ok(sample);
        }
        thread::sleep(Duration::from_millis(300));
    }
}

/// What an allocator keeps for the next time is no leak; what grows beyond that is.
fn modest(before: Sample, after: Sample) -> bool {
    after.resident <= before.resident + (before.resident / 4).max(12 << 20)
}

/// What is in the program's directory and was not put there by us.
fn leftovers(world: &World) -> io::Result<String> {
    let known = [
        "keygate.toml",
        "keys.toml",
        "revoked.txt",
        "server.crt",
        "server.key",
        "more",
        "log",
        "filler",
        "extra.toml",
        "listed.toml",
        "tokens.pem",
        ".keys.toml.lock",
    ];
    let mut names = Vec::new();
    for directory in [world.stage.files.clone(), world.stage.files.join("more")] {
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !known.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    Ok(names.join(", "))
}

fn judge(
    options: &Options,
    world: &World,
    tail: &Tail,
    measured: Measured,
) -> Result<ExitCode, Box<dyn Error>> {
    let books = world.ledger.open();
    let seen = Seen {
        log: &tail.log,
        metrics: measured.metrics.requests(),
        logged: measured.logged.clone(),
        records: measured.records,
        dropped: measured.metrics.sum("keygate_log_lines_dropped_total") as u64,
    };
    let check = check(&books, seen);
    report::write(&options.out, &books, &check, &measured, &tail.log)?;
    Ok(match check.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
