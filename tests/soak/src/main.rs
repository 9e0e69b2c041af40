//! Everything at once, for minutes: load over both protocols, and every fault that there is; then
//! every answer is accounted for. See `run`, which builds and starts this.

mod asks;
mod check;
mod churn;
mod exchange;
mod faults;
mod ledger;
mod load;
mod noise;
mod origin;
#[path = "../../it/actors/pki.rs"]
mod pki;
mod plot;
mod report;
mod stage;
mod watch;
mod world;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use stage::Options;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let done = match first.as_deref() {
        Some("origin") => serve(&arguments.collect::<Vec<_>>()),
        first => soak(first.into_iter().map(str::to_owned).chain(arguments)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("soak: {error}");
        ExitCode::from(2)
    })
}

fn serve(arguments: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    origin::serve(arguments)?;
    Ok(ExitCode::SUCCESS)
}

/// `--keygate FILE --files DIRECTORY --out DIRECTORY --seconds N --tomorrow TIME [--seed N]
/// [--faketime LIBRARY] [--small-disk] [--skipped WHY]…`
fn soak(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = Options::default();
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--keygate" => options.keygate = PathBuf::from(value()?),
            "--files" => options.files = PathBuf::from(value()?),
            "--out" => options.out = PathBuf::from(value()?),
            "--seconds" => options.time = Duration::from_secs(value()?.parse()?),
            "--tomorrow" => options.tomorrow = value()?,
            "--seed" => options.seed = value()?.parse()?,
            "--faketime" => options.faketime = Some(PathBuf::from(value()?)),
            "--small-disk" => options.small = true,
            "--skipped" => options.skipped.push(value()?),
            _ => return Err(format!("{name} is not known").into()),
        }
    }
    stage::run(&options)
}
