//! One generation of everything that a request needs.

use std::sync::Arc;

use ipnet::IpNet;
use jiff::SignedDuration;
use jiff::Timestamp;
use rustls::ServerConfig;

use crate::clock;
use crate::config::Bounds;
use crate::config::Config;
use crate::config::LoadedKeys;
use crate::config::Revoked;
use crate::config::Tracing;
use crate::config::Upstream;
use crate::gate::Endpoint;
use crate::gate::Parts;
use crate::gate::Revocations;
use crate::gate::Route;
use crate::gate::RouteIndex;
use crate::gate::Snapshot;
use crate::keys::KeyStatus;
use crate::observe::EXPIRING_WITHIN_DAYS;
use crate::observe::KeyCounts;
use crate::observe::Metrics;
use crate::observe::OLDER_THAN_DAYS;
use crate::observe::RouteId;
use crate::observe::TableCounts;

/// When the certificate of most names expires, and those of names that have their own.
type Expiries = (Timestamp, Vec<(Box<str>, Timestamp)>);

/// One generation: immutable, and replaced whole.
#[derive(Debug)]
pub struct World {
    generation: u64,
    digest: Box<str>,
    snapshot: Snapshot,
    upstream: Arc<Upstream>,
    tls: Option<Arc<ServerConfig>>,
    expiries: Option<Arc<Expiries>>,
    trusted_proxies: Vec<IpNet>,
    proxy_protocol: bool,
    body_memory: usize,
    rotate_after: Option<SignedDuration>,
    most_key_series: usize,
    bounds: Bounds,
    tracing: Tracing,
    routes: Vec<RouteId>,
    endpoints: Vec<(Endpoint, RouteId)>,
}

/// How many keys are counted at a stretch.
const COUNTED: usize = 1 << 8;

impl World {
    /// Makes a world of what was loaded.
    #[must_use]
    pub fn new(
        config: &Config,
        keys: LoadedKeys,
        revoked: &Revoked,
        generation: u64,
        metrics: &Metrics,
    ) -> Self {
        let revocations = Revocations::resolve(&keys.table, &revoked.ids, &revoked.digests);
        let routes = config.routes.list().iter();
        let endpoints = config.tokens.iter().flat_map(|tokens| tokens.endpoints());
        let parts = Parts {
            table: keys.table,
            digester: keys.digester,
            prefix: config.keys.prefix.clone(),
            pattern: config.keys.pattern.clone(),
            default_access: config.keys.default_access,
            credentials: config.credentials.clone(),
            http_accepts: config.listen.http_accepts,
            identity: config.identity.clone(),
            routes: config.routes.clone(),
            unmatched: config.unmatched,
            answers: config.answers.clone(),
            tokens: config.tokens.clone(),
        };
        Self {
            generation,
            digest: keys.digest,
            snapshot: Snapshot::new(parts, revocations, clock::give_way),
            upstream: Arc::new(config.upstream.clone()),
            tls: config.tls.as_ref().map(|tls| Arc::clone(&tls.server)),
            expiries: config.tls.as_ref().map(|tls| Arc::new((tls.not_after, tls.named.clone()))),
            trusted_proxies: config.listen.trusted_proxies.clone(),
            proxy_protocol: config.listen.proxy_protocol,
            body_memory: config.body_memory,
            rotate_after: config.keys.rotate_after,
            most_key_series: config.metrics.keys,
            bounds: config.bounds,
            tracing: config.tracing,
            routes: routes.map(|route| label(route, metrics)).collect(),
            endpoints: endpoints.map(|(it, path)| (it, metrics.route(path))).collect(),
        }
    }

    /// The same world with more keys revoked, as the next generation.
    #[must_use]
    pub(super) fn revoking(&self, revoked: &Revoked) -> Self {
        let table = self.snapshot.table();
        let revocations = Revocations::resolve(table, &revoked.ids, &revoked.digests);
        Self {
            generation: self.generation + 1,
            digest: self.digest.clone(),
            snapshot: self.snapshot.revoking(revocations, clock::give_way),
            upstream: Arc::clone(&self.upstream),
            tls: self.tls.clone(),
            expiries: self.expiries.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            proxy_protocol: self.proxy_protocol,
            body_memory: self.body_memory,
            rotate_after: self.rotate_after,
            most_key_series: self.most_key_series,
            bounds: self.bounds,
            tracing: self.tracing,
            routes: self.routes.clone(),
            endpoints: self.endpoints.clone(),
        }
    }

