//! `keygate explain`: the decision that the running policy would take of a request, rule by rule,
//! with the place that each comes from. No network, and nothing is written.
//!
//! It judges by what the proxy judges by: the same world, the same intake, the same gate.

mod asked;
mod holder;
mod load;
mod message;
mod payload;
mod place;
mod report;
mod rule;
mod ruling;
mod show;
mod wire;
mod words;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use self::asked::Asked;
use self::load::Policy;
use self::report::Report;
use self::ruling::Ruling;
use super::print;
use super::values;
use crate::clock;
use crate::keys::KeyId;
use crate::source::Problems;

/// Say what becomes of a request, rule by rule, and where each rule stands
///
/// Nothing is sent and nothing is written. The exit code is 0 if the request would be forwarded or
/// answered with a token, 1 if it would be refused, and 2 if the arguments are wrong. What depends
/// on the requests of the moment, limits, is described and not judged.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request's method, as in `GET`
    #[arg(required_unless_present = "request")]
    method: Option<String>,
    /// The request's path, perhaps with a query
    #[arg(required_unless_present = "request")]
    path: Option<String>,
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "keygate.toml")]
    config: PathBuf,
    /// Override a member of the configuration, as in `--set routes.unmatched=allow`
    #[arg(long, value_name = "PATH=VALUE", value_parser = values::setting)]
    set: Vec<String>,
    /// As if the key of this id had been presented, by a way that it may be
    #[arg(long, value_name = "ID", value_parser = values::name)]
    key_id: Option<KeyId>,
    /// A header of the request; one that carries a credential belongs into `--request`
    #[arg(long, value_name = "N: V")]
    header: Vec<String>,
    /// The file with the request's body, or `-` for stdin
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// A file with the whole request as on the wire (HTTP/1.1), perhaps with a credential, or `-`
    /// for stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "path", "header", "body"])]
    request: Option<PathBuf>,
    /// The address that the connection comes from
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    from: IpAddr,
    /// The request comes in clear, not by TLS
    #[arg(long)]
    plain: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to explain.
enum Stop {
    /// The arguments are wrong.
    Misused(Problems),
    /// Something that they name is.
    Refused(Problems),
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::Refused(problems)
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match explain(args) {
        Ok(code) => code,
        Err(Stop::Misused(problems)) => {
            print::refuse_all(&problems);
            ExitCode::from(2)
        }
        Err(Stop::Refused(problems)) => {
            let code = print::refuse_all(&problems);
            if problems.len() > 1 {
                print::note(&format!("\n{}", problems.tally()));
            }
            code
        }
    }
}

fn explain(args: &Args) -> Result<ExitCode, Stop> {
    let now = clock::now();
    let policy = Policy::load(args, now)?;
    let asked = Asked::read(args, &policy)?;
    let key = args.key_id.as_ref().map(|id| policy.key(id)).transpose()?;
    let ruling = Ruling::of(&asked, &policy, key, now);
    let report = Report::new(&asked, &policy, &ruling);
    let printed = match args.json {
        true => print::json(&report.json()),
        false => print::answer(&show::text(&report, print::colourful())),
    };
    Ok(if ruling.passes() { printed } else { ExitCode::FAILURE })
}
