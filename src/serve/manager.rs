//! What the service manager is told (`sd_notify(3)`): that we are ready, how it stands, that we
//! reload, live and end. Where there is none, nothing happens.

use std::fmt::Write as _;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::observe::Status;

/// The longest text of a status, in bytes.
const LONGEST: usize = 512;

/// Talks to the service manager.
#[derive(Debug, Default)]
pub(super) struct Manager {
    told: String,
    failed: bool,
}

impl Manager {
    /// Everything is up, or a reload that was asked for has been tried.
    pub(super) fn ready(&mut self, status: &Status) {
        self.told = text(status);
        let told = std::mem::take(&mut self.told);
        self.send(&[NotifyState::Ready, NotifyState::Status(&told)]);
        self.told = told;
    }

    /// How it stands, if that is new.
    pub(super) fn status(&mut self, status: &Status) {
        let text = text(status);
        if text != self.told {
            self.send(&[NotifyState::Status(&text)]);
            self.told = text;
        }
    }

    /// A reload was asked for.
    pub(super) fn reloading(&mut self) {
        // It measures by this clock whether what comes next came later.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, now]);
        }
    }

    /// The process ends, and that takes so long at most.
    pub(super) fn stopping(&mut self, longest: Duration) {
        let extension = format!("EXTEND_TIMEOUT_USEC={}", longest.as_micros());
        let status = NotifyState::Status("draining");
        self.send(&[NotifyState::Stopping, NotifyState::Custom(&extension), status]);
    }

    /// All is well.
    pub(super) fn alive(&mut self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&mut self, what: &[NotifyState<'_>]) {
        let sent = sd_notify::notify(what);
        if let Err(error) = &sent
            && !self.failed
        {
            tracing::warn!(%error, "the service manager cannot be told how it stands");
        }
        self.failed = sent.is_err();
    }
}

/// Another process is the service from now on. What others say is not heard, so it is for the one
/// that is the service until then.
pub(super) fn main_process(process: u32) {
    if let Err(error) = sd_notify::notify(&[NotifyState::MainPid(process)]) {
        tracing::warn!(%error, "the service manager cannot be told which process serves");
    }
}

/// One line: whatever a file is called, it says nothing else to the service manager.
fn text(status: &Status) -> String {
    let Status { keys, accounts, generation, .. } = status;
    let mut text = format!("{keys} keys, {accounts} accounts, generation {generation}");
    if let Some(error) = &status.error {
        let _ = write!(text, "; the last reload failed: {error}");
    }
    let mut text = text.replace(char::is_control, " ");
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_line_of_limited_length() {
        let mut status = Status { keys: 2, accounts: 1, generation: 7, ..Status::default() };
        assert_eq!(text(&status), "2 keys, 1 accounts, generation 7");
        status.error = Some("`a\nMAINPID=1` cannot be read".to_owned());
        let said = text(&status);
        assert!(said.ends_with("the last reload failed: `a MAINPID=1` cannot be read"), "{said}");
        status.error = Some("ü".repeat(LONGEST));
        assert!(text(&status).len() <= LONGEST);
    }
}
