//! Principal → grant: what this key may do on this route.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::authenticate::Principal;
use super::limit::{InFlight, LaneKey, LimitBy, Who};
use super::path::CanonicalPath;
use super::route::{Route, RouteIndex};
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::{Access, KeyIndex, KeyRecord, Kind};

/// What was granted. Only a decision makes one, and charging it consumes it.
#[derive(Debug)]
pub struct Grant {
    principal: Option<Principal>,
    route: Option<RouteIndex>,
    forward_credential: bool,
    timeout: Option<Duration>,
    limit: Option<(LaneKey, InFlight)>,
}

impl Grant {
    /// The key whose identity travels upstream; `None`: nobody's.
    #[must_use]
    pub fn key(&self) -> Option<KeyIndex> {
        self.principal.as_ref().map(Principal::key)
    }

    /// The route, unless none took it.
    #[must_use]
    pub const fn route(&self) -> Option<RouteIndex> {
        self.route
    }

    /// Whether the credential travels upstream.
    #[must_use]
    pub const fn forward_credential(&self) -> bool {
        self.forward_credential
    }

    /// How long the whole may take from here.
    #[must_use]
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The lane that it must be charged to.
    #[must_use]
    pub const fn limit(&self) -> Option<&(LaneKey, InFlight)> {
        self.limit.as_ref()
    }

    /// Grants without further questions: to nobody on public routes, or what was waived.
    pub(super) fn waive(
        principal: Option<Principal>,
        route: Option<(RouteIndex, &Route)>,
        snapshot: &Snapshot,
        client: IpAddr,
    ) -> Self {
        let rule = route.map(|(_, rule)| rule);
        let named = rule.and_then(|rule| rule.forward_credential);
        let nobody = principal.is_none();
        let forward_credential =
            named.unwrap_or(!nobody && snapshot.identity().forward_credential());
        let limit = route.and_then(|(index, rule)| {
            let limit = rule.in_flight?;
            let route = Arc::clone(snapshot.routes().lane(index)?);
            let who = who(limit.per, &principal, snapshot, client);
            Some((LaneKey { route, who }, limit))
        });
        Self {
            principal,
            route: route.map(|(index, _)| index),
            forward_credential,
            timeout: rule.and_then(|rule| rule.timeout),
            limit,
        }
    }
}

/// Requests that have no account or key are counted by address.
fn who(per: LimitBy, principal: &Option<Principal>, snapshot: &Snapshot, client: IpAddr) -> Who {
    let record = principal.as_ref().and_then(|who| snapshot.table().record(who.key()));
    match (per, record) {
        (LimitBy::Account, Some(record)) => Who::Account(record.account.clone()),
        (LimitBy::Key, Some(record)) => Who::Key(record.id.clone()),
        (LimitBy::Address, _) | (_, None) => Who::Address(client),
    }
}

/// Judges a principal on a route, in the documented order.
pub(super) fn authorize(
    principal: &Principal,
    (index, rule): (RouteIndex, &Route),
    path: &CanonicalPath<'_>,
    method: &Method,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    let record = snapshot.table().record(principal.key()).ok_or(Denial::UnknownKey)?;
    names_its_account(rule, path, record)?;
    names_its_profile(rule, record)?;
    match rule.kind {
        Some(kind) if kind != record.kind => return Err(Denial::KindNotAllowed),
        _ => {}
    }
    may_use_method(record, method, snapshot)?;
    match snapshot.grants(principal.key(), index) {
        true => Ok(()),
        false => Err(Denial::MissingPermission),
    }
}

/// A read key reads, on every route.
pub(super) fn may_use_method(
    record: &KeyRecord,
    method: &Method,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    match record.access.unwrap_or(snapshot.default_access()) {
        Access::Write => Ok(()),
        Access::Read if *method == Method::GET || *method == Method::HEAD => Ok(()),
        Access::Read => Err(Denial::MethodNotAllowedForKey),
    }
}

fn names_its_account(
    rule: &Route,
    path: &CanonicalPath<'_>,
    record: &KeyRecord,
) -> Result<(), Denial> {
    match rule.account_from {
        Some(at) if path.segment(at) != Some(record.account.as_str()) => Err(Denial::WrongAccount),
        _ => Ok(()),
    }
}

/// A raw profile key names no profile, so it reaches none; a workspace key reaches any.
const fn names_its_profile(rule: &Route, record: &KeyRecord) -> Result<(), Denial> {
    match (rule.profile_from, record.kind) {
        (Some(_), Kind::Profile) => Err(Denial::WrongProfile),
        _ => Ok(()),
    }
}
