//! What metrics are told apart by: a route, an error's kind, a listener, a key's state.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

/// How many distinct routes are told apart; all later ones are counted as [`OTHER`].
pub(super) const MOST_ROUTES: usize = 4096;
/// The label of [`RouteId::NONE`].
pub(super) const UNROUTED: &str = "none";
pub(super) const OTHER: &str = "other";

/// A route's label, registered. Labels are never forgotten: a counter that went backwards would
/// look like a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(u32);

impl RouteId {
    /// The label `none`: of a request that was judged before its route was known.
    pub const NONE: Self = Self(0);

    pub(super) const fn position(self) -> usize {
        self.0 as usize
    }
}

/// What went wrong between us and the upstream: the label `kind` of
/// `keygate_upstream_errors_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamError {
    /// Its name could not be resolved.
    Resolve,
    /// No connection could be opened.
    Connect,
    /// The TLS handshake failed, or its certificate is not trusted.
    Tls,
    /// It did not answer, or did not go on, in time.
    Timeout,
    /// It closed the connection before the answer was complete.
    Reset,
    /// What it sent is no valid answer.
    Garbage,
}

impl UpstreamError {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Resolve, Self::Connect, Self::Tls, Self::Timeout, Self::Reset, Self::Garbage];

    /// As metrics and log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Garbage => "garbage",
        }
    }
}

/// Why a connection was closed before it was heard: the label `reason` of
/// `keygate_connections_refused_total`. The first two are named like the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// There are as many as there may be in all.
    Connections,
    /// There are as many of its address as there may be.
    PerAddress,
    /// The process may open no more files.
    Descriptors,
    /// A trusted proxy's began without a header of the PROXY protocol.
    HeaderAbsent,
    /// A trusted proxy's began like such a header, and it was none or not whole.
    HeaderMalformed,
    /// A trusted proxy's header did not come in time.
    HeaderLate,
}

impl TurnedAway {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Connections,
        Self::PerAddress,
        Self::Descriptors,
        Self::HeaderAbsent,
        Self::HeaderMalformed,
        Self::HeaderLate,
    ];

    /// As metrics and log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::PerAddress => "connections_per_address",
            Self::Descriptors => "descriptors",
            Self::HeaderAbsent => "proxy_header_absent",
            Self::HeaderMalformed => "proxy_header_malformed",
            Self::HeaderLate => "proxy_header_late",
        }
    }
}

/// The label `listener` of `keygate_connections`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    /// `listen.https`.
    Https,
    /// `listen.http`.
    Http,
    /// `listen.admin`.
    Admin,
}

impl ListenerKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Https, Self::Http, Self::Admin];

    /// As metrics and log have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Admin => "admin",
        }
    }
}

/// What became of a TLS handshake: the label `result` of `keygate_tls_handshakes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// It was completed.
    Completed,
    /// Both sides could not agree, or what came was not TLS.
    Failed,
    /// The client left before its end.
    Left,
    /// It took too long.
    Late,
}

impl Handshake {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Completed, Self::Failed, Self::Left, Self::Late];

    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Left => "left",
            Self::Late => "late",
        }
    }
}

/// On which connection a request went to the upstream: the label `connection` of
/// `keygate_upstream_requests_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamUse {
    /// One that was opened for it.
    New,
    /// One that was there, and that it had for itself.
    Reused,
    /// One that was there, and that others use at the same time (HTTP/2).
    Shared,
}

impl UpstreamUse {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::New, Self::Reused, Self::Shared];

    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reused => "reused",
            Self::Shared => "shared",
        }
    }
}

/// Within how many days keys that expire are counted: `keygate_keys_expiring{within}`.
pub const EXPIRING_WITHIN_DAYS: [i64; 2] = [7, 30];
/// From how many days on keys are counted as old: `keygate_keys_older_than{days}`.
pub const OLDER_THAN_DAYS: [i64; 3] = [90, 180, 365];

