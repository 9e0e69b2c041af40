//! `keygate keys list`.

use std::process::ExitCode;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Value;

use super::usage::Uses;
use super::view::State;
use super::view::View;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::table;
use crate::cli::table::Cell;
use crate::cli::values;
use crate::clock;
use crate::keys::AccountId;
use crate::keys::KeyRecord;
use crate::source::Problem;
use crate::source::Problems;

/// Show the keys, never more of one than its last characters
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only those of this account
    #[arg(long, value_name = "ID", value_parser = values::name)]
    account: Option<AccountId>,
    /// Only those that were made longer ago than this, or of which nobody knows when: `180d`
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    older_than: Option<SignedDuration>,
    /// Only those that are active and older than the configuration's `keys.rotate_after`
    #[arg(long)]
    due: bool,
    /// Only those that nobody has used for this long, as far as `[state]` has uses recorded
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    unused_for: Option<SignedDuration>,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    if let (Some(_), None) = (args.unused_for, &ring.state) {
        print::refuse(&nothing_is_recorded());
        return Ok(ExitCode::from(2));
    }
    ring.require_files()?;
    if let Some(account) = &args.account {
        let _ = ring.require_account(account)?;
    }
    let due = match (args.due, ring.keys.rotate_after) {
        (true, None) => return Err(nothing_is_due().into()),
        (true, age) => age,
        (false, _) => None,
    };
    let now = clock::now();
    let uses = uses(&ring, args.unused_for, now)?;
    let views: Vec<_> = ring
        .keys()
        .filter(|record| args.account.as_ref().is_none_or(|account| record.account == *account))
        .filter(|record| args.older_than.is_none_or(|age| record.is_older(age, now)))
        .filter(|record| args.unused_for.is_none_or(|time| uses.is_unused(record, time, now)))
        .map(|record| (record, View::new(&ring, record, now)))
        .filter(|(record, view)| {
            due.is_none_or(|age| view.state() == State::Active && record.is_older(age, now))
        })
        .collect();
    let printed = if args.json {
        let told = views.iter().map(|(record, view)| {
            let mut members = view.json();
            uses.tell(record, &mut members);
            Value::Object(members)
        });
        print::json(&told.collect())
    } else {
        let rows: Vec<_> = views.iter().map(|(record, view)| row(record, view, &uses)).collect();
        if rows.is_empty() {
            print::note("no keys");
            ExitCode::SUCCESS
        } else {
            print::answer(&table::table(HEAD, &rows, print::colourful()))
        }
    };
    ring.warn_of_unread();
    Ok(if ring.problems.fatal() { print::refuse_all(&ring.problems) } else { printed })
}

const HEAD: [&str; 11] = [
    "ID",
    "ACCOUNT",
    "NAME",
    "ACCESS",
    "KIND",
    "STATUS",
    "CREATED",
    "EXPIRES",
    "LAST USED",
    "FROM",
    "HINT",
];

/// What is recorded. Who asks what is unused must be told what nobody knows.
fn uses(ring: &Ring, unused_for: Option<SignedDuration>, now: Timestamp) -> Result<Uses, Problems> {
    let Some(time) = unused_for else { return Ok(Uses::tolerant(ring)) };
    let uses = Uses::of(ring)?;
    match (&uses, uses.too_young(time, now)) {
        (Uses::None, _) => {
            let problem = Problem::new("no use was recorded yet");
            return Err(problem.help("start `keygate run` with this configuration first").into());
        }
        (_, Some(since)) => print::note(&format!(
            "uses are recorded since {since} only: keys that are not seen since may have been used \
             before"
        )),
        (_, None) => {}
    }
    Ok(uses)
}

fn nothing_is_recorded() -> Problem {
    let problem = Problem::new("no record of last use is kept");
    problem.help("set `directory = \"state\"` in `[state]`, and restart keygate")
}

fn nothing_is_due() -> Problem {
    let problem = Problem::new("the configuration does not say how old a key may become");
    problem.help("set `rotate_after = \"180d\"` in `[keys]`, or write `--older-than 180d`")
}

fn row(record: &KeyRecord, view: &View<'_>, uses: &Uses) -> [Cell; 11] {
    let date = |at: Option<Timestamp>, form| {
        at.map(|at| at.strftime(form).to_string()).unwrap_or_default()
    };
    let state = view.state();
    let (used, from) = uses.seen(record).cells();
    [
        record.id.as_str().into(),
        record.account.as_str().into(),
        record.name.as_deref().unwrap_or_default().into(),
        view.access().as_str().into(),
        record.kind.as_str().into(),
        Cell::painted(state.as_str(), Some(state.colour())),
        date(record.created, "%Y-%m-%d").as_str().into(),
        date(view.expires(), "%Y-%m-%d %H:%MZ").as_str().into(),
        used.as_str().into(),
        from.as_str().into(),
        record.hint.as_deref().unwrap_or_default().into(),
    ]
}
