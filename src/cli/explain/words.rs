//! What each check compared, in words, and where what it compared stands.

use super::asked::Asked;
use super::holder;
use super::load::Policy;
use super::message;
use super::payload;
use super::place::Sites;
use super::rule;
use super::ruling::Ruling;
use crate::config::Place;
use crate::gate::Check;
use crate::gate::Denial;
use crate::gate::Route;
use crate::gate::RouteIndex;
use crate::gate::Snapshot;
use crate::keys::Account;
use crate::keys::Key;

/// How far a check came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was asked, and passed.
    Passed,
    /// It is why the request is refused, or would be.
    Refused,
    /// Nobody asks it of this request.
    NotAsked,
    /// Something was refused before it.
    NotReached,
    /// It depends on the requests of the moment.
    NotJudged,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::NotAsked => "not_asked",
            Self::NotReached => "not_reached",
            Self::NotJudged => "not_judged",
        }
    }
}

/// What there is to say of a check.
#[derive(Debug, Default)]
pub(super) struct Note {
    pub(super) detail: String,
    /// The rule.
    pub(super) place: Option<Place>,
    /// What it was compared with, where that stands in a file too.
    pub(super) also: Option<Place>,
}

impl Note {
    pub(super) fn new(detail: impl Into<String>, place: Option<Place>) -> Self {
        Self { detail: detail.into(), place, also: None }
    }

    pub(super) fn also(self, also: Option<Place>) -> Self {
        Self { also, ..self }
    }
}

/// A decision, with everything that it was taken on.
pub(super) struct Matter<'m> {
    pub(super) asked: &'m Asked,
    pub(super) policy: &'m Policy,
    pub(super) ruling: &'m Ruling<'m>,
    pub(super) sites: &'m Sites<'m>,
}

impl<'m> Matter<'m> {
    pub(super) fn snapshot(&self) -> &'m Snapshot {
        self.policy.snapshot()
    }

    pub(super) fn route(&self) -> Option<(RouteIndex, &'m Route)> {
        let index = self.ruling.route?;
        Some((index, self.snapshot().routes().get(index)?))
    }

    pub(super) fn record(&self) -> Option<Key<'m>> {
        self.snapshot().table().record(self.ruling.key?)
    }

    pub(super) fn account(&self) -> Option<&'m Account> {
        self.snapshot().table().account(self.ruling.key?)
    }

    /// The place of the first of the route's fields that is there, or of the route.
    pub(super) fn route_place(&self, fields: &[&str]) -> Option<Place> {
        self.sites.route(self.ruling.route?, fields)
    }

    /// The place of the first of the key's fields that is there, or of the key.
    pub(super) fn key_place(&self, fields: &[&str]) -> Option<Place> {
        self.sites.key(self.record()?, fields)
    }

    /// The place of the first of the account's fields that is there, or of the account.
    pub(super) fn account_place(&self, fields: &[&str]) -> Option<Place> {
        let table = self.snapshot().table();
        let position = table.account_position(self.ruling.key?)?;
        self.sites.account(&table.account_origin(position), fields)
    }

    /// Where the path is said that is ours to answer.
    pub(super) fn endpoint_place(&self) -> Option<Place> {
        self.sites.endpoint(self.ruling.endpoint?)
    }

    /// The effective permissions of the key.
    pub(super) fn permissions(&self) -> String {
        let set = self.ruling.key.and_then(|key| self.snapshot().permissions(key));
        let header = set.and_then(|set| set.header().to_str().ok()).unwrap_or_default();
        match header {
            "" => "none".to_owned(),
            "*" => "all".to_owned(),
            text => listed(text.split(' ')),
        }
    }

    pub(super) fn state(&self, check: Check) -> State {
        let passed = self.ruling.passed;
        let failed = self.ruling.denial.map(|denial| denial.check(passed));
        match failed {
            Some(failed) if failed == check => State::Refused,
            _ if passed.passed(check) => State::Passed,
            Some(failed) if check > failed => State::NotReached,
            _ if check == Check::Limits && self.is_limited() => State::NotJudged,
            _ => State::NotAsked,
        }
    }

    fn is_limited(&self) -> bool {
        self.route().is_some_and(|(_, rule)| rule.rate.is_some() || rule.in_flight.is_some())
    }

    /// What there is to say of a check that came so far.
    pub(super) fn note(&self, check: Check, state: State) -> Note {
        let denial = self.ruling.denial.filter(|_| state == State::Refused);
        match (state, check) {
            (State::NotReached, _) => Note::default(),
            (State::NotAsked, check) => self.unasked(check),
            (_, Check::Transport) => message::transport(self, denial),
            (_, Check::RequestForm) => message::request_form(self, denial),
            (_, Check::PathForm) => message::path_form(self, denial),
            (_, Check::CredentialForm) => message::credential_form(self, denial),
            (_, Check::Key) => holder::key(self, denial),
            (_, Check::AccountStatus) => holder::account_status(self, denial),
            (_, Check::Address) => holder::address(self, denial),
            (_, Check::Route) => rule::route(self, denial),
            (_, Check::Browser) => rule::browser(self, denial),
            (_, Check::AccountFrom) => rule::account_from(self, denial),
            (_, Check::ProfileFrom) => rule::profile_from(self, denial),
            (_, Check::Kind) => rule::kind(self, denial),
            (_, Check::Access) => rule::access(self, denial),
            (_, Check::Permissions) => rule::permissions(self, denial),
            (_, Check::BodyForm) => payload::form(self, denial),
            (_, Check::BodyPermission) => payload::permission(self, denial),
            (_, Check::Events) => payload::events(self, denial),
            (_, Check::Attributes) => payload::attributes(self, denial),
            (_, Check::Limits) => rule::limits(self),
        }
    }

    /// Why a check was not asked, where that is not plain.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other checks are plain")]
    fn unasked(&self, check: Check) -> Note {
        let public = self.route().is_some_and(|(_, rule)| rule.public);
        match check {
            Check::CredentialForm if self.ruling.assumed => {
                Note::new("the key is named with `--key-id`, whatever the request carries", None)
            }
            Check::CredentialForm if public => {
                Note::new("the route is public", self.route_place(&["public"]))
            }
            Check::CredentialForm if self.ruling.endpoint.is_some() => Note::new(
                "the path is one of keygate's own",
                self.sites.rule("tokens", "signing_key"),
            ),
            Check::CredentialForm => {
                let place = self.sites.rule("credentials", "anonymous");
                Note::new("a request without a credential that counts is let in here", place)
            }
            Check::Address if self.record().is_some_and(|record| record.ips().is_empty()) => {
                Note::new("the key may be used from anywhere", None)
            }
            Check::Route if self.ruling.endpoint.is_none() => {
                let place = self.sites.rule("routes", "unmatched");
                Note::new("no route takes it, and any valid key may pass", place)
            }
            _ => Note::default(),
        }
    }
}

/// How many names of a long list are shown.
const MOST_SHOWN: usize = 12;

/// Names with marks around them, not without end.
pub(super) fn listed(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut more = 0;
    for name in names {
        match texts.len() < MOST_SHOWN {
            true => texts.push(named(name.as_ref())),
            false => more += 1,
        }
    }
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
}

/// A name with marks around it; what somebody sent is not shown without end.
pub(super) fn named(name: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = name.chars().take(LONGEST).collect();
    let rest = if shown.len() < name.len() { "…" } else { "" };
    format!("`{}{rest}`", shown.escape_debug())
}

/// Whether a reason is this one.
pub(super) fn is(denial: Option<Denial>, one: Denial) -> bool {
    denial == Some(one)
}
