//! What the terminal does with what is typed, while something secret is on it.

use std::io;
use std::os::fd::AsFd;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::termios;
use rustix::termios::LocalModes;
use rustix::termios::OptionalActions;
use rustix::termios::QueueSelector;
use rustix::termios::SpecialCodeIndex;
use rustix::termios::Termios;

/// Columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// A terminal that does not show what is typed, and cannot be suspended from the keyboard. Dropping
/// it restores what was, and forgets what was typed meanwhile.
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
        let _ = termios::tcflush(&self.terminal, QueueSelector::IFlush);
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// How many columns a terminal has.
pub(super) fn width(terminal: impl AsFd) -> usize {
    let columns = termios::tcgetwinsize(terminal).map_or(0, |size| usize::from(size.ws_col));
    if columns == 0 { USUAL_WIDTH } else { columns }
}

/// Whether a line was typed on a terminal, or the terminal went away.
pub(super) fn has_input(terminal: impl AsFd) -> bool {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    termios::isatty(&terminal)
        && poll(&mut [PollFd::new(&terminal, PollFlags::IN)], Some(&at_once)).is_ok_and(|n| n > 0)
}
