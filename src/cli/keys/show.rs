//! `keygate keys show`.

use std::process::ExitCode;

use super::usage::Uses;
use super::view::View;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::table::plain;
use crate::cli::values;
use crate::clock;
use crate::keys::KeyId;
use crate::source::Problems;

/// Show what is known of a key
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key's id
    #[arg(value_parser = values::name)]
    id: KeyId,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    let (path, record) = ring.require_key(&args.id)?;
    ring.warn_of_unread();
    let view = View::new(&ring, record, clock::now());
    let uses = Uses::tolerant(&ring);
    if args.json {
        let mut members = view.json();
        uses.tell(record, &mut members);
        members.insert("file".to_owned(), path.display().to_string().into());
        return Ok(print::json(&members.into()));
    }
    let mut lines = view.lines();
    lines.push(("last used", uses.seen(record).line(record)));
    lines.retain(|(_, text)| !text.is_empty());
    lines.push(("file", path.display().to_string()));
    Ok(print::answer(&aligned(&lines)))
}

/// `name: value`, the values under each other.
pub(super) fn aligned(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    lines.iter().map(|(name, text)| format!("{name:width$}{}\n", plain(text))).collect()
}
