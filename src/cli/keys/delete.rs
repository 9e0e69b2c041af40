//! `keygate keys delete`.

use std::io;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use jiff::SignedDuration;

use super::usage::Guard;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::clock;
use crate::keys::Edit;
use crate::keys::KeyId;
use crate::source::Problem;
use crate::source::Problems;

/// Remove a key's record for good
///
/// To withdraw a key and still know that it was there, revoke it. Where `[state]` has uses recorded, a
/// key that was used of late is not removed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key's id
    #[arg(value_parser = values::name)]
    id: KeyId,
    /// Only if nobody has used it for this long [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    unused_for: Option<SignedDuration>,
    /// Even if it is used
    #[arg(long, conflicts_with = "unused_for")]
    force: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    let (path, record) = ring.require_key(&args.id)?;
    if !args.force {
        let unused_for = args.unused_for.unwrap_or(Guard::UNUSED_FOR);
        let guard = Guard { unused_for, strict: args.unused_for.is_some() };
        let unknown = guard.check(&ring, record, clock::now())?;
        unknown.iter().for_each(|text| print::note(text));
    }
    if !args.yes && io::stdin().is_terminal() {
        let name = record.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        let name = crate::cli::table::plain(&name);
        print::ask(&format!("delete {}{name} of {} for good? [y/N] ", args.id, record.account));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        if read.is_err() || !matches!(answer.trim(), "y" | "Y" | "yes") {
            return Err(Problem::new("nothing was deleted").into());
        }
    }
    let mut edit = Edit::open(path)?;
    edit.remove_key(&args.id)?;
    audit::save(&ring, edit)?;
    Ok(print::answer(&format!("{} is deleted from {}\n", args.id, path.display())))
}
