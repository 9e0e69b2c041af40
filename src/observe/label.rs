//! What metrics are told apart by: a route, an error's kind, a listener, a key's state.

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
}

/// Every route's label, at the position of its id.
#[derive(Debug)]
pub(super) struct Labels {
    list: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, RouteId>,
}

impl Labels {
    pub(super) fn new() -> Self {
        let mut labels = Self { list: Vec::new(), ids: HashMap::new() };
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