/// How many keys of the table are in each state: `keygate_keys{state}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyCounts {
    /// Can be used now.
    pub active: u64,
    /// Its time is over.
    pub expired: u64,
    /// Marked revoked.
    pub revoked: u64,
    /// Its account is disabled.
    pub disabled: u64,
    /// Of those that can be used now: older than keys are to become.
    pub due: u64,
    /// Of those that can be used now: over within so many days, [`EXPIRING_WITHIN_DAYS`] each.
    pub expiring: [u64; EXPIRING_WITHIN_DAYS.len()],
    /// Of those that can be used now: older than so many days, [`OLDER_THAN_DAYS`] each; also those
    /// of which nobody knows how old they are.
    pub older: [u64; OLDER_THAN_DAYS.len()],
}

/// The table that is in force, as it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Counts the tables that came into force.
    pub generation: u64,
    /// Of all key files: the same on replicas that loaded the same.
    pub digest: Box<str>,
    /// How many accounts there are.
    pub accounts: u64,
    /// How many keys there are.
    pub keys: KeyCounts,
}

/// What gauges say of the state that requests share, looked at when somebody asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Whether the process takes requests: [`crate::observe::Status::ready`].
    pub ready: bool,
    /// Whether it ends: [`crate::observe::Status::draining`].
    pub draining: bool,
    /// How many connections there may be in all.
    pub connections_limit: u64,
    /// Lanes of each limiter.
    pub limiters: [Lanes; Limiter::ALL.len()],
    /// Bytes that inspected bodies take now.
    pub body_memory: u64,
    /// Bytes that they may take.
    pub body_memory_limit: u64,
}

/// What counts requests: the label `limiter` of `keygate_limiter_entries`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limiter {
    /// `route.rate`.
    Rate,
    /// `route.in_flight`.
    InFlight,
    /// `limits.failures`.
    Failures,
}

impl Limiter {
    /// Every limiter.
    pub const ALL: [Self; 3] = [Self::Rate, Self::InFlight, Self::Failures];

    /// As metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::InFlight => "in_flight",
            Self::Failures => "failures",
        }
    }
}

/// How many accounts, keys or addresses a limiter counts now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// All of them.
    pub entries: u64,
    /// Those that strangers can make at will, and how many of them there is room for; `None` where
    /// nobody can.
    pub addresses: Option<(u64, u64)>,
}

/// Every route's label, at the position of its id.
#[derive(Debug)]
pub(super) struct Labels {
    list: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, RouteId>,
    /// Those of routes where requests may have to wait.
    queues: BTreeSet<RouteId>,
}

impl Labels {
    pub(super) fn new() -> Self {
        let mut labels = Self { list: Vec::new(), ids: HashMap::new(), queues: BTreeSet::new() };
        labels.add(UNROUTED);
        labels.add(OTHER);
        labels
    }

    /// The label's id: the one that it had, a new one, or that of [`OTHER`] when there are too many.
    pub(super) fn id(&mut self, label: &str) -> RouteId {
        if let Some(id) = self.ids.get(label) {
            return *id;
        }
        if self.list.len() >= MOST_ROUTES {
            return self.ids.get(OTHER).copied().unwrap_or(RouteId::NONE);
        }
        self.add(label)
    }

    pub(super) fn label(&self, id: RouteId) -> Arc<str> {
        self.list.get(id.position()).cloned().unwrap_or_else(|| OTHER.into())
    }

    /// Notes that requests may have to wait on a route.
    pub(super) fn queues(&mut self, id: RouteId) {
        self.queues.insert(id);
    }

    /// The labels of routes where requests may have to wait.
    pub(super) fn queueing(&self) -> impl Iterator<Item = Arc<str>> {
        self.queues.iter().map(|id| self.label(*id))
    }

    /// Those of the configuration's own routes.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Arc<str>> {
        self.list.iter().skip(2)
    }

    fn add(&mut self, label: &str) -> RouteId {
        let id = RouteId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        let label: Arc<str> = label.into();
        self.list.push(Arc::clone(&label));
        self.ids.insert(label, id);
        id
    }
}
