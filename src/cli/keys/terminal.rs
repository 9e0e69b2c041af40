//! What the terminal does with what is typed, while something secret is on it.

use std::io;
use std::os::fd::AsFd;

use rustix::termios;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::SpecialCodeIndex;
use rustix::termios::Termios;

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// A terminal that does not show what is typed, and cannot be suspended from the keyboard. Dropping
/// it restores what was; what was typed meanwhile is for whoever reads the terminal next.
#[derive(Debug)]
pub(super) struct Quiet<F: AsFd> {
    terminal: F,
    before: Termios,
}

impl<F: AsFd> Quiet<F> {
    pub(super) fn new(terminal: F) -> io::Result<Self> {
        let before = termios::tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        // 0 is the code that no key sends.
        quiet.special_codes[SpecialCodeIndex::VSUSP] = 0;
        termios::tcsetattr(&terminal, OptionalActions::Now, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl<F: AsFd> Drop for Quiet<F> {
    fn drop(&mut self) {
        // A terminal that went away needs no restoring.
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// How many columns a terminal has.
pub(super) fn width(terminal: impl AsFd) -> usize {
    let columns = termios::tcgetwinsize(terminal).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH } else { columns }
}
