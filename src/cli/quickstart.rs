//! `keygate quickstart`: the main job with nothing prepared, and what to try.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::init;
use super::init::Target;
use super::print;
use super::self_signed;
use crate::clock;
use crate::keys::Digester;
use crate::keys::KeyId;
use crate::keys::KeyPrefix;
use crate::keys::MintedKey;
use crate::keys::new_key_id;
use crate::observe;
use crate::serve;
use crate::serve::Addresses;
use crate::serve::Prepared;
use crate::source::Problem;

/// Try keygate with nothing prepared: certificate, keys and upstream are made for you
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to put what it makes; a new temporary directory unless said
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// The ports that people expect; where one is taken, a free one is.
const HTTPS: u16 = 8443;
const HTTP: u16 = 8080;
const ADMIN: u16 = 9090;

const ACCOUNT: &str = "acme";

/// A key that was made, shown once.
struct Made {
    id: KeyId,
    access: &'static str,
    key: MintedKey,
}

/// Everything that was made.
struct Trial {
    dir: PathBuf,
    keys: [Made; 2],
    echo: TcpListener,
}

pub(crate) fn run(args: Args) -> ExitCode {
    match prepare(args.dir) {
        Ok((trial, prepared)) => go(trial, prepared),
        Err(problem) => print::refuse(&problem),
    }
}

fn go(trial: Trial, prepared: Prepared) -> ExitCode {
    let log = match observe::log::init() {
        Ok(log) => log,
        Err(error) => return print::refuse(&Problem::new(format!("cannot log: {error}"))),
    };
    let Trial { dir, keys, echo } = trial;
    let served = serve::serve(prepared.with_echo(echo), |addresses| {
        // Nobody is left to read what could not be printed.
        let _ = print::answer(&instructions(&dir, &keys, addresses));
        drop(keys);
    });
    drop(log);
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => print::refuse(&error.problem()),
    }
}

fn prepare(dir: Option<PathBuf>) -> Result<(Trial, Prepared), Box<Problem>> {
    let failed = |error: io::Error| Problem::new(format!("nothing can be made: {error}"));
    let dir = match dir {
        Some(dir) => std::path::absolute(dir).map_err(failed)?,
        None => tempfile::Builder::new().prefix("keygate-").tempdir().map_err(failed)?.keep(),
    };
    let echo = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let keys = [make("read")?, make("write")?];
    let tls = self_signed::make(clock::now())
        .map_err(|error| Problem::new(format!("no certificate can be made: {error}")))?;
    let target = |name, content, private| Target { name, content, private };
    let targets = [
        target("keygate.toml", config(echo.local_addr().map_err(failed)?), false),
        target("keys.toml", key_file(&keys), true),
        target("revoked.txt", REVOKED.to_owned(), false),
        target(init::CERTIFICATE, tls.certificate, false),
        target(init::PRIVATE_KEY, tls.private_key, true),
    ];
    init::write_all(&dir, &targets)?;
    let files = serve::files(dir.join("keygate.toml"), Vec::new());
    let prepared = Prepared::load(files).map_err(|problems| {
        Problem::new(format!("this is a bug: {}", problems.lines().join("; ")))
    })?;
    Ok((Trial { dir, keys, echo }, prepared))
}

fn make(access: &'static str) -> Result<Made, Box<Problem>> {
    let failed = |error| Problem::new(format!("the system gives no randomness: {error}"));
    let prefix = KeyPrefix::new("kg").ok_or_else(|| Problem::new("no prefix"))?;
    let id = new_key_id(clock::now()).map_err(failed)?;
    Ok(Made { id, access, key: MintedKey::mint(&prefix).map_err(failed)? })
}

const REVOKED: &str = "# Key ids or digests, one a line: refused even while other files fail to \
                       load.\n";

