//! The part of a decision that needs the body: an obligation that must be met before the grant.

use super::authorize::Grant;
use super::checks::{Check, Checks};
use super::facts::{Facts, Sole};
use super::json::{self, Findings};
use super::listed::Listed;
use super::rules::BodyRules;
use super::snapshot::Snapshot;
use super::verdict::Denial;
use crate::keys::EventRules;
use crate::keys::Key;
use crate::keys::KeyIndex;

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
        may_send(record.events(), fixed.chain(found.events.iter().map(|event| &**event)))?;
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
    let kind = kind.trim_ascii().to_ascii_lowercase();
    std::str::from_utf8(&kind).is_ok_and(wanted)
}

/// JSON is UTF-8 (RFC 8259, section 8.1): whoever believes another charset reads another text.
fn is_utf8(kind: Sole<'_>) -> bool {
    let Sole::One(value) = kind else { return kind == Sole::Absent };
    let Ok(text) = std::str::from_utf8(value) else { return false };
    text.to_ascii_lowercase().split(';').skip(1).all(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else {
            return parameter.trim().is_empty();
        };
        let value = value.trim().trim_matches('"');
        // `charset*` too: some decode it (RFC 2231).
        !name.trim().starts_with("charset") || ["utf-8", "us-ascii"].contains(&value)
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
    rules: &EventRules,
    events: impl IntoIterator<Item = &'e str>,
) -> Result<(), Denial> {
    let (mut allow, mut deny) = (Listed::new(&rules.allow), Listed::new(&rules.deny));
    let may = |event: &str| (rules.allow.is_empty() || allow.has(event)) && !deny.has(event);
    match events.into_iter().all(may) {
        true => Ok(()),
        false => Err(Denial::EventNotAllowed),
    }
}

fn may_change(record: Key<'_>, found: &Findings<'_>) -> Result<(), Denial> {
    let Some(rules) = record.attributes() else { return Ok(()) };
    let (mut attributes, mut tags) = (Listed::new(&rules.allow), Listed::new(&rules.tags));
    let may = found.attributes.iter().all(|name| attributes.has(name))
        && found.tags.iter().all(|tag| tags.has(tag));
    match may {
        true => Ok(()),
        false => Err(Denial::AttributeNotAllowed),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::net::Ipv4Addr;

    use http::HeaderMap;
    use http::HeaderName;
    use http::HeaderValue;
    use http::Method;

    use super::super::facts::Transport;
    use super::super::pointer::Pointer;
    use super::*;

    const TYPE: &str = "content-type";
    const CODING: &str = "content-encoding";

    /// What is said of the form of a `POST` with some headers.
    fn posted(rules: &BodyRules, fields: &[(&'static str, &[u8])]) -> Result<(), Denial> {
        asked(rules, &Method::POST, true, fields)
    }

    fn asked(
        rules: &BodyRules,
        method: &Method,
        has_body: bool,
        fields: &[(&'static str, &[u8])],
    ) -> Result<(), Denial> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        let client = (IpAddr::V4(Ipv4Addr::LOCALHOST), false);
        form(rules, &Facts::new(method, "/", Transport::Tls, client, &headers, has_body))
    }

    fn inspecting() -> BodyRules {
        let events_from = vec![Pointer::parse("/action").unwrap()];
        BodyRules { events_from, ..BodyRules::default() }
    }

    fn typed(kind: &str) -> BodyRules {
        BodyRules { content_type: Some(kind.into()), ..BodyRules::default() }
    }

    #[test]
    fn an_inspected_body_says_that_it_is_json_or_nothing() {
        let rules = inspecting();
        assert_eq!(posted(&rules, &[]), Ok(()));
        for good in [
            "application/json",
            "Application/JSON",
            " application/json ;",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; charset=us-ascii; profile=x",
            "application/vnd.api+json",
            "application/problem+JSON;version=1",
        ] {
            assert_eq!(posted(&rules, &[(TYPE, good.as_bytes())]), Ok(()), "{good}");
        }
        let bad: &[&[u8]] = &[
            b"",
            b"text/plain",
            b"application/x-www-form-urlencoded",
            b"application/jsonp",
            b"application/json+xml",
            b"json",
            b"application/json, text/plain",
            b"application/json\xa0",
            b"application/json; charset=utf-16",
            b"application/json; charset=utf-7",
            b"application/json; charset=iso-8859-1",
            b"application/json; charset",
            b"application/json; charset=",
            b"application/json; charset=utf-8; charset=utf-16",
            b"application/json; CharSet = \"utf-16\"",
            b"application/json; charset*=utf-8''utf-16",
            b"application/json; charset*0=utf-; charset*1=16",
            b"application/json; x=\"; charset=utf-16\"",
            b"application/json; x=\xff",
        ];
        for bad in bad {
            let shown = bad.escape_ascii();
            assert_eq!(posted(&rules, &[(TYPE, bad)]), Err(Denial::WrongContentType), "{shown}");
        }
        let twice: &[(_, &[u8])] = &[(TYPE, b"application/json"), (TYPE, b"application/json")];
        assert_eq!(posted(&rules, twice), Err(Denial::WrongContentType));
    }

    #[test]
    fn an_inspected_body_is_not_encoded() {
        let rules = inspecting();
        for (coding, wanted) in [
            ("identity", Ok(())),
            ("Identity", Ok(())),
            ("gzip", Err(Denial::WrongContentType)),
            ("br", Err(Denial::WrongContentType)),
            ("identity, gzip", Err(Denial::WrongContentType)),
            ("", Err(Denial::WrongContentType)),
        ] {
            assert_eq!(posted(&rules, &[(CODING, coding.as_bytes())]), wanted, "{coding}");
            let open = typed("application/json");
            let fields: &[(_, &[u8])] = &[(TYPE, b"application/json"), (CODING, coding.as_bytes())];
            assert_eq!(posted(&open, fields), Ok(()), "nobody reads it: {coding}");
        }
        let twice: &[(_, &[u8])] = &[(CODING, b"identity"), (CODING, b"identity")];
        assert_eq!(posted(&rules, twice), Err(Denial::WrongContentType));
    }

    #[test]
    fn a_content_type_is_asked_of_what_has_a_body_or_usually_has_one() {
        let rules = typed("application/json");
        let bad = Err(Denial::WrongContentType);
        for (method, has_body, wanted) in [
            (Method::POST, false, bad),
            (Method::PUT, false, bad),
            (Method::PATCH, false, bad),
            (Method::GET, false, Ok(())),
            (Method::DELETE, false, Ok(())),
            (Method::GET, true, bad),
            (Method::DELETE, true, bad),
        ] {
            assert_eq!(asked(&rules, &method, has_body, &[]), wanted, "{method} {has_body}");
            let plain: &[(_, &[u8])] = &[(TYPE, b"text/plain")];
            assert_eq!(asked(&rules, &method, has_body, plain), wanted, "{method} {has_body}");
        }
        assert_eq!(posted(&rules, &[(TYPE, b"application/json; charset=latin1")]), Ok(()));
        assert_eq!(posted(&rules, &[(TYPE, b"application/vnd.api+json")]), bad);
        assert_eq!(posted(&typed("text/csv"), &[(TYPE, b"text/CSV; header=present")]), Ok(()));
    }

    #[test]
    fn a_body_that_is_announced_too_large_is_not_waited_for() {
        let rules = BodyRules { max_body: Some(100), ..inspecting() };
        for (length, wanted) in [
            ("100", Ok(())),
            ("101", Err(Denial::BodyTooLarge)),
            ("18446744073709551615", Err(Denial::BodyTooLarge)),
        ] {
            let fields: &[(_, &[u8])] = &[("content-length", length.as_bytes())];
            assert_eq!(posted(&rules, fields), wanted, "{length}");
            assert_eq!(posted(&typed("text/csv"), &[(TYPE, b"text/csv"), fields[0]]), Ok(()));
        }
    }

    #[test]
    fn what_is_on_both_lists_is_denied() {
        let list = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        let may = |allow: &[&str], deny: &[&str], events: &[&str]| {
            let rules = EventRules { allow: list(allow), deny: list(deny) };
            may_send(&rules, events.iter().copied()).is_ok()
        };
        assert!(may(&[], &[], &["a", "b"]));
        assert!(may(&["a", "b"], &[], &["a", "b", "a"]));
        assert!(!may(&["a"], &[], &["a", "b"]));
        assert!(!may(&[], &["b"], &["a", "b"]));
        assert!(!may(&["a"], &["a"], &["a"]));
        assert!(!may(&["a"], &[], &["A"]) && !may(&["a*"], &[], &["ab"]));
    }
}
