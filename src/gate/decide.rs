//! The decision, from facts to a grant or a denial.

use jiff::Timestamp;

use super::authenticate::{Principal, Trace, authenticate};
use super::authorize::{Grant, authorize, may_use_method};
use super::extract::{Presented, extract};
use super::facts::{Facts, Sole, Transport};
use super::path::CanonicalPath;
use super::policy::{Anonymous, HttpAccepts, Unmatched};
use super::route::{Route, RouteIndex};
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::KeyIndex;

/// What a decision says, with what was learnt on the way.
#[derive(Debug)]
pub struct Verdict {
    /// The grant, or why not.
    pub outcome: Result<Grant, Denial>,
    /// What would have been refused on a route with `enforce = false`.
    pub shadow: Option<Denial>,
    /// The route, if one took the request.
    pub route: Option<RouteIndex>,
    /// The key that was presented, if it is known; of a refusal too.
    pub key: Option<KeyIndex>,
    /// Whether a key came by Bearer.
    pub bearer: bool,
}

/// Judges a request against one consistent world, at one instant.
#[must_use]
pub fn decide(facts: &Facts<'_>, snapshot: &Snapshot, now: Timestamp) -> Verdict {
    match read(facts, snapshot) {
        Ok((path, route)) => judge(facts, &path, route, snapshot, now),
        Err(denial) => {
            Verdict { outcome: Err(denial), shadow: None, route: None, key: None, bearer: false }
        }
    }
}

type Matched<'s> = Option<(RouteIndex, &'s Route)>;

/// What is judged of every request: the transport and the form of the path.
fn read<'r, 's>(
    facts: &Facts<'r>,
    snapshot: &'s Snapshot,
) -> Result<(CanonicalPath<'r>, Matched<'s>), Denial> {
    if !transport_accepted(facts, snapshot) {
        return Err(Denial::InsecureTransport);
    }
    let path = CanonicalPath::new(facts.path)?;
    let route = snapshot.routes().find(&path, facts.method);
    Ok((path, route))
}

fn transport_accepted(facts: &Facts<'_>, snapshot: &Snapshot) -> bool {
    let forwarded = http::HeaderName::from_static("x-forwarded-proto");
    match (facts.transport, snapshot.http_accepts()) {
        (Transport::Tls, _) | (Transport::Plain, HttpAccepts::Everything) => true,
        (Transport::Plain, HttpAccepts::Nothing) => false,
        (Transport::Plain, HttpAccepts::ForwardedHttps) => {
            facts.trusted_peer
                && matches!(facts.sole(&forwarded), Sole::One(v) if v.eq_ignore_ascii_case(b"https"))
        }
    }
}

fn judge(
    facts: &Facts<'_>,
    path: &CanonicalPath<'_>,
    route: Matched<'_>,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Verdict {
    let mut trace = Trace::default();
    let waived = |principal| Grant::waive(principal, route, snapshot, facts.client);
    let public = route.is_some_and(|(_, rule)| rule.public);
    let judged = match public {
        true => Ok(None),
        false => identify(facts, route, snapshot, now, &mut trace),
    };
    let judged =
        judged.and_then(|principal| match permitted(&principal, facts, path, route, snapshot) {
            Ok(()) => Ok(principal),
            Err(denial) => Err((denial, principal)),
        });
    let unenforced = route.is_some_and(|(_, rule)| !rule.enforce);
    let (outcome, shadow) = match judged {
        Ok(principal) => (Ok(waived(principal)), None),
        Err((denial, principal)) if unenforced => (Ok(waived(principal)), Some(denial)),
        Err((denial, _)) => (Err(denial), None),
    };
    Verdict {
        outcome,
        shadow,
        route: route.map(|(index, _)| index),
        key: trace.key,
        bearer: trace.bearer,
    }
}

type Refused = (Denial, Option<Principal>);

/// Who it is; `None` is an anonymous request that may be one.
fn identify(
    facts: &Facts<'_>,
    route: Matched<'_>,
    snapshot: &Snapshot,
    now: Timestamp,
    trace: &mut Trace,
) -> Result<Option<Principal>, Refused> {
    let presented = extract(facts, snapshot.credentials()).map_err(|denial| (denial, None))?;
    let absent = match presented {
        Presented::Nothing => Denial::NoCredential,
        Presented::Ignored => Denial::CredentialIgnored,
        Presented::Key(..) | Presented::Basic(..) => {
            let principal = authenticate(&presented, facts, snapshot, now, trace);
            return principal.map(Some).map_err(|denial| (denial, None));
        }
    };
    let open = route.is_some_and(|(_, rule)| !rule.has_conditions());
    match snapshot.credentials().anonymous {
        Anonymous::Forward if open => Ok(None),
        Anonymous::Forward | Anonymous::Refuse => Err((absent, None)),
    }
}

/// What a principal may do here. Nobody was let in only where nothing more is asked.
fn permitted(
    principal: &Option<Principal>,
    facts: &Facts<'_>,
    path: &CanonicalPath<'_>,
    route: Matched<'_>,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    let Some(principal) = principal else { return Ok(()) };
    match (route, snapshot.unmatched()) {
        (Some(route), _) => authorize(principal, route, path, facts.method, snapshot),
        (None, Unmatched::Refuse) => Err(Denial::NoRoute),
        (None, Unmatched::Allow) => {
            let record = snapshot.table().record(principal.key()).ok_or(Denial::UnknownKey)?;
            may_use_method(record, facts.method, snapshot)
        }
    }
}
