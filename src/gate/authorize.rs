//! Principal → grant: what this key may do on this route.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::authenticate::Principal;
use super::checks::{Check, Checks};
use super::facts::Facts;
use super::inspect;
use super::limit::{InFlight, LaneKey, LimitBy, Who};
use super::network::neighbourhood;
use super::path::CanonicalPath;
use super::rate::Rate;
use super::route::{Route, RouteIndex};
use super::snapshot::Snapshot;
use super::tokens::Profile;
use super::verdict::Denial;
use crate::keys::{Access, Key, KeyIndex, Kind};

/// What was granted. Only a decision makes one, and charging it consumes it.
#[derive(Debug)]
pub struct Grant {
    principal: Option<Principal>,
    route: Option<RouteIndex>,
    forward_credential: bool,
    timeout: Option<Duration>,
    limit: Option<Box<(LaneKey, InFlight)>>,
    rate: Option<Box<(LaneKey, Rate)>>,
}

impl Grant {
    /// The key whose identity travels upstream; `None`: nobody's.
    #[must_use]
    pub fn key(&self) -> Option<KeyIndex> {
        self.principal.as_ref().map(Principal::key)
    }

    /// The end user whose identity travels with it.
    #[must_use]
    pub fn profile(&self) -> Option<&Profile> {
        self.principal.as_ref().and_then(Principal::profile)
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
    pub fn limit(&self) -> Option<&(LaneKey, InFlight)> {
        self.limit.as_deref()
    }

    /// The rate that it must be charged to.
    #[must_use]
    pub fn rate(&self) -> Option<&(LaneKey, Rate)> {
        self.rate.as_deref()
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
        let lane = |by: LimitBy| {
            let (index, _) = route?;
            let route = Arc::clone(snapshot.routes().lane(index)?);
            Some(LaneKey { route, who: who(by, &principal, snapshot, client) })
        };
        let limit = rule.and_then(|rule| rule.in_flight);
        let limit = limit.and_then(|limit| Some(Box::new((lane(limit.per)?, limit))));
        let rate = rule.and_then(|rule| rule.rate);
        let rate = rate.and_then(|rate| Some(Box::new((lane(rate.by)?, rate))));
        Self {
            principal,
            route: route.map(|(index, _)| index),
            forward_credential,
            timeout: rule.and_then(|rule| rule.timeout),
            limit,
            rate,
        }
    }
}

/// Requests that have no account or key are counted by address.
fn who(per: LimitBy, principal: &Option<Principal>, snapshot: &Snapshot, client: IpAddr) -> Who {
    let record = principal.as_ref().and_then(|who| snapshot.table().record(who.key()));
    match (per, record) {
        (LimitBy::Account, Some(record)) => Who::Account(record.account().clone()),
        (LimitBy::Key, Some(record)) => Who::Key(record.id()),
        (LimitBy::Address, _) | (_, None) => Who::Address(neighbourhood(client)),
    }
}

/// Judges a principal on a route, in the documented order.
pub(super) fn authorize(
    principal: &Principal,
    (index, rule): (RouteIndex, &Route),
    path: &CanonicalPath<'_>,
    facts: &Facts<'_>,
    snapshot: &Snapshot,
    passed: &mut Checks,
) -> Result<(), Denial> {
    let record = snapshot.table().record(principal.key()).ok_or(Denial::UnknownKey)?;
    if rule.refuses_browsers {
        if facts.comes_from_a_page() {
            return Err(Denial::BrowserRefused);
        }
        passed.pass(Check::Browser);
    }
    names_its_account(rule, path, record, passed)?;
    names_its_profile(rule, path, principal, record, passed)?;
    match rule.kind {
        Some(kind) if kind != record.kind() => return Err(Denial::KindNotAllowed),
        Some(_) => passed.pass(Check::Kind),
        None => {}
    }
    may_use_method(record, facts.method, snapshot)?;
    passed.pass(Check::Access);
    if !snapshot.grants(principal.key(), index) {
        return Err(Denial::MissingPermission);
    }
    passed.pass(Check::Permissions);
    if rule.body.is_empty() {
        return Ok(());
    }
    inspect::form(&rule.body, facts)?;
    if rule.body.inspects() {
        return Ok(());
    }
    passed.pass(Check::BodyForm);
    inspect::may_send(record.events(), rule.body.events.iter().map(|event| &**event))?;
    if !rule.body.events.is_empty() {
        passed.pass(Check::Events);
    }
    Ok(())
}

/// A read key reads, on every route.
pub(super) fn may_use_method(
    record: Key<'_>,
    method: &Method,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    match record.access().unwrap_or(snapshot.default_access()) {
        Access::Write => Ok(()),
        Access::Read if *method == Method::GET || *method == Method::HEAD => Ok(()),
        Access::Read => Err(Denial::MethodNotAllowedForKey),
    }
}

fn names_its_account(
    rule: &Route,
    path: &CanonicalPath<'_>,
    record: Key<'_>,
    passed: &mut Checks,
) -> Result<(), Denial> {
    let Some(at) = rule.account_from else { return Ok(()) };
    if !path.names(at, record.account().as_str()) {
        return Err(Denial::WrongAccount);
    }
    passed.pass(Check::AccountFrom);
    Ok(())
}

/// A raw profile key names no profile, so it reaches none; a workspace key reaches any.
fn names_its_profile(
    rule: &Route,
    path: &CanonicalPath<'_>,
    principal: &Principal,
    record: Key<'_>,
    passed: &mut Checks,
) -> Result<(), Denial> {
    let Some(at) = rule.profile_from else { return Ok(()) };
    let own = principal.profile().map(Profile::id).filter(|id| !id.is_empty());
    if record.kind() == Kind::Profile && !own.is_some_and(|own| path.names(at, own)) {
        return Err(Denial::WrongProfile);
    }
    passed.pass(Check::ProfileFrom);
    Ok(())
}
