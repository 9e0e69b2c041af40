//! The command line: the table of commands. Each has a file of its own, with its arguments and
//! what it does. Must not know hyper.
//!
//! Exit codes: 0 done, 1 refused or invalid, 2 wrong usage. Answers go to stdout, everything else
//! to stderr. No command takes a secret as an argument.

mod accounts;
mod audit;
mod check;
mod explain;
mod health;
mod init;
mod keys;
mod print;
mod quickstart;
mod ring;
mod run;
mod self_signed;
mod settings;
mod shell;
mod table;
mod tokens;
mod values;

use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;
use clap::Subcommand;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;

/// Sits in front of an API you already have, terminates TLS, lets in only requests that carry a key
/// you issued, and tells the API which account is calling and what it may do.
#[derive(Debug, Parser)]
#[command(name = "keygate", bin_name = "keygate", version, max_term_width = 100)]
#[command(propagate_version = false, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(quickstart::Args),
    Init(init::Args),
    Run(run::Args),
    Check(check::Args),
    Explain(Box<explain::Args>),
    Health(health::Args),
    #[command(subcommand)]
    Keys(keys::Command),
    #[command(subcommand)]
    Accounts(accounts::Command),
    #[command(subcommand)]
    Tokens(tokens::Command),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => cli.command.run(),
        Err(error) => misused(&error),
    }
}

/// Prints what is wrong with the arguments, or the help that was asked for.
fn misused(error: &clap::Error) -> ExitCode {
    let stray = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) => Some(word),
        _ => None,
    };
    match stray.filter(|word| !word.starts_with('-')) {
        // It may be a key, which must not be repeated where it can be recorded.
        Some(word) => {
            let text = error.to_string().replace(word.as_str(), "…");
            print::note(text.trim_end());
            print::note("Secrets are never taken as arguments; a key is read on stdin.");
        }
        // Help that cannot be printed has no reader to tell it to.
        None => drop(error.print()),
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Self::Quickstart(args) => quickstart::run(args),
            Self::Init(args) => init::run(&args),
            Self::Run(args) => run::run(args),
            Self::Check(args) => check::run(args),
            Self::Explain(args) => explain::run(&args),
            Self::Health(args) => health::run(&args),
            Self::Keys(command) => keys::run(command),
            Self::Accounts(command) => accounts::run(command),
            Self::Tokens(command) => tokens::run(&command),
            Self::Completions(args) => shell::completions(&args),
            Self::Man(args) => shell::man(&args),
        }
    }
}

/// The whole table, for what is generated from it.
fn commands() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_of_commands_contradicts_itself_nowhere() {
        super::commands().debug_assert();
    }
}
