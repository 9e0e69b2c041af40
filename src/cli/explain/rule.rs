//! The route in words: which one it is, what it asks for, and what the key has.

use std::time::Duration;

use http::Method;

use super::words::Matter;
use super::words::Note;
use super::words::listed;
use super::words::named;
use crate::gate::CanonicalPath;
use crate::gate::Denial;
use crate::gate::LimitBy;
use crate::keys::Access;

/// Asked of a path that no route takes, to say what would have been.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

pub(super) fn route(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let (method, path) = (&matter.asked.parts.method, matter.asked.path());
    if let (None, Some((_, route))) = (denial, matter.route()) {
        let detail = format!("{} takes `{method}` of {}", named(route.path.as_str()), named(path));
        return Note::new(detail, matter.route_place(&["methods", "path"]));
    }
    let tokens = matter.snapshot().tokens();
    if let Some((own, _)) = tokens.and_then(|own| own.endpoints().find(|(_, at)| *at == path)) {
        let detail = format!("{} is keygate's own, and not for `{method}`", named(path));
        return Note::new(detail, matter.sites.endpoint(own));
    }
    let routes = matter.snapshot().routes();
    let canonical = CanonicalPath::new(path).ok();
    let others = METHODS.iter().filter_map(|other| {
        let (index, route) = routes.find(canonical.as_ref()?, other)?;
        Some((other, index, route))
    });
    let others: Vec<_> = others.collect();
    match others.first() {
        Some((_, index, route)) => {
            let taken = listed(others.iter().map(|(method, ..)| method.as_str()));
            let detail =
                format!("{} takes {taken}, and not `{method}`", named(route.path.as_str()));
            Note::new(detail, matter.sites.route(*index, &["methods"]))
        }
        None => Note::new(
            format!("no route has a path that {} fits", named(path)),
            matter.sites.rule("routes", "unmatched"),
        ),
    }
}

pub(super) fn browser(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let detail = match denial {
        None => "it has no `Origin`, so that no web page sends it",
        Some(_) => "it has an `Origin`, as web pages send it",
    };
    Note::new(detail, matter.route_place(&["browser"]))
}

pub(super) fn account_from(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let at = matter.route().and_then(|(_, route)| route.account_from);
    let own = matter.record().map(|record| record.account().as_str()).unwrap_or_default();
    let detail = compared(matter, at, "account", denial, &format!("the key's is {}", named(own)));
    Note::new(detail, matter.route_place(&["account_from"])).also(matter.key_place(&["account"]))
}

pub(super) fn profile_from(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let at = matter.route().and_then(|(_, route)| route.profile_from);
    let own = match denial {
        None => "the credential may name it",
        Some(_) => "the credential is another profile's, or no profile's",
    };
    let detail = compared(matter, at, "profile", denial, own);
    Note::new(detail, matter.route_place(&["profile_from"])).also(matter.key_place(&["kind"]))
}

fn compared(
    matter: &Matter<'_>,
    at: Option<usize>,
    what: &str,
    denial: Option<Denial>,
    own: &str,
) -> String {
    let path = CanonicalPath::new(matter.asked.path()).ok();
    let segment = path.as_ref().zip(at).and_then(|(path, at)| path.segment(at));
    let join = if denial.is_some() { ";" } else { ", and" };
    format!(
        "the path names the {what} {}{join} {own}",
        named(&segment.unwrap_or_default().replace('\0', "/"))
    )
}

pub(super) fn kind(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let wanted = matter.route().and_then(|(_, route)| route.kind);
    let Some(record) = matter.record() else { return Note::default() };
    let own = record.kind().as_str();
    let detail = match (wanted, denial) {
        (Some(_), None) => format!("the route asks for a {own} key, and the key is one"),
        (Some(wanted), Some(_)) => {
            format!("the route asks for a {} key; this is a {own} key", wanted.as_str())
        }
        (None, _) => format!("this path is not for a {own} key"),
    };
    // What is not a route is a login of our own.
    let place = matter.route_place(&["kind"]).or_else(|| matter.endpoint_place());
    Note::new(detail, place).also(matter.key_place(&["kind"]))
}

pub(super) fn access(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some(record) = matter.record() else { return Note::default() };
    let method = &matter.asked.parts.method;
    let access = record.access().unwrap_or(matter.policy.config.keys.default_access);
    let detail = match (access, denial) {
        (Access::Write, _) => "the key may use every method".to_owned(),
        (Access::Read, None) => format!("the key may read, and `{method}` reads"),
        (Access::Read, Some(_)) => format!("the key may only read, and `{method}` does more"),
    };
    let default = || matter.sites.config(&["keys", "default_access"]);
    let own = matter.key_place(&["access"]);
    let place = if record.access().is_some() { own } else { default().or(own) };
    Note::new(detail, place)
}

pub(super) fn permissions(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some((_, route)) = matter.route() else { return Note::default() };
    let all = listed(route.permissions.iter().map(crate::keys::Name::as_str));
    let any = listed(route.any_permission.iter().map(crate::keys::Name::as_str));
    let wanted = match (route.permissions.is_empty(), route.any_permission.is_empty()) {
        (true, true) => return Note::new("the route asks for none", matter.route_place(&[])),
        (false, true) => all,
        (true, false) => format!("one of {any}"),
        (false, false) => format!("{all}, and one of {any}"),
    };
    let join = if denial.is_some() { ";" } else { ", and" };
    let detail = format!("the route asks for {wanted}{join} the key has {}", matter.permissions());
    let place = matter.route_place(&["permissions", "any_permission"]);
    Note::new(detail, place).also(holding(matter))
}

/// Where the key's permissions stand: in its record, or in its account's.
pub(super) fn holding(matter: &Matter<'_>) -> Option<crate::config::Place> {
    let record = matter.record()?;
    match (record.permissions(), matter.account()) {
        (None, Some(_)) => matter.account_place(&["permissions"]),
        _ => matter.key_place(&["permissions"]),
    }
}

pub(super) fn limits(matter: &Matter<'_>) -> Note {
    let Some((_, route)) = matter.route() else { return Note::default() };
    let by = |by: LimitBy| match by {
        LimitBy::Account => "account",
        LimitBy::Key => "key",
        LimitBy::Address => "address",
    };
    let rate = route.rate.map(|rate| {
        format!("{} requests in {:?} for each {}", rate.requests, rate.per, by(rate.by))
    });
    let in_flight = route.in_flight.map(|limit| {
        let queue = match limit.queue {
            Duration::ZERO => String::new(),
            queue => format!(", the others wait for up to {queue:?}"),
        };
        format!("{} at once for each {}{queue}", limit.max, by(limit.per))
    });
    let told: Vec<_> = rate.into_iter().chain(in_flight).collect();
    Note::new(told.join("; "), matter.route_place(&["rate", "in_flight"]))
}
