//! The decision, taken as the proxy takes it, without waiting for anything.

use http::HeaderName;
use http::HeaderValue;
use http::Method;
use jiff::Timestamp;

use super::asked::Asked;
use super::load::Policy;
use crate::gate::Check;
use crate::gate::Checks;
use crate::gate::Denial;
use crate::gate::Endpoint;
use crate::gate::Findings;
use crate::gate::Grant;
use crate::gate::RouteIndex;
use crate::gate::Step;
use crate::gate::decide;
use crate::gate::decide_as;
use crate::keys::KeyIndex;
use crate::observe::Outcome;

/// What becomes of the request, and what was learnt on the way.
pub(super) struct Ruling<'a> {
    pub(super) outcome: Outcome,
    /// Why it is refused, or would be if its route enforced.
    pub(super) denial: Option<Denial>,
    pub(super) passed: Checks,
    pub(super) route: Option<RouteIndex>,
    pub(super) key: Option<KeyIndex>,
    /// Whether the key was named and not presented.
    pub(super) assumed: bool,
    pub(super) bearer: bool,
    pub(super) endpoint: Option<Endpoint>,
    /// What an inspected body says.
    pub(super) found: Option<Findings<'a>>,
    /// The identity that travels upstream.
    pub(super) identity: Vec<(HeaderName, HeaderValue)>,
    pub(super) forward_credential: bool,
}

impl<'a> Ruling<'a> {
    pub(super) fn of(
        asked: &'a Asked,
        policy: &Policy,
        key: Option<KeyIndex>,
        now: Timestamp,
    ) -> Self {
        let (facts, snapshot) = (asked.facts(), policy.snapshot());
        let verdict = match key {
            Some(key) => decide_as(key, &facts, snapshot, now),
            None => decide(&facts, snapshot, now),
        };
        let mut ruling = Self {
            outcome: Outcome::Refused,
            denial: None,
            passed: verdict.passed,
            route: verdict.route,
            key: verdict.key,
            assumed: key.is_some(),
            bearer: verdict.bearer,
            endpoint: None,
            found: None,
            identity: Vec::new(),
            forward_credential: false,
        };
        if !verdict.passed.passed(Check::Transport) {
            return ruling.refused(verdict.outcome.err().unwrap_or(Denial::InsecureTransport));
        }
        if let Err(denial) = asked.intake.host {
            return ruling.unread(denial);
        }
        ruling.passed.pass(Check::RequestForm);
        match verdict.outcome {
            Err(denial) => ruling.refused(denial),
            Ok(_) if asked.parts.method == Method::CONNECT => {
                ruling.refused(Denial::MalformedRequest)
            }
            Ok(Step::Grant(grant)) => ruling.granted(&grant, verdict.shadow, policy),
            Ok(Step::Inspect(inspection)) => {
                ruling.found = inspection.findings(&asked.body, snapshot);
                let judged = inspection.judge(Ok(&asked.body), snapshot);
                ruling.passed = ruling.passed.or(judged.passed);
                match judged.outcome {
                    Ok(grant) => ruling.granted(&grant, judged.shadow.or(verdict.shadow), policy),
                    Err(denial) => ruling.refused(denial),
                }
            }
            Ok(Step::Answer(endpoint)) => {
                let most = asked.body.len() <= Endpoint::MOST;
                let body = most.then_some(&**asked.body).ok_or(Denial::BodyTooLarge);
                // The token that it makes is nobody's: it is dropped unseen.
                let minting = endpoint.answer(&facts, body, snapshot, now, [0; 16]);
                ruling.endpoint = Some(endpoint);
                ruling.key = minting.key;
                ruling.bearer = minting.bearer;
                match minting.outcome {
                    Ok(_) => Self { outcome: Outcome::Minted, ..ruling },
                    Err(denial) => ruling.refused(denial),
                }
            }
        }
    }

    /// Whether the exit code says that it passes.
    pub(super) const fn passes(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused)
    }

    fn refused(self, denial: Denial) -> Self {
        Self { outcome: Outcome::Refused, denial: Some(denial), ..self }
    }

    /// Refused before anything but the transport was judged.
    fn unread(self, denial: Denial) -> Self {
        let mut passed = Checks::default();
        passed.pass(Check::Transport);
        if denial != Denial::MalformedRequest {
            passed.pass(Check::RequestForm);
        }
        Self { passed, route: None, key: None, bearer: false, ..self.refused(denial) }
    }

    fn granted(self, grant: &Grant, shadow: Option<Denial>, policy: &Policy) -> Self {
        let value =
            |text: &[u8]| HeaderValue::from_bytes(text).unwrap_or(HeaderValue::from_static(""));
        let snapshot = policy.snapshot();
        let mut identity = Vec::new();
        if let Some(key) = grant.key() {
            snapshot.identity_of(key, grant.profile(), value, |name, value| {
                identity.push((name.clone(), value));
            });
        }
        Self {
            outcome: if shadow.is_some() { Outcome::Shadow } else { Outcome::Forwarded },
            denial: shadow,
            identity,
            forward_credential: grant.forward_credential(),
            ..self
        }
    }
}
