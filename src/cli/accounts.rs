//! `keygate accounts …`.

use std::path::PathBuf;
use std::process::ExitCode;

use anstyle::AnsiColor;
use serde_json::Value;
use serde_json::json;

use super::audit;
use super::print;
use super::ring::Place;
use super::ring::Ring;
use super::table;
use super::table::Cell;
use super::values;
use crate::keys::Account;
use crate::keys::AccountId;
use crate::keys::Edit;
use crate::keys::Origin;
use crate::keys::Permission;
use crate::source::Problem;
use crate::source::Problems;

/// Create, list, disable and enable accounts
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Create(CreateArgs),
    List(ListArgs),
    /// Refuse all keys of an account, from the next request on
    Disable(OneArgs),
    /// Accept the keys of an account again
    Enable(OneArgs),
}

/// Make an account, and the key file if there is none
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Its id, as the API is told it
    #[arg(value_parser = values::name)]
    id: AccountId,
    /// A note for people
    #[arg(long)]
    name: Option<String>,
    /// Only these permissions, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = values::permission)]
    permissions: Option<Vec<Option<Permission>>>,
    /// The key file to write to [default: the first of the configuration]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Show the accounts
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// For programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
pub(crate) struct OneArgs {
    /// Its id
    #[arg(value_parser = values::name)]
    id: AccountId,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(command: Command) -> ExitCode {
    let done = match command {
        Command::Create(args) => create(args),
        Command::List(args) => list(&args),
        Command::Disable(args) => switch(&args, true),
        Command::Enable(args) => switch(&args, false),
    };
    done.unwrap_or_else(|problems| print::refuse_all(&problems))
}

fn create(args: CreateArgs) -> Result<ExitCode, Problems> {
    let ring = Ring::open_to_begin(&args.place)?;
    let path = ring.file_for_new(args.file.as_deref());
    let mut edit = ring.edit_sound(&path)?;
    if ring.account(&args.id).is_some() || ring.defines(&edit, &args.id) {
        return Err(Problem::new(format!("account `{}` exists already", args.id))
            .help("`keygate accounts list` shows all")
            .into());
    }
    let account = Account {
        id: args.id,
        name: args.name.map(Box::from),
        permissions: values::permissions(args.permissions),
        disabled: false,
        origin: Origin::default(),
    };
    edit.append_account(&account)?;
    audit::save(&ring, edit)?;
    Ok(print::answer(&format!("account {} is in {}\n", account.id, path.display())))
}

fn list(args: &ListArgs) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    ring.require_files()?;
    let printed = if args.json {
        print::json(&ring.accounts().map(|account| as_json(&ring, account)).collect())
    } else {
        let rows: Vec<_> = ring.accounts().map(|account| row(&ring, account)).collect();
        if rows.is_empty() {
            print::note("no accounts");
            ExitCode::SUCCESS
        } else {
            let head = ["ID", "NAME", "STATUS", "KEYS", "PERMISSIONS"];
            print::answer(&table::table(head, &rows, print::colourful()))
        }
    };
    Ok(if ring.problems.fatal() { print::refuse_all(&ring.problems) } else { printed })
}

fn switch(args: &OneArgs, disabled: bool) -> Result<ExitCode, Problems> {
    let ring = Ring::open(&args.place)?;
    let file = ring
        .files
        .iter()
        .find(|file| file.content.accounts.iter().any(|account| account.id == args.id));
    let Some(file) = file else { return Err(not_found(&ring, &args.id, disabled)) };
    let word = if disabled { "disabled" } else { "enabled" };
    if ring.account(&args.id).is_some_and(|account| account.disabled == disabled) {
        if ring.problems.fatal() {
            let file = file.path.display();
            let why = format!("it is in `{file}`, but what does not load is not in force");
            return Err(stuck(&ring, &args.id, disabled, &why, ring.problems.clone()));
        }
        return Ok(print::answer(&format!("account {} is {word} already\n", args.id)));
    }
    let edit = Edit::open(&file.path).and_then(|mut edit| {
        edit.disable(&args.id, disabled)?;
        Ok(edit)
    });
    let edit = match edit {
        Ok(edit) => edit,
        Err(problem) => {
            let why = format!("`{}` cannot be edited", file.path.display());
            return Err(stuck(&ring, &args.id, disabled, &why, (*problem).into()));
        }
    };
    // Only enabling gives rights.
    let save = if disabled { audit::save_in_any_case } else { audit::save };
    save(&ring, edit)?;
    Ok(print::answer(&format!("account {} is {word}, in {}\n", args.id, file.path.display())))
}

/// Why an account cannot be switched that is not there, or cannot be seen.
fn not_found(ring: &Ring, id: &AccountId, disabled: bool) -> Problems {
    if !ring.problems.fatal() {
        return ring.require_account(id).err().unwrap_or_default();
    }
    let why = "what can be read has no such account";
    stuck(ring, id, disabled, why, ring.problems.clone())
}

/// What is wrong, and what else whoever is in a hurry can do.
fn stuck(ring: &Ring, id: &AccountId, disabled: bool, why: &str, wrong: Problems) -> Problems {
    let word = if disabled { "disabled" } else { "enabled" };
    let correct = "correct what is told below, and try again";
    let ids = "write the ids of its keys";
    let rule = "one a line: what stands there is refused whatever the key files say";
    let help = match &ring.keys.revocations {
        _ if !disabled => correct.to_owned(),
        Some(file) => format!("{correct}; or {ids} into `{}`, {rule}", file.display()),
        None => format!(
            "{correct}; or add `revocations = \"revoked.txt\"` to `[keys]` and {ids} into that file, \
             {rule}"
        ),
    };
    let message = format!("account `{id}` cannot be {word}: {why}");
    let mut problems = Problems::from(Problem::new(message).help(help));
    problems.extend(wrong);
    problems
}

const fn status(account: &Account) -> &'static str {
    if account.disabled { "disabled" } else { "active" }
}

fn keys_of(ring: &Ring, account: &Account) -> usize {
    ring.keys().filter(|record| record.account == account.id).count()
}

fn names(account: &Account) -> Option<Vec<&str>> {
    account.permissions.as_ref().map(|list| list.iter().map(Permission::as_str).collect())
}

fn as_json(ring: &Ring, account: &Account) -> Value {
    json!({
        "id": account.id.as_str(),
        "name": account.name,
        "status": status(account),
        "disabled": account.disabled,
        "permissions": names(account),
        "keys": keys_of(ring, account),
    })
}

fn row(ring: &Ring, account: &Account) -> [Cell; 5] {
    let colour = if account.disabled { AnsiColor::Yellow } else { AnsiColor::Green };
    let permissions = match names(account) {
        None => "not limited".to_owned(),
        Some(list) if list.is_empty() => "none".to_owned(),
        Some(list) => list.join(" "),
    };
    [
        account.id.as_str().into(),
        account.name.as_deref().unwrap_or_default().into(),
        Cell::painted(status(account), Some(colour)),
        keys_of(ring, account).to_string().as_str().into(),
        permissions.as_str().into(),
    ]
}
