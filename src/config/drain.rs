//! `[drain]`: how to end.

use std::time::Duration;

use super::reading::duration_or;
use crate::source::Section;

/// How to end after SIGTERM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// How long connections are still accepted, not ready.
    pub delay: Duration,
    /// How long requests in flight may take to finish.
    pub timeout: Duration,
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Drain {
    let mut drain = Drain { delay: Duration::ZERO, timeout: Duration::from_secs(30) };
    if let Some(table) = root.table("drain") {
        let mut section = root.enter("[drain]", table);
        drain.delay = duration_or(&mut section, "delay", drain.delay);
        drain.timeout = duration_or(&mut section, "timeout", drain.timeout);
    }
    drain
}
