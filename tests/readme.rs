//! The commands in the README, run as they stand there.
//!
//! A command with `…` in it is the line of the quickstart's instructions that it abbreviates. All
//! blocks share one directory, in their order; `keygate` and `cargo run --release --` are the binary
//! under test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that panics is a test that fails")]

mod transcript;

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use transcript::line_matches;
use transcript::matches;
use transcript::steps;

/// For what has to happen; it takes as long only when it does not happen.
const PATIENCE: Duration = Duration::from_secs(30);

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
            let shown = step.shown.as_deref().unwrap_or_default();
            if shown.is_empty() || matches(shown, &lines) {
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
