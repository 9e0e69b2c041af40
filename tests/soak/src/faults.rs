//! What goes wrong: each fault at its own times, each time written down.

use std::fs;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::ledger::{Fault, now};
use crate::noise::Dice;
use crate::origin;
use crate::world::by_http2;
use crate::world::{Stage, Stop, World, config, listed, put, put_certificate, record};

/// The upstream, as a process.
pub(crate) struct Upstream(Mutex<Option<Child>>);

impl Upstream {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Starts it and waits until it accepts.
    pub(crate) fn start(&self, stage: &Stage) -> io::Result<()> {
        // Ourselves, also where somebody builds us anew meanwhile.
        let child =
            Command::new("/proc/self/exe").arg("origin").args(origin::arguments(stage)).spawn()?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        for _ in 0..1500 {
            if TcpStream::connect(stage.upstream).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other("the upstream does not start"))
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&self) {
        let child = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn run(&self, world: &World, stop: &Stop, seed: u64) {
        let mut dice = Dice::new(seed);
        while stop.wait(between(&mut dice, 8, 14)) {
            let from = now();
            self.kill();
            stop.wait(between(&mut dice, 1, 3));
            if let Err(error) = self.start(&world.stage) {
                world.ledger.wrong(format!("the upstream cannot be restarted: {error}"));
            }
            world.ledger.window(Fault::Upstream, from);
            world.ledger.deed("upstream killed and restarted", 1);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.kill();
    }
}

fn between(dice: &mut Dice, from: u64, to: u64) -> Duration {
    Duration::from_millis(1000 * from + dice.below(1000 * (to - from)))
}

/// A change each second: right ones, a broken one, and what repairs it.
pub(crate) fn reloads(world: &World, stop: &Stop, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut version = 0;
    let mut http2 = None;
    while stop.wait(Duration::from_secs(1)) {
        version += 1;
        if version % 4 != 0 {
            let began = now();
            let done = right(world, version);
            if version % 3 == 0 && done.is_ok() {
                let spoken = by_http2(version);
                let over = if spoken { http2.replace(began) } else { http2.take() };
                over.into_iter().for_each(|from| world.ledger.window(Fault::Http2, from));
                world.ledger.deed(WAYS[(version % 4) as usize], 1);
            }
            world.ledger.deed("valid changes of files", u64::from(done.is_ok()));
            continue;
        }
        let from = now();
        if broken(world, &mut dice).is_err() {
            // Nothing changed, or half of it did: repaired all the same.
            world.ledger.deed("broken files that found no room on the disk", 1);
        } else {
            world.ledger.deed("broken files", 1);
        }
        stop.wait(Duration::from_secs(1));
        while repair(world, version).is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
        world.ledger.window(Fault::Broken, from);
        if let Some(from) = http2.take() {
            world.ledger.window(Fault::Http2, from);
        }
    }
    // As it began.
    while repair(world, 0).is_err() {
        std::thread::sleep(Duration::from_millis(100));
    }
    if let Some(from) = http2 {
        world.ledger.window(Fault::Http2, from);
    }
}

/// How versions of the configuration reach the upstream.
const WAYS: [&str; 4] =
    ["upstream by HTTP/1.1", "upstream by HTTP/2", "upstream by TLS", "upstream by a unix socket"];

fn right(world: &World, version: u64) -> io::Result<()> {
    let files = &world.stage.files;
    match version % 3 {
        0 => put(files, "keygate.toml", &config(&world.stage, version)),
        1 => put_certificate(files),
        _ => extra(files, version),
    }
}

/// A key of nobody's that is there at times.
fn extra(files: &Path, version: u64) -> io::Result<()> {
    let mut key = listed().remove(0);
    key.id = format!("extra-{version}");
    key.text = format!("extra-{version}-0123456789abcdef");
    put(&files.join("more"), "extra.toml", &record(&key, "read", ""))
}

fn broken(world: &World, dice: &mut Dice) -> io::Result<()> {
    let files = &world.stage.files;
    let right = config(&world.stage, 0);
    let one = listed().remove(0);
    match dice.below(8) {
        0 => put(files, "keygate.toml", &right.replace("[upstream]", "[upstream")),
        1 => put(files, "keygate.toml", &right.replace("timeout", "timeuot")),
        // Half of it, written in place.
        2 => fs::write(files.join("keygate.toml"), &right[..right.len() / 2]),
        3 => fs::remove_file(files.join("server.key")),
        4 => put(files, "server.crt", "-----BEGIN CERTIFICATE-----\n"),
        5 => put(&files.join("more"), "extra.toml", &record(&one, "read", "")),
        6 => put(&files.join("more"), "extra.toml", "[[key]]\nid = \"nobody\"\naccount = \"x\"\n"),
        _ => put(files, "keygate.toml", ""),
    }
}

fn repair(world: &World, version: u64) -> io::Result<()> {
    let files = &world.stage.files;
    extra(files, version)?;
    put_certificate(files)?;
    put(files, "keygate.toml", &config(&world.stage, version))
}

/// Storms of SIGHUP.
pub(crate) fn hangups(world: &World, stop: &Stop, seed: u64) {
    let mut dice = Dice::new(seed);
    while stop.wait(between(&mut dice, 7, 15)) {
        let from = now();
        for _ in 0..300 {
            signal(world.pid, Signal::HUP);
            std::thread::sleep(Duration::from_millis(2));
        }
        world.ledger.window(Fault::Hangups, from);
        world.ledger.deed("SIGHUPs", 300);
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid.cast_signed()) {
        let _ = kill_process(pid, signal);
    }
}

/// Fills the disk of files and log, to the last byte, for a while.
pub(crate) fn disk(world: &World, stop: &Stop, seed: u64) {
    let mut dice = Dice::new(seed);
    let path = world.stage.files.join("filler/filler");
    while stop.wait(between(&mut dice, 11, 18)) {
        let from = now();
        world.full.store(true, Relaxed);
        let full = fill(&path);
        while let Ok(()) = full {
            // What others free meanwhile is taken too.
            if now() > from + 3_000_000 || !stop.wait(Duration::from_millis(50)) {
                break;
            }
            let _ = fill(&path);
        }
        let _ = fs::remove_file(&path);
        world.full.store(false, Relaxed);
        world.ledger.window(Fault::DiskFull, from);
        match full {
            Ok(()) => world.ledger.deed("disk filled (ENOSPC)", 1),
            Err(error) => world.ledger.wrong(format!("the disk could not be filled: {error}")),
        }
    }
}

/// Writes until there is no room: anything else is an error.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    for size in [1 << 20, 4096, 1] {
        let piece = vec![0; size];
        loop {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Steps the program's clock by days, forwards and backwards, and back.
pub(crate) fn clock(world: &World, stop: &Stop, seed: u64) {
    let mut dice = Dice::new(seed);
    let path = clock_file(&world.stage);
    let mut ahead = false;
    while stop.wait(between(&mut dice, 5, 9)) {
        ahead = !ahead;
        let (fault, step) = match ahead {
            true => (Fault::ClockAhead, "+172800\n"),
            false => (Fault::ClockBehind, "-172800\n"),
        };
        let from = now();
        let stepped = fs::write(&path, step);
        stop.wait(Duration::from_secs(6));
        if let Err(error) = stepped.and_then(|()| fs::write(&path, "+0\n")) {
            world.ledger.wrong(format!("the clock could not be stepped: {error}"));
        }
        world.ledger.window(fault, from);
        world.ledger.deed("clock stepped by two days and back", 1);
    }
}

/// Which says how far the program's clock is off: not on the disk that is filled.
pub(crate) fn clock_file(stage: &Stage) -> std::path::PathBuf {
    stage.beside("clock")
}

/// The program itself, its log appended to a file on the small disk.
pub(crate) fn program(stage: &Stage, log: &Path) -> io::Result<Child> {
    let mut command = Command::new(&stage.keygate);
    command.arg("run").arg("--config").arg(stage.files.join("keygate.toml"));
    command.env("KEYGATE_LOG", "info,keygate::access=debug").current_dir("/");
    if let Some(library) = &stage.faketime {
        fs::write(clock_file(stage), "+0\n")?;
        command
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", clock_file(stage))
            .env("FAKETIME_CACHE_DURATION", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
    let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()
}
