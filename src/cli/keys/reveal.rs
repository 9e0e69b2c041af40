//! Showing a key on a terminal for a while, and then nowhere: not on the screen and not in what can
//! be scrolled back to.
//!
//! It is shown on the terminal's alternate screen, which has no history; and because not every
//! terminal has that screen, its lines are also erased one by one.

use std::io;
use std::io::Write as _;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::terminal;
use super::terminal::Quiet;

const OTHER_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";
const ERASE_LINE: &str = "\r\x1b[2K";
const LINE_UP: &str = "\x1b[1A";
const ERASE_BELOW: &str = "\x1b[J";

/// Shows a key, and what goes with it, line by line on stdout, which is a terminal, until the time is over or a signal (Ctrl-C is one)
/// asks the process to end; then wipes it. Nothing is read from the keyboard: what was typed ahead
/// must not end the only time that a key is shown.
pub(super) fn reveal(lines: &[&str], hold: Duration) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut ends = Ends::watch()?;
        let _quiet = Quiet::new(io::stdout());
        let shown = Shown::show(lines)?;
        let deadline = Instant::now() + hold;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            count_down(seconds)?;
            // To the next whole second, so that every number is seen.
            let part = Duration::from_nanos(u64::from(left.subsec_nanos()));
            let pause = if part.is_zero() { Duration::from_secs(1) } else { part };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ends.any() => break,
            }
        }
        shown.wipe()
    })
}

/// On one line, however narrow the terminal is.
fn count_down(seconds: u64) -> io::Result<()> {
    let text = format!("wiped in {seconds} s, or with Ctrl-C");
    let room = terminal::width(io::stdout()).saturating_sub(1);
    print(&format!("{ERASE_LINE}{}", text.chars().take(room).collect::<String>()))
}

/// A key that is on the screen. Dropping it wipes it.
struct Shown {
    rows: usize,
}

impl Shown {
    fn show(lines: &[&str]) -> io::Result<Self> {
        // Each line, perhaps wrapped; below them is the one that counts down.
        let width = terminal::width(io::stdout());
        let rows = lines.iter().map(|line| line.chars().count().div_ceil(width).max(1)).sum();
        let shown = Self { rows };
        let text = Zeroizing::new(lines.join("\n"));
        print(&Zeroizing::new(format!("{OTHER_SCREEN}{}\n", *text)))?;
        Ok(shown)
    }

    fn wipe(self) -> io::Result<()> {
        let wiped = self.erase();
        std::mem::forget(self);
        wiped
    }

    fn erase(&self) -> io::Result<()> {
        let line_by_line = format!("{LINE_UP}{ERASE_LINE}").repeat(self.rows);
        print(&format!("{ERASE_LINE}{line_by_line}{ERASE_BELOW}{FIRST_SCREEN}"))
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        // Only where showing it failed half-way; there is nobody to tell.
        let _ = self.erase();
    }
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The signals that end the showing early.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    quit: Signal,
}

impl Ends {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}