fn config(echo: SocketAddr) -> String {
    let (https, http, admin) = (free(HTTPS), free(HTTP), free(ADMIN));
    format!(
        "# Made by `keygate quickstart`. config.example.toml documents every setting.\n\
         \n\
         [listen]\n\
         https = \"127.0.0.1:{https}\"\n\
         http = \"127.0.0.1:{http}\"           # answers every request 401: HTTPS is required\n\
         admin = \"127.0.0.1:{admin}\"          # /readyz, /metrics\n\
         \n\
         [tls]\n\
         certificate = \"{}\"\n\
         private_key = \"{}\"\n\
         \n\
         [upstream]\n\
         url = \"http://{echo}\"    # the echo of the quickstart; put your API here\n\
         \n\
         [keys]\n\
         files = [\"keys.toml\"]\n\
         revocations = \"revoked.txt\"\n",
        init::CERTIFICATE,
        init::PRIVATE_KEY
    )
}

/// The port, or where it is taken one that is free now.
fn free(port: u16) -> u16 {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let bound = bound.or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    bound.and_then(|listener| listener.local_addr()).map_or(port, |address| address.port())
}

fn key_file(keys: &[Made]) -> String {
    let mut text = format!("[[account]]\nid = \"{ACCOUNT}\"\nname = \"Acme GmbH\"\n");
    for made in keys {
        let digest = Digester::Sha256.format(&Digester::Sha256.digest(&made.key.as_api_key()));
        text.push_str(&format!(
            "\n[[key]]\nid = \"{}\"\naccount = \"{ACCOUNT}\"\nname = \"quickstart, {}\"\n\
             digest = \"{digest}\"\nhint = \"{}\"\naccess = \"{}\"\ncreated = {:.0}\n",
            made.id,
            made.access,
            made.key.hint(),
            made.access,
            clock::now(),
        ));
    }
    text
}

fn instructions(dir: &Path, keys: &[Made; 2], addresses: &Addresses) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "keygate".to_owned());
    let url = |list: &[SocketAddr], scheme| {
        list.first().map_or_else(String::new, |address| format!("{scheme}://{address}/hello"))
    };
    let (https, http) = (url(&addresses.https, "https"), url(&addresses.http, "http"));
    let [read, write] = keys;
    let config = dir.join("keygate.toml");
    let (config, ca) = (config.display(), dir.join(init::CERTIFICATE));
    let curl = format!("curl --cacert {}", ca.display());
    let admin = addresses.admin.as_deref().unwrap_or_default();
    format!(
        "keygate is running, with an API behind it that echoes what it was sent.\n\
         Everything it made is in {dir}\n\
         \n\
         account {ACCOUNT}, with two keys, shown this once:\n\
         \n\
         \x20 read    {read_key}   ({read_id})\n\
         \x20 write   {write_key}   ({write_id})\n\
         \n\
         # who is calling, and what it may do, arrives upstream\n\
         {curl} -H 'Authorization: Bearer {read_key}' {https}\n\
         \n\
         # a write with the read key: 403; with the write key it passes\n\
         {curl} -i -d '{{}}' -H 'Authorization: Bearer {read_key}' {https}\n\
         {curl} -d '{{}}' -H 'Authorization: Bearer {write_key}' {https}\n\
         \n\
         # no key, a key that nobody issued, plain HTTP: 401\n\
         {curl} -i {https}\n\
         {curl} -i -H 'Authorization: Bearer 0123456789abcdef' {https}\n\
         curl -i {http}\n\
         \n\
         # in another terminal: revoke the read key; the next request with it is 401\n\
         {program} keys revoke --config {config} {read_id}\n\
         \n\
         # what the operator sees\n\
         curl http://{admin}/readyz\n\
         curl http://{admin}/metrics\n\
         \n\
         # the same again, without the quickstart (put your API's address into the file first)\n\
         {program} run --config {config}\n\
         \n\
         Ctrl-C ends it.\n",
        dir = dir.display(),
        read_key = read.key.reveal(),
        read_id = read.id,
        write_key = write.key.reveal(),
        write_id = write.id,
    )
}
