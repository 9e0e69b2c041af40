//! The decision, from facts to a grant or a denial.

use jiff::Timestamp;

use super::authenticate::{Principal, Trace, assume, authenticate};
use super::authorize::{Grant, authorize, may_use_method};
use super::checks::{Check, Checks};
use super::extract::{Presented, extract};
use super::facts::{Facts, Sole, Transport};
use super::inspect::Inspection;
use super::path::CanonicalPath;
use super::policy::{Anonymous, HttpAccepts, Unmatched};
use super::route::{Route, RouteIndex};
use super::snapshot::Snapshot;
use super::tokens::Endpoint;
use super::verdict::Denial;
use crate::keys::KeyIndex;

/// What a decision says, with what was learnt on the way.
#[derive(Debug)]
pub struct Verdict {
    /// What comes next, or why not.
    pub outcome: Result<Step, Denial>,
    /// What would have been refused on a route with `enforce = false`.
    pub shadow: Option<Denial>,
    /// The route, if one took the request.
    pub route: Option<RouteIndex>,
    /// The key that was presented, if it is known; of a refusal too.
    pub key: Option<KeyIndex>,
    /// Whether a key came by Bearer.
    pub bearer: bool,
    /// What was asked and passed.
    pub passed: Checks,
}

/// What comes after the head has been judged.
#[derive(Debug)]
pub enum Step {
    /// It may pass.
    Grant(Grant),
    /// It may pass if its body may.
    Inspect(Inspection),
    /// It is for us.
    Answer(Endpoint),
}

/// Judges a request against one consistent world, at one instant.
#[must_use]
pub fn decide(facts: &Facts<'_>, snapshot: &Snapshot, now: Timestamp) -> Verdict {
    judge(facts, snapshot, now, None)
}

/// The same, as if a key had been presented by a carrier that it may use, whatever the headers
/// carry: to explain what the key may do without having it.
#[must_use]
pub fn decide_as(key: KeyIndex, facts: &Facts<'_>, snapshot: &Snapshot, now: Timestamp) -> Verdict {
    judge(facts, snapshot, now, Some(key))
}

fn judge(
    facts: &Facts<'_>,
    snapshot: &Snapshot,
    now: Timestamp,
    assumed: Option<KeyIndex>,
) -> Verdict {
    let mut trace = Trace::default();
    let (outcome, shadow, route) = match read(facts, snapshot, &mut trace.passed) {
        Ok(Read::Ours(endpoint)) => (Ok(Step::Answer(endpoint)), None, None),
        Ok(Read::Theirs(path, route)) => {
            let request = Request { facts, path: &path, route, snapshot, now, assumed };
            let (outcome, shadow) = request.judge(&mut trace);
            (outcome, shadow, route.map(|(index, _)| index))
        }
        Err(denial) => (Err(denial), None, None),
    };
    let Trace { key, bearer, passed } = trace;
    Verdict { outcome, shadow, route, key, bearer, passed }
}

type Matched<'s> = Option<(RouteIndex, &'s Route)>;

/// What was read of the path.
enum Read<'r, 's> {
    Ours(Endpoint),
    Theirs(CanonicalPath<'r>, Matched<'s>),
}

/// What is judged of every request: the transport and the form of the path.
fn read<'r, 's>(
    facts: &Facts<'r>,
    snapshot: &'s Snapshot,
    passed: &mut Checks,
) -> Result<Read<'r, 's>, Denial> {
    if !transport_accepted(facts, snapshot) {
        return Err(Denial::InsecureTransport);
    }
    passed.pass(Check::Transport);
    let path = CanonicalPath::new(facts.path)?;
    if let Some(endpoint) = endpoint(&path, facts, snapshot) {
        passed.pass(Check::PathForm);
        return endpoint.map(Read::Ours);
    }
    let route = snapshot.routes().find(&path, facts.method);
    leads_to_one_place(&path, route, facts, snapshot)?;
    passed.pass(Check::PathForm);
    Ok(Read::Theirs(path, route))
}

fn endpoint(
    path: &CanonicalPath<'_>,
    facts: &Facts<'_>,
    snapshot: &Snapshot,
) -> Option<Result<Endpoint, Denial>> {
    snapshot.tokens().and_then(|tokens| tokens.endpoint(path, facts.method))
}

/// Some servers take an encoded `/` for a separator, some cut parameters (`;v=1`) off segments
/// before they look for a route: where that leads to another one than ours, nobody knows whose
/// rules hold.
fn leads_to_one_place(
    path: &CanonicalPath<'_>,
    route: Matched<'_>,
    facts: &Facts<'_>,
    snapshot: &Snapshot,
) -> Result<(), Denial> {
    if path.has_encoded_slash() && !route.is_some_and(|(_, rule)| rule.encoded_slash) {
        return Err(Denial::AmbiguousPath);
    }
    let Some(plain) = path.without_parameters() else { return Ok(()) };
    let index = |found: Matched<'_>| found.map(|(index, _)| index);
    let elsewhere = index(snapshot.routes().find(&plain, facts.method)) != index(route)
        || names_someone_else(path, route, facts);
    match elsewhere || endpoint(&plain, facts, snapshot).is_some() || plain.has_empty_segment() {
        true => Err(Denial::AmbiguousPath),
        false => Ok(()),
    }
}

