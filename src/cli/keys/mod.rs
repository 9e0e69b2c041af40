//! `keygate keys …`: one file for each command.

mod chain;
mod create;
mod delete;
mod finish;
mod import;
mod issue;
mod list;
mod reveal;
mod revoke;
mod rights;
mod rotate;
mod show;
mod terminal;
mod usage;
mod verify;
mod view;

use std::process::ExitCode;

use super::print;

/// Create, list, revoke and rotate keys
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(create::Args),
    List(list::Args),
    Show(show::Args),
    Revoke(revoke::Args),
    Rotate(rotate::Args),
    Delete(delete::Args),
    Import(import::Args),
    Verify(verify::Args),
}

pub(crate) fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Create(args) => create::run(args),
        Command::List(args) => list::run(&args),
        Command::Show(args) => show::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Rotate(args) => rotate::run(&args),
        Command::Delete(args) => delete::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Verify(args) => verify::run(&args),
    };
    done.unwrap_or_else(|problems| print::refuse_all(&problems))
}
