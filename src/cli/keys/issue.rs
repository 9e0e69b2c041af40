//! Making a key and handing it over: the record is written first, then the key is shown, once.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::Timestamp;
use serde_json::Value;
use zeroize::Zeroizing;

use super::reveal::reveal;
use super::view::View;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::keys::Edit;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::MintedKey;
use crate::keys::new_key_id;
use crate::source::Problem;
use crate::source::Problems;

/// How a new key is handed over.
#[derive(Debug, clap::Args)]
pub(super) struct HandOver {
    /// How long a terminal shows the key before it is wiped
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    reveal: SignedDuration,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What was made, and is shown this one time.
pub(super) struct Fresh<'k> {
    pub(super) key: &'k MintedKey,
    /// What simple authentication asks for besides the key.
    pub(super) salt: Option<&'k str>,
}

/// Makes a key and its id.
pub(super) fn mint(ring: &Ring, now: Timestamp) -> Result<(KeyId, MintedKey), Problems> {
    let failed =
        |error| Problems::from(Problem::new(format!("the system gives no randomness: {error}")));
    Ok((new_key_id(now).map_err(failed)?, MintedKey::mint(&ring.keys.prefix).map_err(failed)?))
}

/// Writes what was edited, and then shows the key of its new record.
pub(super) fn hand_over(
    ring: &Ring,
    how: &HandOver,
    edit: Edit,
    path: &Path,
    view: &View<'_>,
    record: &KeyRecord,
    fresh: &Fresh<'_>,
) -> Result<ExitCode, Problems> {
    audit::save(ring, edit)?;
    let (id, account, path) = (&record.id, &record.account, path.display());
    let access = view.access().as_str();
    print::note(&format!("key {id} of account {account}, access {access}, is in {path}"));
    match show(how, view, fresh) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            Err(Problem::new(format!("key `{id}` was made, but could not be shown: {error}"))
                .help(format!("nobody has it: `keygate keys delete {id}`, and make another"))
                .into())
        }
    }
}

fn show(how: &HandOver, view: &View<'_>, fresh: &Fresh<'_>) -> io::Result<()> {
    let key = fresh.key.reveal();
    let terminal = io::stdout().is_terminal();
    if terminal {
        let salt = fresh.salt.map(|salt| Zeroizing::new(format!("salt: {salt}")));
        print::note("the key is shown once; what is kept of it is a digest");
        let lines: Vec<&str> =
            [key].into_iter().chain(salt.as_deref().map(String::as_str)).collect();
        reveal(&lines, Duration::try_from(how.reveal).unwrap_or_default())?;
        print::note("the key was shown, and wiped from the screen");
    }
    let text = match (how.json, terminal) {
        (true, _) => {
            let mut members = view.json();
            if !terminal {
                members.insert("key".to_owned(), key.into());
                members.extend(fresh.salt.map(|salt| ("salt".to_owned(), salt.into())));
            }
            Zeroizing::new(format!("{:#}\n", Value::Object(members)))
        }
        (false, false) => Zeroizing::new(format!("{key}\n")),
        (false, true) => return Ok(()),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    // A pipe that takes the key takes nothing else.
    if let (Some(salt), false) = (fresh.salt, how.json) {
        print::note(&Zeroizing::new(format!("salt: {salt}")));
    }
    Ok(())
}