    /// Counts from 1.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Of all key files: the same on replicas that loaded the same.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// What decisions look at.
    #[must_use]
    pub const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The API behind.
    #[must_use]
    pub const fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// How clients are met by TLS.
    #[must_use]
    pub const fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref()
    }

    /// Whose `X-Forwarded-*` are believed.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// Whether trusted proxies say by the PROXY protocol whose connection it is.
    #[must_use]
    pub const fn proxy_protocol(&self) -> bool {
        self.proxy_protocol
    }

    /// How many bytes all inspected bodies may take at a time.
    #[must_use]
    pub const fn body_memory(&self) -> usize {
        self.body_memory
    }

    /// What clients may take, in time and in number.
    #[must_use]
    pub const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Whose traces go on, and what of ours is sampled.
    #[must_use]
    pub const fn tracing(&self) -> &Tracing {
        &self.tracing
    }

    /// The label of a route in metrics.
    #[must_use]
    pub fn route_id(&self, route: RouteIndex) -> RouteId {
        self.routes.get(route.position()).copied().unwrap_or(RouteId::NONE)
    }

    /// The label of a path of our own in metrics.
    #[must_use]
    pub fn endpoint_id(&self, endpoint: Endpoint) -> RouteId {
        let own = self.endpoints.iter().find(|(its, _)| *its == endpoint);
        own.map_or(RouteId::NONE, |(_, id)| *id)
    }

    /// Keeps the upstream of an older world where it is the same one, so that its idle connections
    /// stay.
    #[must_use]
    pub(super) fn reusing(self, older: &Self) -> Self {
        let (ours, its) = (&self.upstream, &older.upstream);
        let same = ours.target == its.target
            && ours.protocol == its.protocol
            && ours.connect_timeout == its.connect_timeout
            && ours.timeout == its.timeout
            // Whom to trust may have changed.
            && ours.tls.is_none()
            && its.tls.is_none();
        match same {
            true => Self { upstream: Arc::clone(&older.upstream), ..self },
            false => self,
        }
    }

    /// Tells the metrics what there is, keys by state and age among it.
    pub(super) fn count(&self, metrics: &Metrics, now: Timestamp) {
        let table = self.snapshot.table();
        metrics.set_table(TableCounts {
            generation: self.generation,
            digest: self.digest.clone(),
            accounts: table.accounts_len() as u64,
            keys: self.count_keys(now),
        });
        metrics.keep_keys(self.most_key_series, |id| table.find_id(id).is_some());
        if let Some((default, named)) = self.expiries.as_deref() {
            metrics.set_certificate_expiries(*default, named);
        }
    }

    fn count_keys(&self, now: Timestamp) -> KeyCounts {
        let mut counts = KeyCounts::default();
        let table = self.snapshot.table();
        let day = |days: &i64| SignedDuration::from_hours(24 * days);
        let soon = EXPIRING_WITHIN_DAYS.each_ref().map(|days| now.saturating_add(day(days)).ok());
        let long = OLDER_THAN_DAYS.each_ref().map(day);
        for (number, (index, record)) in table.keys().enumerate() {
            if number % COUNTED == 0 {
                clock::give_way();
            }
            let until = match record.status() {
                KeyStatus::Revoked { .. } => {
                    counts.revoked += 1;
                    continue;
                }
                KeyStatus::Active { .. } if self.snapshot.is_revoked(index) => {
                    counts.revoked += 1;
                    continue;
                }
                KeyStatus::Active { until: Some(until) } if now >= until => {
                    counts.expired += 1;
                    continue;
                }
                KeyStatus::Active { .. } if record.is_disabled() => {
                    counts.disabled += 1;
                    continue;
                }
                KeyStatus::Active { until } => until,
            };
            counts.active += 1;
            let due = self.rotate_after.is_some_and(|age| record.is_older(age, now));
            counts.due += u64::from(due);
            for (count, soon) in counts.expiring.iter_mut().zip(soon) {
                *count += u64::from(until.zip(soon).is_some_and(|(until, soon)| until <= soon));
            }
            for (count, age) in counts.older.iter_mut().zip(long) {
                *count += u64::from(record.is_older(age, now));
            }
        }
        counts
    }
}

/// The label of a route, which counts who waits there if anybody may.
fn label(route: &Route, metrics: &Metrics) -> RouteId {
    let id = metrics.route(route.path.as_str());
    if route.in_flight.is_some_and(|limit| !limit.queue.is_zero()) {
        metrics.queues(id);
    }
    id
}
