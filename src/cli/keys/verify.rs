//! `keygate keys verify`.

use std::io;
use std::io::BufRead as _;
use std::io::IsTerminal as _;
use std::io::Read as _;
use std::process::ExitCode;

use serde_json::Map;
use serde_json::Value;
use zeroize::Zeroizing;

use super::show::aligned;
use super::terminal::Quiet;
use super::view::State;
use super::view::View;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::clock;
use crate::keys::ApiKey;
use crate::keys::KeyRecord;
use crate::source::Problem;
use crate::source::Problems;

/// No key is longer, nor is any header that could carry it.
const LONGEST: u64 = 64 * 1024;

/// Read a key on stdin and say what it is and may do
///
/// The exit code is 0 if it is in force, and 1 if it is not, or if that cannot be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    ring.require_files()?;
    let line = read_key()?;
    let key = ApiKey::new(&line);
    let digest = ring.digester.digest(&key);
    let now = clock::now();
    let known = ring.keys().find(|record| record.digest.matches(&digest));
    if let Some(record) = known {
        let view = View::new(&ring, record, now);
        if view.state() == State::Active && ring.unread.fatal() {
            return Err(untold(&ring, record));
        }
        return Ok(tell(args.json, &view, &ring));
    }
    let (status, reason, sentence) = if ring.keys.prefix.mistyped(&key) {
        ("mistyped", "malformed_key", "mistyped: its checksum does not fit")
    } else if !ring.keys.pattern.fits(&key) {
        ("malformed", "malformed_key", "malformed: it does not match `keys.pattern`")
    } else {
        ("unknown", "unknown_key", "unknown: it is in none of the key files")
    };
    if args.json {
        let members = [("status", status), ("reason", reason)];
        let mut members: Map<_, _> =
            members.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
        members.insert("valid".to_owned(), false.into());
        print::json(&members.into());
    } else {
        print::answer(&format!("{sentence}\n"));
    }
    warn(&ring);
    Ok(ExitCode::FAILURE)
}

fn tell(json: bool, view: &View<'_>, ring: &Ring) -> ExitCode {
    let state = view.state();
    let reason = match state {
        State::Active => None,
        State::Revoked => Some("revoked_key"),
        State::Expired => Some("expired_key"),
        State::Disabled => Some("account_disabled"),
        State::Orphaned => Some("unknown_key"),
    };
    let printed = if json {
        let mut members = view.json();
        members.insert("valid".to_owned(), reason.is_none().into());
        members.insert("reason".to_owned(), reason.into());
        print::json(&members.into())
    } else {
        print::answer(&aligned(&view.lines()))
    };
    warn(ring);
    if reason.is_none() { printed } else { ExitCode::FAILURE }
}

/// What was not read may be the revocation of this very key.
fn untold(ring: &Ring, record: &KeyRecord) -> Problems {
    let message = format!("whether key `{}` is revoked cannot be told", record.id);
    let help = "correct what is told below of the revocations, and ask again";
    let mut problems = Problems::from(Problem::new(message).help(help));
    problems.extend(ring.unread.clone());
    problems
}

/// A file with a mistake in it may hold what was not found.
fn warn(ring: &Ring) {
    if ring.problems.fatal() {
        print::warn_all(&ring.problems);
    }
}

/// The first line of stdin, without its end.
fn read_key() -> Result<Zeroizing<Vec<u8>>, Problems> {
    let terminal = io::stdin().is_terminal();
    let quiet = terminal.then(|| Quiet::new(io::stdin()));
    if terminal {
        print::ask("key: ");
    }
    let mut line = Zeroizing::new(Vec::with_capacity(512));
    let read = io::stdin().lock().take(LONGEST).read_until(b'\n', &mut line);
    drop(quiet);
    if terminal {
        print::note("");
    }
    read.map_err(|error| Problem::new(format!("stdin cannot be read: {error}")))?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    if line.is_empty() {
        let problem = Problem::new("there is no key on stdin");
        return Err(problem.help("pipe it in: `keygate keys verify < FILE`").into());
    }
    Ok(line)
}
