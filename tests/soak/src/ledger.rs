//! What everybody writes down: each request with what came of it, each fault with its time, each
//! key with its life. Nothing here judges; see `check`.

use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Instant;

/// Microseconds since the soak began, by a clock that nobody steps.
pub(crate) type Time = u64;

pub(crate) const SECOND: Time = 1_000_000;

pub(crate) fn now() -> Time {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let elapsed = EPOCH.get_or_init(Instant::now).elapsed();
    Time::try_from(elapsed.as_micros()).unwrap_or(Time::MAX)
}

/// What a client wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Echo,
    Post,
    Download,
    Upload,
    Slow,
    /// On a route that takes two at a time of an account, and lets the others wait.
    Narrow,
    /// On a route that takes so many a second of a key.
    Rated,
    /// A key for a token.
    Login,
    /// With such a token.
    Token,
    Socket,
    /// With a key that comes and goes while the program runs.
    Fresh,
    /// A stream that such a key opened, held until it is cut.
    Held,
    /// With a key whose end is tomorrow, for a program whose clock is stepped.
    Expiring,
    NoKey,
    UnknownKey,
    MalformedKey,
    TwoKeys,
    ReadKeyWrites,
    MissingPermission,
    WrongAccount,
    NoRoute,
    AmbiguousPath,
    InClear,
    /// Its client goes away half-way.
    Killed,
}

impl Kind {
    /// The only status and reason that there are for it, faults aside.
    pub(crate) const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Echo | Self::Post | Self::Download | Self::Upload | Self::Slow => (200, ""),
            Self::Narrow | Self::Rated | Self::Login | Self::Token => (200, ""),
            Self::Fresh | Self::Expiring | Self::Killed => (200, ""),
            Self::Socket | Self::Held => (101, ""),
            Self::NoKey => (401, "no_credential"),
            Self::UnknownKey => (401, "unknown_key"),
            Self::MalformedKey => (401, "malformed_key"),
            Self::TwoKeys => (400, "ambiguous_credential"),
            Self::ReadKeyWrites => (403, "method_not_allowed_for_key"),
            Self::MissingPermission => (403, "missing_permission"),
            Self::WrongAccount => (404, "wrong_account"),
            Self::NoRoute => (403, "no_route"),
            Self::AmbiguousPath => (400, "ambiguous_path"),
            Self::InClear => (401, "insecure_transport"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
    Clear,
}

/// How it ended for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A whole answer; the reason is what a refusal's body says.
    Answer(u16, String),
    /// No answer, or not to its end.
    Cut(Option<u16>, String),
    /// There was no connection to send it on.
    Unreached(String),
    /// The client went away on purpose.
    Killed,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    pub(crate) kind: Kind,
    pub(crate) protocol: Protocol,
    /// The id of the key that it carried, if it carried one that is known.
    pub(crate) key: String,
    pub(crate) from: Time,
    /// When the answer's head was there, if it ever was.
    pub(crate) head: Option<Time>,
    pub(crate) to: Time,
    pub(crate) end: End,
    /// What `X-Request-Id` of the answer says; of a request without answer what its own said.
    pub(crate) id: Option<String>,
    /// What was wrong with what came.
    pub(crate) wrong: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The upstream is dead.
    Upstream,
    /// A file does not load.
    Broken,
    /// The disk of files and log is full.
    DiskFull,
    /// The program's clock is days ahead, or behind.
    ClockAhead,
    ClockBehind,
    /// Hundreds of SIGHUPs.
    Hangups,
    /// The upstream is spoken to by HTTP/2, which takes no WebSockets. No fault by itself.
    Http2,
    /// SIGTERM, to the end of the process.
    Drain,
}

impl Fault {
    pub(crate) const ALL: [Self; 8] = [
        Self::Upstream,
        Self::Broken,
        Self::DiskFull,
        Self::ClockAhead,
        Self::ClockBehind,
        Self::Hangups,
        Self::Http2,
        Self::Drain,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream down",
            Self::Broken => "broken file",
            Self::DiskFull => "disk full",
            Self::ClockAhead => "clock ahead",
            Self::ClockBehind => "clock behind",
            Self::Hangups => "SIGHUP storm",
            Self::Http2 => "upstream by HTTP/2",
            Self::Drain => "drain",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) fault: Fault,
    pub(crate) from: Time,
    pub(crate) to: Time,
}

/// A key that was made or revoked meanwhile; times are before and after the command or the write.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) id: String,
    pub(crate) created: Time,
    pub(crate) revoked: Option<(Time, Time)>,
}

/// What the process took at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Time,
    /// Bytes.
    pub(crate) resident: u64,
    /// Bytes, with its share of what it shares.
    pub(crate) proportional: u64,
    pub(crate) descriptors: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) records: Vec<Record>,
    pub(crate) windows: Vec<Window>,
    pub(crate) lives: Vec<Life>,
    pub(crate) samples: Vec<Sample>,
    /// When, and for how long, nobody on this machine got a processor.
    pub(crate) stalls: Vec<(Time, Time)>,
    /// How often something that is no request was done.
    pub(crate) deeds: std::collections::BTreeMap<String, u64>,
    /// What was seen to be wrong at once.
    pub(crate) wrongs: Vec<String>,
    /// What could not be done on this machine.
    pub(crate) skipped: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

impl Ledger {
    pub(crate) fn open(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn window(&self, fault: Fault, from: Time) {
        self.open().windows.push(Window { fault, from, to: now() });
    }

    pub(crate) fn deed(&self, what: &str, times: u64) {
        *self.open().deeds.entry(what.to_owned()).or_default() += times;
    }

    pub(crate) fn wrong(&self, what: String) {
        self.open().wrongs.push(what);
    }
}
