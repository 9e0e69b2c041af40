//! `keygate tokens …`: keys that sign tokens.

use std::fs::File;
use std::fs::Permissions;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use zeroize::Zeroizing;

use super::print;
use crate::gate::Algorithm;
use crate::gate::SigningKey;
use crate::gate::SigningKeyError;
use crate::source::Problem;

/// Make keys that sign tokens
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Keygen(KeygenArgs),
}

/// Make a private key that signs tokens
///
/// It is written as PKCS#8 in PEM, for its owner alone to read. To change keys, put the new one in
/// front of the old one in `signing_key`, and take the old one out when the last of its tokens is
/// over.
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// What it signs with
    #[arg(long, value_name = "NAME", default_value = Algorithm::EdDsa.name(), value_parser = algorithm())]
    algorithm: Algorithm,
    /// Where to write it; nothing is overwritten [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn algorithm() -> impl clap::builder::TypedValueParser<Value = Algorithm> {
    let names = PossibleValuesParser::new(Algorithm::ALL.map(Algorithm::name));
    names.map(|name| Algorithm::from_name(&name).unwrap_or_default())
}

pub(crate) fn run(command: &Command) -> ExitCode {
    match command {
        Command::Keygen(args) => keygen(args).unwrap_or_else(|problem| print::refuse(&problem)),
    }
}

fn keygen(args: &KeygenArgs) -> Result<ExitCode, Box<Problem>> {
    let failed = |error: SigningKeyError| Problem::new(format!("no key can be made: {error}"));
    if let Some(path) = args.out.as_deref().filter(|path| path.symlink_metadata().is_ok()) {
        return Err(exists(path));
    }
    let key = SigningKey::generate(args.algorithm).map_err(failed)?;
    let pem = pem(&key.to_pkcs8().map_err(failed)?);
    match &args.out {
        Some(path) => {
            write(path, pem.as_bytes()).map_err(|error| unwritten(path, &error))?;
            let text = format!("wrote {}\n{}", path.display(), advice(args, &key, path));
            Ok(print::answer(&text))
        }
        None => {
            let done = print::answer(&pem);
            print::note(advice(args, &key, Path::new("tokens.pem")).trim_end());
            Ok(done)
        }
    }
}

/// What to do with it.
fn advice(args: &KeygenArgs, key: &SigningKey, path: &Path) -> String {
    let kid = key.kid();
    let algorithm = args.algorithm;
    let path = path.display();
    format!(
        "its public id (kid) is {kid}\n\n\
         in keygate.toml:\n  \
         [credentials]\n  \
         tokens = true\n\n  \
         [tokens]\n  \
         signing_key = {:?}\n  \
         algorithm = \"{algorithm}\"\n",
        path.to_string()
    )
}

/// A private key in PEM (RFC 7468, section 10).
fn pem(der: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(der.len() * 2 + 128));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in der.chunks(48) {
        STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

/// Either the whole file is there, or none; and never in the place of another.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".keygate-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()
}

fn unwritten(path: &Path, error: &io::Error) -> Box<Problem> {
    let kind = error.kind();
    if kind == io::ErrorKind::AlreadyExists {
        return exists(path);
    }
    if kind == io::ErrorKind::NotFound {
        let message = format!("the directory of `{}` does not exist", path.display());
        return Box::new(Problem::new(message).help("make it first"));
    }
    let message = format!("`{}` cannot be written: {kind}", path.display());
    Box::new(Problem::new(message).help("name another file with `--out`"))
}

fn exists(path: &Path) -> Box<Problem> {
    let problem = Problem::new(format!("`{}` exists already", path.display()));
    Box::new(problem.help("name another file: a key that signs is never overwritten"))
}
