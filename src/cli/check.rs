//! `keygate check`: everything that `run` would load, judged without serving.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use super::print;
use super::values;
use crate::clock;
use crate::config;
use crate::config::Config;
use crate::config::Keyring;
use crate::config::Keys;
use crate::live;
use crate::source::Problems;

/// Validate everything that `run` would load
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration [default: keygate.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Key files or directories, instead of those that the configuration names; without a
    /// configuration they are checked alone
    #[arg(long, value_name = "FILE", num_args = 1..)]
    keys: Vec<PathBuf>,
    /// Override a member of the configuration, as in `--set listen.https=127.0.0.1:8443`
    #[arg(long, value_name = "PATH=VALUE", value_parser = values::setting)]
    set: Vec<String>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    let path = args.config.clone().unwrap_or_else(|| "keygate.toml".into());
    if args.config.is_none() && !args.keys.is_empty() && args.set.is_empty() && !path.exists() {
        return alone(args.keys);
    }
    let loaded = config::load(&path, &args.set, clock::now());
    let mut problems = loaded.problems;
    let keyring = loaded.keys.map(|mut keys| {
        if !args.keys.is_empty() {
            keys.files = args.keys;
        }
        config::load_keys(&keys, None)
    });
    let summary = keyring.as_ref().and_then(count);
    let mut files = loaded.files;
    files.extend(keyring.iter().flat_map(|keyring| keyring.files.iter().cloned()));
    problems.extend(keyring.map(|keyring| keyring.problems).unwrap_or_default());
    problems.extend(live::frozen(&files));
    problems.extend(loaded.config.as_ref().map(Config::troubles).unwrap_or_default());
    let routes = loaded.config.map(|config| config.routes.list().len());
    let summary = summary.zip(routes).map(|(keys, n)| format!("{keys}, {}", counted(n, "route")));
    conclude(&path, summary, &problems)
}

fn alone(files: Vec<PathBuf>) -> ExitCode {
    let name = files.first().cloned().unwrap_or_default();
    let keyring = Keys::defaults(files).map(|keys| config::load_keys(&keys, None));
    let summary = keyring.as_ref().and_then(count);
    conclude(&name, summary, &keyring.map(|keyring| keyring.problems).unwrap_or_default())
}

fn conclude(path: &Path, summary: Option<String>, problems: &Problems) -> ExitCode {
    let name = path.display();
    match summary {
        Some(summary) if !problems.fatal() => {
            if !problems.is_empty() {
                print::warn_all(problems);
            }
            print::answer(&format!("{name}: ok, {summary}\n"))
        }
        _ => {
            let code = print::refuse_all(problems);
            print::note(&format!("\n{name}: {}", problems.tally()));
            code
        }
    }
}

fn count(keyring: &Keyring) -> Option<String> {
    let table = &keyring.keys.as_ref()?.table;
    let (keys, accounts) = (table.len(), table.accounts_len());
    Some(format!("{} of {}", counted(keys, "key"), counted(accounts, "account")))
}

fn counted(n: usize, name: &str) -> String {
    if n == 1 { format!("1 {name}") } else { format!("{n} {name}s") }
}
