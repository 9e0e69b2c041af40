//! What shells and `man` want to know, generated from the table of commands.

use std::io;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Write the manual pages
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// A directory for one page a command; without it the first page goes to stdout
    dir: Option<PathBuf>,
}

pub(crate) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::commands(), "keygate", &mut script);
    finish(io::stdout().lock().write_all(&script), "stdout")
}

pub(crate) fn man(args: &ManArgs) -> ExitCode {
    match &args.dir {
        Some(dir) => {
            let written = std::fs::create_dir_all(dir)
                .and_then(|()| clap_mangen::generate_to(super::commands(), dir));
            finish(written, &dir.display().to_string())
        }
        None => {
            let page = clap_mangen::Man::new(super::commands());
            finish(page.render(&mut io::stdout().lock()), "stdout")
        }
    }
}

fn finish(written: io::Result<()>, whither: &str) -> ExitCode {
    match written {
        Ok(()) => ExitCode::SUCCESS,
        // Who closes a pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: `{whither}` cannot be written: {error}");
            ExitCode::FAILURE
        }
    }
}
