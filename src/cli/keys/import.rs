//! `keygate keys import`.

use std::fs;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use serde_json::Value;
use zeroize::Zeroizing;

use super::create::whole_second;
use super::view::View;
use crate::cli::audit;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::clock;
use crate::keys::AccountId;
use crate::keys::import;
use crate::keys::import::Format;
use crate::keys::import::Rules;
use crate::source::Problem;
use crate::source::Problems;

/// Take over keys that exist already, and keep only their digests
///
/// Reads a table whose first line names its columns, or JSON objects, one a line. Columns: account,
/// key or digest, and optionally id, name, hint, access, kind, permissions, ips, events_allow,
/// events_deny, attributes, tags, basic, simple_auth, salt, created, expires. Nothing is written
/// unless every line is good.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to read [default: stdin]
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
    /// Whose the keys are that do not say
    #[arg(long, value_name = "ID", value_parser = values::name)]
    account: Option<AccountId>,
    /// How the input is written [default: what it looks like]
    #[arg(long)]
    format: Option<FormatWord>,
    /// What digests are that are hexadecimal alone
    #[arg(long, value_name = "ALGORITHM")]
    hash: Option<HashWord>,
    /// The key file to write to [default: the first of the configuration]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatWord {
    Csv,
    Jsonl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HashWord {
    Sha256,
    HmacSha256,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode, Problems> {
    let ring = Ring::open_to_issue(&args.place)?;
    if let Some(account) = &args.account {
        let _ = ring.require_account(account)?;
    }
    let text = read(args.input.as_deref())?;
    let name = args.input.as_deref().map_or("stdin".into(), Path::to_string_lossy);
    let now = clock::now();
    let rules = Rules {
        name: &name,
        account: args.account.as_ref(),
        algorithm: args.hash.map(|hash| match hash {
            HashWord::Sha256 => "sha256",
            HashWord::HmacSha256 => "hmac-sha256",
        }),
        digester: &ring.digester,
        prefix: &ring.keys.prefix,
        fits: &|key| ring.keys.pattern.fits(key),
        account_exists: &|account| ring.account(account).is_some(),
        basic_names_account: ring.basic_names_account,
        now: whole_second(now),
    };
    let mut problems = Problems::default();
    let records = import::read(&text, format(args, &text), &rules, ring.keys(), &mut problems);
    if problems.fatal() {
        print::warn_all(&problems);
        return Err(Problem::new("nothing was imported").help("correct these lines first").into());
    }
    let path = ring.file_for_new(args.file.as_deref());
    let mut edit = ring.edit_sound(&path)?;
    edit.append_keys(&records, &ring.digester)?;
    audit::save(&ring, edit)?;
    let count =
        if records.len() == 1 { "1 key".to_owned() } else { format!("{} keys", records.len()) };
    let summary = format!("{count} imported into {}", path.display());
    if !args.json {
        return Ok(print::answer(&format!("{summary}\n")));
    }
    print::note(&summary);
    let views = records.iter().map(|record| View::new(&ring, record, now));
    Ok(print::json(&views.map(|view| Value::Object(view.json())).collect()))
}

fn read(input: Option<&Path>) -> Result<Zeroizing<String>, Problems> {
    let mut bytes = Zeroizing::new(Vec::new());
    match input.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let read = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
            *bytes = read;
        }
        None => {
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Problem::new(format!("stdin cannot be read: {error}")))?;
        }
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
        Problem::new(format!("the input is not UTF-8, on line {}", line + 1))
    })?;
    Ok(Zeroizing::new(text.trim_start_matches('\u{feff}').to_owned()))
}

fn format(args: &Args, text: &str) -> Format {
    match args.format {
        Some(FormatWord::Csv) => Format::Csv,
        Some(FormatWord::Jsonl) => Format::JsonLines,
        None if text.trim_start().starts_with(['{', '[']) => Format::JsonLines,
        None => Format::Csv,
    }
}
