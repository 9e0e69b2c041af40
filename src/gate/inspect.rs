//! The part of a decision that needs the body: an obligation that must be met before the grant.

use super::authorize::Grant;
use super::checks::{Check, Checks};
use super::facts::{Facts, Sole};
use super::json::{self, Findings};
use super::rules::BodyRules;
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::{KeyIndex, KeyRecord};

/// A grant that waits for the body: collect it and let it be judged. There is no other way to the
/// grant.
#[derive(Debug)]
pub struct Inspection {
    grant: Grant,
    key: KeyIndex,
    most: usize,
    enforce: bool,
}

/// What came of judging a body.
#[derive(Debug)]
pub struct Judged {
    /// The grant, or why not.
    pub outcome: Result<Grant, Denial>,
    /// What would have been refused on a route with `enforce = false`.
    pub shadow: Option<Denial>,
    /// The checks of the body that it passed.
    pub passed: Checks,
}

impl Inspection {
    pub(super) const fn new(grant: Grant, key: KeyIndex, most: usize, enforce: bool) -> Self {
        Self { grant, key, most, enforce }
    }

    /// The most bytes that the body may have.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// What a body says where the rules point, for whoever explains what [`Self::judge`] will say
    /// of it; `None` where it is not what the rules ask for.
    #[must_use]
    pub fn findings<'b>(&self, body: &'b [u8], snapshot: &Snapshot) -> Option<Findings<'b>> {
        let route = snapshot.routes().get(self.grant.route()?)?;
        json::find(body, &route.body).ok()
    }

    /// Judges the whole body, or why there is none: it was too large, too late, or there was no
    /// room for it. The snapshot must be the one that made the inspection.
    #[must_use]
    pub fn judge(self, body: Result<&[u8], Denial>, snapshot: &Snapshot) -> Judged {
        let mut passed = Checks::default();
        let judged = body.and_then(|body| self.examine(body, snapshot, &mut passed));
        let (outcome, shadow) = match judged {
            Ok(()) => (Ok(self.grant), None),
            Err(denial) if self.enforce => (Err(denial), None),
            Err(denial) => (Ok(self.grant), Some(denial)),
        };
        Judged { outcome, shadow, passed }
    }

    fn examine(&self, body: &[u8], snapshot: &Snapshot, passed: &mut Checks) -> Result<(), Denial> {
        if body.len() > self.most {
            return Err(Denial::BodyTooLarge);
        }
        let route = self.grant.route().and_then(|route| snapshot.routes().get(route));
        let record = snapshot.table().record(self.key);
        // Both are there: the snapshot is the one that made this.
        let (Some(route), Some(record)) = (route, record) else { return Err(Denial::NoRoute) };
        let rules = &route.body;
        let found = json::find(body, rules)?;
        passed.pass(Check::BodyForm);
        self.has_permission(&found, snapshot)?;
        if !rules.permission_from.is_empty() {
            passed.pass(Check::BodyPermission);
        }
        let fixed = rules.events.iter().map(|event| &**event);
        may_send(record, fixed.chain(found.events.iter().map(|event| &**event)))?;
        if !rules.events.is_empty() || !rules.events_from.is_empty() {
            passed.pass(Check::Events);
        }
        may_change(record, &found)?;
        if !rules.attributes_from.is_empty() || !rules.tags_from.is_empty() {
            passed.pass(Check::Attributes);
        }
        Ok(())
    }

    fn has_permission(&self, found: &Findings<'_>, snapshot: &Snapshot) -> Result<(), Denial> {
        let Some(name) = &found.permission else { return Ok(()) };
        match snapshot.permissions(self.key).is_some_and(|set| set.grants(name)) {
            true => Ok(()),
            false => Err(Denial::MissingPermission),
        }
    }
}

/// What can be judged of a body before it has come: its type, its encoding, the length that was
/// announced.
pub(super) fn form(rules: &BodyRules, facts: &Facts<'_>) -> Result<(), Denial> {
    use http::Method;
    let carries =
        facts.has_body || [Method::POST, Method::PUT, Method::PATCH].contains(facts.method);
    let kind = facts.sole(&http::header::CONTENT_TYPE);
    if let Some(wanted) = rules.content_type.as_deref()
        && carries
        && !is_of_type(kind, |found| found == wanted)
    {
        return Err(Denial::WrongContentType);
    }
    if !rules.inspects() {
        return Ok(());
    }
    let json = |found: &str| found == "application/json" || found.ends_with("+json");
    // What says that it is something else would be read as that by someone else.
    let other = kind != Sole::Absent && rules.content_type.is_none() && !is_of_type(kind, json);
    if other || !is_utf8(kind) || is_encoded(facts) {
        return Err(Denial::WrongContentType);
    }
    match facts.length() {
        Some(length) if length > rules.max_body() as u64 => Err(Denial::BodyTooLarge),
        _ => Ok(()),
    }
}

/// Whether there is one content type, and it is a certain one; its parameters do not count.
fn is_of_type(kind: Sole<'_>, wanted: impl Fn(&str) -> bool) -> bool {
    let Sole::One(value) = kind else { return false };
    let kind = value.split(|&byte| byte == b';').next().unwrap_or_default();
    std::str::from_utf8(kind).is_ok_and(|kind| wanted(&kind.trim().to_ascii_lowercase()))
}

/// JSON is UTF-8 (RFC 8259, section 8.1): whoever believes another charset reads another text.
fn is_utf8(kind: Sole<'_>) -> bool {
    let Sole::One(value) = kind else { return kind == Sole::Absent };
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.split(';').skip(1).all(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return parameter.trim().is_empty();
        };
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset")
            || value.eq_ignore_ascii_case("utf-8")
            || value.eq_ignore_ascii_case("us-ascii")
    })
}

fn is_encoded(facts: &Facts<'_>) -> bool {
    match facts.sole(&http::header::CONTENT_ENCODING) {
        Sole::Absent => false,
        Sole::One(coding) => !coding.trim_ascii().eq_ignore_ascii_case(b"identity"),
        Sole::Many => true,
    }
}

/// An allowlist that is not empty names all that is let through; the denylist always wins.
pub(super) fn may_send<'e>(
    record: &KeyRecord,
    events: impl IntoIterator<Item = &'e str>,
) -> Result<(), Denial> {
    let rules = &record.events;
    let lists = |list: &[Box<str>], event: &str| list.iter().any(|listed| **listed == *event);
    let allowed = |event: &str| {
        (rules.allow.is_empty() || lists(&rules.allow, event)) && !lists(&rules.deny, event)
    };
    match events.into_iter().all(allowed) {
        true => Ok(()),
        false => Err(Denial::EventNotAllowed),
    }
}

fn may_change(record: &KeyRecord, found: &Findings<'_>) -> Result<(), Denial> {
    let Some(rules) = &record.attributes else { return Ok(()) };
    let lists = |list: &[Box<str>], name: &str| list.iter().any(|listed| **listed == *name);
    let attributes = found.attributes.iter().all(|name| lists(&rules.allow, name));
    let tags = found.tags.iter().all(|tag| lists(&rules.tags, tag));
    match attributes && tags {
        true => Ok(()),
        false => Err(Denial::AttributeNotAllowed),
    }
}
