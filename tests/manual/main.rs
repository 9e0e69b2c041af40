//! The manual, `deploy/README.md`: its commands run as they stand there, what cannot be run here is
//! parsed, and its tables are compared with the program.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that fails"
)]

mod blocks;
mod commands;
mod shell;
mod tables;
#[path = "../transcript.rs"]
mod transcript;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use shell::PATIENCE;
use shell::Shell;
use transcript::Step;
use transcript::matches;
use transcript::steps;

/// What only looks is asked again until it shows what the page shows: what a file says is in force
/// within a second, not at once.
const LOOKS: [&str; 10] = [
    "ask ",
    "cat ",
    "curl ",
    "for ",
    "grep ",
    "jq ",
    "keygate health",
    "keygate keys list",
    "keygate keys show",
    "tail ",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    fs::read_to_string(root().join("deploy/README.md")).unwrap()
}

#[test]
fn the_manual_does_what_it_says() {
    let (steps, mut shell) = (steps(&page()), Shell::new());
    shell.install("api", &root().join("tests/manual/api.py"));
    assert!(steps.len() > 30);
    // A hidden command puts a block of the page in force.
    for (number, text) in blocks::configurations().iter().enumerate() {
        fs::write(shell.path(&format!("merged-{}.toml", number + 1)), text).unwrap();
    }
    let asks = |step: Option<&Step>| step.is_some_and(|step| step.command == "echo $?");
    for (at, step) in steps.iter().enumerate() {
        let may_fail = asks(steps.get(at + 1));
        follow(&mut shell, step, may_fail);
    }
}

fn follow(shell: &mut Shell, step: &Step, may_fail: bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let output = shell.run(&step.command);
        let lines: Vec<&str> = output.text.lines().map(str::trim_end).collect();
        let shown = step.shown.as_deref();
        let right = shown.is_none_or(|shown| matches(shown, &lines));
        if right && (output.status == 0 || may_fail) {
            return;
        }
        let looks = LOOKS.iter().any(|command| step.command.starts_with(command));
        assert!(
            looks && Instant::now() < end,
            "deploy/README.md:{}: `{}` printed, exit code {}:\n{}",
            step.line,
            step.command,
            output.status,
            output.text
        );
        thread::sleep(Duration::from_millis(50));
    }
}