/// Whether the account or the profile that a path names is another one without its parameters. An
/// id may have a `;`: it is written `%3b`.
fn names_someone_else(path: &CanonicalPath<'_>, route: Matched<'_>, facts: &Facts<'_>) -> bool {
    let named = route.map(|(_, rule)| [rule.account_from, rule.profile_from]).unwrap_or_default();
    let mut segments = named.into_iter().flatten().filter_map(|at| path.segment(at));
    facts.path.contains(';') && segments.any(|segment| segment.contains(';'))
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

/// One request that is being judged, and where.
struct Request<'a, 'r> {
    facts: &'a Facts<'r>,
    path: &'a CanonicalPath<'r>,
    route: Matched<'a>,
    snapshot: &'a Snapshot,
    now: Timestamp,
    assumed: Option<KeyIndex>,
}

type Refused = (Denial, Option<Principal>);

impl Request<'_, '_> {
    fn judge(&self, trace: &mut Trace) -> (Result<Step, Denial>, Option<Denial>) {
        let public = self.route.is_some_and(|(_, rule)| rule.public);
        let judged = match public {
            true => Ok(None),
            false => self.identify(trace),
        };
        let judged = judged.and_then(|principal| match self.permitted(&principal, trace) {
            Ok(()) => Ok(principal),
            Err(denial) => Err((denial, principal)),
        });
        let unenforced = self.route.is_some_and(|(_, rule)| !rule.enforce);
        match judged {
            Ok(principal) => (Ok(self.next(principal, !unenforced)), None),
            Err((denial, principal)) if unenforced => {
                (Ok(Step::Grant(self.grant(principal))), Some(denial))
            }
            Err((denial, _)) => (Err(denial), None),
        }
    }

    /// What passed so far passes, unless the route wants to see the body.
    fn next(&self, principal: Option<Principal>, enforce: bool) -> Step {
        let rules = self.route.map(|(_, rule)| &rule.body).filter(|rules| rules.inspects());
        let key = principal.as_ref().map(Principal::key);
        let grant = self.grant(principal);
        match rules.zip(key) {
            Some((rules, key)) => {
                Step::Inspect(Inspection::new(grant, key, rules.max_body(), enforce))
            }
            None => Step::Grant(grant),
        }
    }

    fn grant(&self, principal: Option<Principal>) -> Grant {
        Grant::waive(principal, self.route, self.snapshot, self.facts.client)
    }

    /// Who it is; `None` is an anonymous request that may be one.
    fn identify(&self, trace: &mut Trace) -> Result<Option<Principal>, Refused> {
        let Self { facts, snapshot, now, .. } = *self;
        if let Some(key) = self.assumed {
            let principal = assume(key, facts, snapshot, now, trace);
            return principal.map(Some).map_err(|denial| (denial, None));
        }
        let presented = extract(facts, snapshot.credentials()).map_err(|denial| (denial, None))?;
        let absent = match presented {
            Presented::Nothing => Denial::NoCredential,
            Presented::Ignored => Denial::CredentialIgnored,
            Presented::Key(..) | Presented::Basic(..) => {
                trace.passed.pass(Check::CredentialForm);
                let principal = authenticate(&presented, facts, snapshot, now, trace);
                return principal.map(Some).map_err(|denial| (denial, None));
            }
        };
        let open = self.route.is_some_and(|(_, rule)| !rule.has_conditions());
        match snapshot.credentials().anonymous {
            Anonymous::Forward if open => Ok(None),
            Anonymous::Forward | Anonymous::Refuse => Err((absent, None)),
        }
    }

    /// What a principal may do here. Nobody was let in only where nothing more is asked.
    fn permitted(&self, principal: &Option<Principal>, trace: &mut Trace) -> Result<(), Denial> {
        let (snapshot, passed) = (self.snapshot, &mut trace.passed);
        if self.route.is_some() {
            passed.pass(Check::Route);
        }
        let Some(principal) = principal else { return Ok(()) };
        match (self.route, snapshot.unmatched()) {
            (Some(route), _) => {
                authorize(principal, route, self.path, self.facts, snapshot, passed)
            }
            (None, Unmatched::Refuse) => Err(Denial::NoRoute),
            (None, Unmatched::Allow) => {
                let record = snapshot.table().record(principal.key()).ok_or(Denial::UnknownKey)?;
                may_use_method(record, self.facts.method, snapshot)?;
                passed.pass(Check::Access);
                Ok(())
            }
        }
    }
}
