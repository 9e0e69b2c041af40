//! `keygate keys create`.

use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::IpNet;
use jiff::Timestamp;

use super::issue;
use super::issue::Fresh;
use super::issue::HandOver;
use super::rights::Rights;
use super::view::View;
use crate::cli::print;
use crate::cli::ring::Place;
use crate::cli::ring::Ring;
use crate::cli::values;
use crate::cli::values::AccessWord;
use crate::cli::values::Expiry;
use crate::cli::values::KindWord;
use crate::clock;
use crate::keys::Account;
use crate::keys::AccountId;
use crate::keys::KeyId;
use crate::keys::KeyRecord;
use crate::keys::KeyStatus;
use crate::keys::Kind;
use crate::keys::MintedKey;
use crate::keys::Origin;
use crate::keys::Permission;
use crate::source::Problem;
use crate::source::Problems;

/// Make a key and show it once
///
/// On a terminal it is shown for ten seconds and then wiped from the screen. Piped, it is all that
/// stands on stdout: `keygate keys create --account acme | my-secret-store put`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose it is
    #[arg(long, value_name = "ID", value_parser = values::name)]
    account: AccountId,
    /// What it is for, as a note for people
    #[arg(long)]
    name: Option<String>,
    /// What it may do [default: the configuration's `keys.default_access`]
    #[arg(long)]
    access: Option<AccessWord>,
    /// Only these of its account's permissions, with commas between them
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = values::permission)]
    permissions: Option<Vec<Option<Permission>>>,
    /// Whom it stands for
    #[arg(long, default_value = "workspace")]
    kind: KindWord,
    /// Only from this address or network; can be given several times
    #[arg(long = "ip", value_name = "CIDR", value_parser = values::network)]
    ips: Vec<IpNet>,
    /// When it ends: after `90d`, on `2027-02-20`, at `2027-02-20T10:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = values::expiry)]
    expires: Option<Expiry>,
    /// It may be presented by Basic where the user name is the account
    #[arg(long)]
    basic: bool,
    #[command(flatten)]
    rights: Rights,
    /// The key file to write to [default: the first of the configuration]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    how: HandOver,
    #[command(flatten)]
    place: Place,
}

pub(crate) fn run(args: Args) -> Result<ExitCode, Problems> {
    let now = clock::now();
    let ring = Ring::open_to_add(&args.place)?;
    let account = ring.require_account(&args.account)?;
    if account.disabled {
        print::note(&format!("account {} is disabled: its keys are refused", account.id));
    }
    for permission in beyond(account, args.permissions.iter().flatten().flatten()) {
        print::note(&format!(
            "account {} does not have {}: neither has its key",
            account.id,
            permission.as_str()
        ));
    }
    let until = args.expires.map(|expires| ending(expires, now)).transpose()?;
    if args.basic && matches!(args.kind, KindWord::Profile) && ring.basic_names_account {
        let problem = Problem::new("a profile key cannot be presented by Basic");
        return Err(problem.help("leave out `--basic`, or make a workspace key").into());
    }
    let simple_auth = args.rights.simple_auth(args.kind.into())?;
    args.rights.notes().iter().for_each(|text| print::note(text));
    let path = ring.file_for_new(args.file.as_deref());
    let (id, key) = issue::mint(&ring, now)?;
    let (how, record) = record(args, &ring, id, &key, now);
    let status = KeyStatus::Active { until };
    let record = KeyRecord { status, simple_auth, ..record };
    let salt = record.simple_auth.as_ref().and_then(|simple| simple.salt.as_deref());
    let mut edit = ring.edit_sound(&path)?;
    edit.append_keys([&record], &ring.digester)?;
    let view = View::new(&ring, &record, now);
    issue::hand_over(&ring, &how, edit, &path, &view, &record, &Fresh { key: &key, salt })
}

/// What a key would list in vain.
fn beyond<'p>(
    account: &Account,
    permissions: impl Iterator<Item = &'p Permission>,
) -> Vec<&'p Permission> {
    let theirs = account.permissions.as_deref();
    let has = |mine: &Permission| {
        theirs.is_none_or(|list| list.iter().any(|its| its.meet(mine).is_some()))
    };
    permissions.filter(|mine| !has(mine)).collect()
}

/// When a key that is made now shall end.
pub(super) fn ending(expires: Expiry, now: Timestamp) -> Result<Timestamp, Problems> {
    let instant = expires.instant(now).ok().map(whole_second);
    instant.filter(|instant| *instant > now).ok_or_else(|| {
        Problem::new("the key would have expired already, or never would")
            .help("give a time to come, like `--expires 90d`")
            .into()
    })
}

/// Files have whole seconds: nobody means less.
pub(super) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn record(
    args: Args,
    ring: &Ring,
    id: KeyId,
    key: &MintedKey,
    now: Timestamp,
) -> (HandOver, KeyRecord) {
    let record = KeyRecord {
        id,
        account: args.account,
        name: args.name.map(Box::from),
        digest: ring.digester.digest(&key.as_api_key()),
        hint: Some(key.hint().into()),
        access: args.access.map(From::from),
        kind: Kind::from(args.kind),
        permissions: values::permissions(args.permissions),
        ips: args.ips.into(),
        events: args.rights.events(),
        attributes: args.rights.attributes(),
        basic: args.basic.then_some(true),
        simple_auth: None,
        created: Some(whole_second(now)),
        replaces: None,
        status: KeyStatus::Active { until: None },
        origin: Origin::default(),
    };
    (args.how, record)
}
