//! How commands speak: answers to stdout, everything else to stderr, colour only on a terminal.

use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::process::ExitCode;

use anstyle::AnsiColor;
use anstyle::Style;

use crate::source::Problem;
use crate::source::Problems;

/// Prints an answer. A reader that went away has read enough.
pub(crate) fn answer(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => refuse(&Problem::new(format!("stdout cannot be written: {error}"))),
    }
}

/// Prints an answer for programs.
pub(crate) fn json(value: &serde_json::Value) -> ExitCode {
    answer(&format!("{value:#}\n"))
}

/// Says something to the person who watches.
pub(crate) fn note(text: &str) {
    // There is nobody left to tell that stderr is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Asks something, and leaves the cursor behind the question.
pub(crate) fn ask(question: &str) {
    let mut err = io::stderr();
    // There is nobody left to tell that stderr is gone.
    let _ = err.write_all(question.as_bytes()).and_then(|()| err.flush());
}

/// Says what is wrong; the exit code of a command that was refused.
pub(crate) fn refuse(problem: &Problem) -> ExitCode {
    let mut problems = Problems::default();
    problems.push(problem.clone());
    refuse_all(&problems)
}

/// Says everything that is wrong; the exit code of a command that was refused.
pub(crate) fn refuse_all(problems: &Problems) -> ExitCode {
    warn_all(problems);
    ExitCode::FAILURE
}

/// Says everything that was found, where it does not stop the command.
pub(crate) fn warn_all(problems: &Problems) {
    note(problems.render(colour(io::stderr().is_terminal())).trim_end());
}

/// Whether stdout wants colour.
pub(crate) fn colourful() -> bool {
    colour(io::stdout().is_terminal())
}

/// A text in a colour, if `on`.
pub(crate) fn paint(text: &str, colour: AnsiColor, on: bool) -> String {
    let style = Style::new().fg_color(Some(colour.into()));
    if on { format!("{style}{text}{style:#}") } else { text.to_owned() }
}

/// Colour is for terminals, unless `NO_COLOR` is set to anything (<https://no-color.org>).
fn colour(terminal: bool) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    terminal && !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
