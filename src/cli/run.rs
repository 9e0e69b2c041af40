//! `keygate run`: serves.

use std::path::PathBuf;
use std::process::ExitCode;

use super::print;
use super::values;
use crate::observe;
use crate::serve;
use crate::serve::Prepared;
use crate::source::Problem;

/// Serve: authenticate requests and forward them to the API
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "keygate.toml")]
    config: PathBuf,
    /// Override a member of the configuration, as in `--set listen.https=127.0.0.1:8443`
    #[arg(long, value_name = "PATH=VALUE", value_parser = values::setting)]
    set: Vec<String>,
}

pub(crate) fn run(args: Args) -> ExitCode {
    let prepared = match Prepared::load(serve::files(args.config, args.set)) {
        Ok(prepared) => prepared,
        Err(problems) => {
            let code = print::refuse_all(&problems);
            print::note(&format!("\n{}", problems.tally()));
            return code;
        }
    };
    let log = match observe::log::init() {
        Ok(log) => log,
        Err(error) => return print::refuse(&Problem::new(format!("cannot log: {error}"))),
    };
    let served = serve::serve(prepared, |_| {});
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print::refuse(&error.problem()),
    }
}
