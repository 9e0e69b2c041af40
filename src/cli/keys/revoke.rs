//! `keygate keys revoke`.

use std::process::ExitCode;

use super::create::whole_second;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::clock;
use crate::keys::Edit;
use crate::keys::KeyId;
use crate::keys::KeyStatus;
use crate::source::Problems;

/// Withdraw a key: from the next request on it is refused
///
/// Its record is kept, marked as revoked. This works as well where something else in the file is
/// wrong.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key's id
    #[arg(value_parser = values::name)]
    id: KeyId,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    let path = match ring.require_key(&args.id) {
        Ok((path, record)) => {
            if let KeyStatus::Revoked { at } = record.status {
                let since = at.map(|at| format!(" since {at}")).unwrap_or_default();
                return Ok(print::answer(&format!("{} is revoked already{since}\n", args.id)));
            }
            path.to_owned()
        }
        Err(problems) if ring.keys().any(|record| record.id == args.id) => return Err(problems),
        // Its record may be one that cannot be read, and can be marked all the same.
        Err(problems) => {
            let file = ring.files.iter().find(|file| {
                Edit::open(&file.path)
                    .is_ok_and(|mut edit| edit.revoke(&args.id, clock::now()).is_ok())
            });
            file.map(|file| file.path.clone()).ok_or(problems)?
        }
    };
    let now = whole_second(clock::now());
    let mut edit = Edit::open(&path)?;
    edit.revoke(&args.id, now)?;
    audit::save_in_any_case(&ring, edit)?;
    if ring.problems.fatal() {
        print::warn_all(&ring.problems);
    }
    Ok(print::answer(&format!("{} is revoked since {now}, in {}\n", args.id, path.display())))
}
