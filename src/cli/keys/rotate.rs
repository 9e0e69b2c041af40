//! `keygate keys rotate`.

use std::process::ExitCode;

use jiff::SignedDuration;
use jiff::Timestamp;

use super::create::ending;
use super::create::whole_second;
use super::finish::finish;
use super::issue;
use super::issue::Fresh;
use super::issue::HandOver;
use super::usage::Guard;
use super::view::State;
use super::view::View;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::cli::values::Expiry;
use crate::clock;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;
use crate::keys::Origin;
use crate::source::Problem;
use crate::source::Problems;

/// Replace a key by a new one with the same settings
///
/// The old key works until the overlap is over, so that there is time to put the new one in its
/// place. A key that expires gets a successor that lives as long as it did. When nobody uses the old one
/// any more, `--finish` ends it, and any that it had replaced itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The old key's id
    #[arg(value_parser = values::name)]
    id: KeyId,
    /// How long both work
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = values::duration)]
    overlap: SignedDuration,
    /// End the old key at once
    #[arg(long, conflicts_with = "overlap")]
    now: bool,
    /// When the new key ends: after `90d`, on `2027-02-20`, at `2027-02-20T10:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = values::expiry)]
    expires: Option<Expiry>,
    /// End the old key, which was replaced before, if nobody uses it any more
    #[arg(long, conflicts_with_all = ["overlap", "now", "expires", "reveal", "json"])]
    finish: bool,
    /// To finish: the new key, where it cannot be told which one took the place of the old one
    #[arg(long, value_name = "ID", value_parser = values::name, requires = "finish")]
    successor: Option<KeyId>,
    /// To finish: how long nobody must have used it [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = values::duration, requires = "finish")]
    unused_for: Option<SignedDuration>,
    /// To finish: even if it is used
    #[arg(long, requires = "finish", conflicts_with = "unused_for")]
    force: bool,
    #[command(flatten)]
    how: HandOver,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let now = clock::now();
    if args.finish {
        let ring = Ring::open_sound(&args.place)?;
        let unused_for = args.unused_for.unwrap_or(Guard::UNUSED_FOR);
        let guard = (!args.force).then_some(Guard { unused_for, strict: true });
        return finish(&ring, &args.id, args.successor.as_ref(), guard);
    }
    let ring = Ring::open_to_issue(&args.place)?;
    let (path, old) = ring.require_key(&args.id)?;
    let state = View::new(&ring, old, now).state();
    if matches!(state, State::Revoked | State::Expired) {
        let problem = Problem::new(format!("key `{}` is {}", args.id, state.as_str()));
        return Err(problem.help("make another with `keygate keys create`").into());
    }
    let overlap = if args.now { SignedDuration::ZERO } else { args.overlap };
    let last = whole_second(ending_of_old(old, now, overlap)?);
    let until = match args.expires {
        Some(expires) => Some(ending(expires, now)?),
        None => successor_until(old, now),
    };
    let (id, key) = issue::mint(&ring, now)?;
    let new = KeyRecord {
        id,
        digest: ring.digester.digest(&key.as_api_key()),
        hint: Some(key.hint().into()),
        created: Some(whole_second(now)),
        replaces: Some(old.id.clone()),
        status: KeyStatus::Active { until },
        origin: Origin::default(),
        ..old.clone()
    };
    let mut edit = ring.edit_sound(path)?;
    edit.expire(&args.id, last)?;
    edit.append_keys([&new], &ring.digester)?;
    let view = View::new(&ring, &new, now);
    let done = issue::hand_over(
        &ring,
        &args.how,
        edit,
        path,
        &view,
        &new,
        &Fresh { key: &key, salt: None },
    )?;
    print::note(&format!("key {} ends at {last}", args.id));
    Ok(done)
}

/// The end of the overlap, or of the old key where that is sooner.
fn ending_of_old(
    old: &KeyRecord,
    now: Timestamp,
    overlap: SignedDuration,
) -> Result<Timestamp, Problems> {
    let end = now.checked_add(overlap).map_err(|_| {
        let problem = Problem::new("the overlap has no end");
        Problems::from(problem.help("give a shorter one, like `--overlap 24h`"))
    })?;
    Ok(match old.status {
        KeyStatus::Active { until: Some(until) } => until.min(end),
        KeyStatus::Active { until: None } | KeyStatus::Revoked { .. } => end,
    })
}

/// As long from now as the old key lived in all; where that is not known, when the old one ends.
fn successor_until(old: &KeyRecord, now: Timestamp) -> Option<Timestamp> {
    let KeyStatus::Active { until: Some(until) } = old.status else { return None };
    let lived = old.created.map(|created| until.duration_since(created));
    let next = lived.and_then(|lived| now.checked_add(lived).ok());
    Some(next.map_or(until, whole_second))
}
