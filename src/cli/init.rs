//! `keygate init`: a commented configuration to start from. Nothing that exists is overwritten.

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::print;
use super::self_signed;
use crate::clock;
use crate::source::Problem;

/// Write a commented configuration to start from
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(PRESETS.map(|p| p.name)))]
    preset: String,
    /// Make the certificate that it names: for this machine alone, to try things
    #[arg(long)]
    self_signed: bool,
    /// Where to write it
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// A configuration that comes with the program. Nothing but this list knows their names.
struct Preset {
    name: &'static str,
    config: &'static str,
    keys: &'static str,
}

macro_rules! preset {
    ($name:literal) => {
        Preset {
            name: $name,
            config: include_str!(concat!("../../deploy/presets/", $name, "/keygate.toml")),
            keys: include_str!(concat!("../../deploy/presets/", $name, "/keys.toml")),
        }
    };
}

const PRESETS: [Preset; 5] = [
    preset!("minimal"),
    preset!("personyze"),
    preset!("polyteia"),
    preset!("synerise"),
    preset!("usetix"),
];

/// What the presets name.
pub(super) const CERTIFICATE: &str = "tls/server.crt";
pub(super) const PRIVATE_KEY: &str = "tls/server.key";

/// A file to write, and whether it is nobody else's business.
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) content: String,
    pub(super) private: bool,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let targets = match targets(args) {
        Ok(targets) => targets,
        Err(problem) => return print::refuse(&problem),
    };
    match write_all(&args.dir, &targets) {
        Ok(()) => print::answer(&report(args, &targets)),
        Err(problem) => print::refuse(&problem),
    }
}

fn targets(args: &Args) -> Result<Vec<Target>, Box<Problem>> {
    let preset = PRESETS.iter().find(|preset| preset.name == args.preset);
    let preset =
        preset.ok_or_else(|| Problem::new(format!("there is no preset `{}`", args.preset)))?;
    let mut targets = vec![
        Target { name: "keygate.toml", content: preset.config.to_owned(), private: false },
        Target { name: "keys.toml", content: preset.keys.to_owned(), private: true },
    ];
    if args.self_signed {
        let made = self_signed::make(clock::now())
            .map_err(|error| Problem::new(format!("no certificate can be made: {error}")))?;
        let (content, key) = (made.certificate, made.private_key);
        targets.push(Target { name: CERTIFICATE, content, private: false });
        targets.push(Target { name: PRIVATE_KEY, content: key, private: true });
    }
    Ok(targets)
}

/// Looks first, so that nothing is written where something stands in the way.
pub(super) fn write_all(dir: &Path, targets: &[Target]) -> Result<(), Box<Problem>> {
    for target in targets {
        let path = dir.join(target.name);
        if path.symlink_metadata().is_ok() {
            return Err(exists(&path));
        }
    }
    for target in targets {
        let path = dir.join(target.name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        written.and_then(|()| write(&path, target)).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists && path.exists() {
                return exists(&path);
            }
            Box::new(Problem::new(format!("`{}` cannot be written: {error}", path.display())))
        })?;
    }
    Ok(())
}

fn exists(path: &Path) -> Box<Problem> {
    let problem = Problem::new(format!("`{}` exists already", path.display()));
    Box::new(problem.help("name another directory, or move it out of the way"))
}

fn write(path: &Path, target: &Target) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if target.private {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(target.content.as_bytes())?;
    file.sync_all()
}

fn report(args: &Args, targets: &[Target]) -> String {
    let mut text = String::new();
    for target in targets {
        text.push_str(&format!("wrote {}\n", args.dir.join(target.name).display()));
    }
    text.push_str("\nnext:\n");
    if args.dir != Path::new(".") {
        text.push_str(&format!("  cd {}\n", args.dir.display()));
    }
    if !args.self_signed {
        text.push_str(&format!(
            "  # put your certificate and its key into {CERTIFICATE} and {PRIVATE_KEY}\n"
        ));
    }
    text.push_str(
        "  # put the address of your API into `url` of [upstream] in keygate.toml\n  \
         keygate accounts create acme\n  \
         keygate keys create --account acme --name 'first key' --access write\n  \
         keygate check\n  \
         keygate run\n",
    );
    text
}
