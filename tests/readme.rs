//! The commands in the README, run as they stand there.
//!
//! Each ```` ```console ```` block is a transcript: `$ ` begins a command, what follows is what it
//! prints, and `…` stands for anything. A command with `…` in it is the line of the quickstart's
//! instructions that it abbreviates. All blocks share one directory, in their order; `keygate` and
//! `cargo run --release --` are the binary under test.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test that panics is a test that fails"
)]

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// For what has to happen; it takes as long only when it does not happen.
const PATIENCE: Duration = Duration::from_secs(30);

struct Step {
    line: usize,
    command: String,
    shown: Vec<String>,
}

/// The commands of every console block of a page.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for (number, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
        } else if let (true, Some(command)) = (inside, line.strip_prefix("$ ")) {
            steps.push(Step { line: number + 1, command: command.to_owned(), shown: Vec::new() });
        } else if inside {
            let step =
                steps.last_mut().unwrap_or_else(|| panic!("line {}: no command", number + 1));
            match step.command.strip_suffix('\\') {
                Some(begun) => step.command = format!("{begun}\\\n{line}"),
                None => step.shown.push(line.to_owned()),
            }
        }
    }
    steps
}

/// Whether a printed text is what is shown, where `…` stands for anything within a line, and a line
/// of it alone for any lines.
fn matches(shown: &[String], printed: &[&str]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((line, rest)), _) if line == "…" => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        (Some((line, rest)), Some((first, others))) => {
            line_matches(line, first) && matches(rest, others)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    let Some((before, after)) = shown.split_once('…') else { return shown == printed };
    printed.strip_prefix(before).is_some_and(|rest| {
        let mut ends = (0..=rest.len()).filter(|&at| rest.is_char_boundary(at));
        ends.any(|at| line_matches(after, &rest[at..]))
    })
}

/// A directory with `keygate` and `cargo` on its path, and what was started in it.
struct Session {
    directory: tempfile::TempDir,
    instructions: String,
    servers: Vec<Child>,
}

impl Session {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bin = directory.path().join("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_keygate"), bin.join("keygate")).unwrap();
        fs::write(bin.join("cargo"), CARGO).unwrap();
        fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
        Self { directory, instructions: String::new(), servers: Vec::new() }
    }

    fn bash(&self, command: &str) -> Command {
        let (here, path) = (self.directory.path(), std::env::var("PATH").unwrap());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", command]);
        bash.current_dir(here).env("PATH", format!("{}:{path}", here.join("bin").display()));
        bash.env("TMPDIR", here);
        bash
    }

    /// What is run for a command of the page.
    fn whole(&self, command: &str) -> String {
        if !command.contains('…') {
            return command.to_owned();
        }
        let found = self.instructions.lines().find(|line| line_matches(command, line));
        found.unwrap_or_else(|| panic!("no `{command}` in\n{}", self.instructions)).to_owned()
    }

    /// Runs a command to its end; what it printed.
    fn run(&self, command: &str) -> String {
        let output = self.bash(command).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}`: {}\n{printed}{complaint}", output.status);
        printed
    }

    /// Starts a command that serves, and waits for its instructions.
    fn serve(&mut self, command: &str) {
        let (out, log) = (self.directory.path().join("out"), self.directory.path().join("log"));
        let mut bash = self.bash(&format!("exec {command}"));
        bash.stdout(File::create(&out).unwrap()).stderr(File::create(&log).unwrap());
        self.servers.push(bash.spawn().unwrap());
        let end = Instant::now() + PATIENCE;
        loop {
            let printed = fs::read_to_string(&out).unwrap();
            let logged = fs::read_to_string(&log).unwrap();
            if logged.contains(r#""message":"listening""#) && printed.ends_with("ends it.\n") {
                self.instructions = printed;
                return;
            }
            let gone = self.servers.last_mut().unwrap().try_wait().unwrap();
            let late = Instant::now() > end;
            assert!(gone.is_none() && !late, "`{command}` does not serve\n{printed}{logged}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Stands in for building the binary, which the test's own build has done.
const CARGO: &str = r#"#!/bin/sh
[ "$1 $2 $3" = "run --release --" ] || exit 2
shift 3
exec keygate "$@"
"#;

#[test]
fn the_readme_does_what_it_says() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let (steps, mut session) = (steps(&page), Session::new());
    assert!(steps.iter().any(|step| step.command.ends_with("quickstart")));
    for step in steps {
        let end = Instant::now() + PATIENCE;
        loop {
            let printed = if step.command.ends_with("quickstart") {
                session.serve(&step.command);
                session.instructions.clone()
            } else {
                session.run(&session.whole(&step.command))
            };
            let lines: Vec<&str> = printed.lines().map(str::trim_end).collect();
            if step.shown.is_empty() || matches(&step.shown, &lines) {
                break;
            }
            // What a file says is in force within a second, not at once.
            let late = Instant::now() > end || !step.command.contains('…');
            assert!(!late, "README.md:{}: `{}` printed\n{printed}", step.line, step.command);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn the_configuration_on_the_page_is_taken() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let blocks: Vec<_> = page.split("```toml\n").skip(1).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let session = Session::new();
        session.run("keygate init --preset minimal --self-signed .");
        session.run("keygate tokens keygen --out tokens.pem");
        let path = session.directory.path().join("keygate.toml");
        let (block, _) = block.split_once("```").unwrap();
        fs::write(&path, fs::read_to_string(&path).unwrap() + block).unwrap();
        session.run("keygate check");
    }
}

#[test]
fn a_transcript_that_does_not_hold_is_noticed() {
    let page = "```console\n$ a \\\n  b\none …\n…\nlast\n```\n```\n$ not this\n```\n";
    let [step] = &steps(page)[..] else { panic!("one command") };
    assert_eq!(step.command, "a \\\n  b");
    for (printed, same) in [
        ("one 1\nlast", true),
        ("one 1\ntwo\nthree\nlast", true),
        ("one 1\ntwo", false),
        ("two\nlast", false),
        ("one 1\nlast\nmore", false),
    ] {
        let printed: Vec<&str> = printed.lines().collect();
        assert_eq!(matches(&step.shown, &printed), same, "{printed:?}");
    }
    assert!(line_matches("a …c… e", "a b c d e"));
    assert!(!line_matches("a …", "b a "));
}
