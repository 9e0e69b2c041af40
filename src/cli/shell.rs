//! What shells and `man` want to know, generated from the table of commands.

use std::fs;
use std::io;
use std::io::Write as _;
use std::path::Path;
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
    let mut commands = super::commands();
    commands.build();
    match &args.dir {
        Some(dir) => {
            let written = fs::create_dir_all(dir).and_then(|()| write_pages(&commands, dir));
            finish(written, &dir.display().to_string())
        }
        None => {
            let written = page(&commands).and_then(|page| io::stdout().lock().write_all(&page));
            finish(written, "stdout")
        }
    }
}

/// The page of a command and those of all commands below it.
fn write_pages(command: &clap::Command, dir: &Path) -> io::Result<()> {
    fs::write(dir.join(format!("{}.1", name(command))), page(command)?)?;
    command.get_subcommands().try_for_each(|below| write_pages(below, dir))
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut rendered = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut rendered)?;
    let mut page = Vec::with_capacity(rendered.len() + SAME_EVERYWHERE.len());
    for line in rendered.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".TH ") {
            page.extend(title(command).as_bytes());
        } else {
            page.extend(line);
        }
    }
    page.extend(SAME_EVERYWHERE.as_bytes());
    Ok(page)
}

/// What stands above and below a page. There is no date, so that the same sources give the same
/// page; left to itself the generator leaves the empty word away, and the others move up.
fn title(command: &clap::Command) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {} 1 \"\" \"keygate {version}\" \"keygate manual\"\n", name(command))
}

const SAME_EVERYWHERE: &str = "\
.SH \"EXIT STATUS\"
0 done, 1 refused or invalid, 2 wrong usage.
.SH \"SEE ALSO\"
.BR keygate (1)
";

fn name(command: &clap::Command) -> &str {
    command.get_display_name().unwrap_or(command.get_name())
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
