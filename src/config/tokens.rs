//! `[tokens]`: what is minted from keys, by which key, for how long, and where.

use std::sync::Arc;
use std::time::Duration;

use super::files::Files;
use super::reading::duration;
use super::routes;
use super::signing;
use crate::gate::Algorithm;
use crate::gate::CanonicalPath;
use crate::gate::Credentials;
use crate::gate::Endpoint;
use crate::gate::PathPattern;
use crate::gate::TokenSettings;
use crate::gate::Tokens;
use crate::source::At;
use crate::source::Problem;
use crate::source::Section;
use crate::source::Span;
use crate::source::Value;

const LIFETIME: Duration = Duration::from_secs(60 * 60);
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// `iss` and `aud` unless said.
const PARTY: &str = "keygate";

/// The paths that are answered here, unless said.
const ENDPOINTS: [(&str, Endpoint, &str); 4] = [
    ("login", Endpoint::Login, "/uauth/v2/auth/login/profile"),
    ("login_simple", Endpoint::LoginSimple, "/sauth/v3/auth/login/client/simple"),
    ("refresh", Endpoint::Refresh, "/uauth/v2/auth/refresh"),
    ("jwks", Endpoint::Jwks, "/.well-known/jwks.json"),
];

/// Where an endpoint is: the path, and where that stands if it was written.
struct Place {
    name: &'static str,
    endpoint: Endpoint,
    path: Box<str>,
    span: Option<Span>,
}

/// Reads the section, and the files that it names if tokens are on.
pub(super) fn read(
    root: &mut Section<'_, '_>,
    files: &mut Files,
    credentials: &Credentials,
    routes: Option<&routes::Read>,
) -> Option<Arc<Tokens>> {
    let table = root.table("tokens");
    let written = table.as_ref().map(|table| table.span.clone());
    if let Some(table) = table.as_ref().filter(|table| !table.value.is_empty())
        && !credentials.tokens
    {
        let help = "set `tokens = true` in `[credentials]`";
        root.warn(&table.span, "`[tokens]` has no effect: tokens are off", help);
    }
    let table = table.unwrap_or_else(|| root.empty_table());
    let mut section = root.enter("[tokens]", table);
    let algorithm = algorithm(&mut section);
    let named = section.string_or_strings("signing_key");
    let (lifetime, max_age) = times(&mut section);
    let (issuer, audience) = (party(&mut section, "issuer"), party(&mut section, "audience"));
    let places = places(&mut section);
    if !credentials.tokens {
        return None;
    }
    let keys = match named {
        Some(named) => signing::read(&mut section, files, &named, algorithm?.value),
        None => signing::ephemeral(&mut section, written, algorithm.as_ref()),
    };
    drop(section);
    let places = places?;
    warn_of_unreachable(root, &places, routes);
    let (signer, verifiers) = keys?;
    Some(Arc::new(Tokens::new(TokenSettings {
        signer,
        verifiers,
        lifetime,
        max_age,
        issuer: issuer?,
        audience: audience?,
        endpoints: places.into_iter().map(|place| (place.endpoint, place.path)).collect(),
    })))
}

/// `None` where it is none of those that there are.
fn algorithm(section: &mut Section<'_, '_>) -> Option<At<Algorithm>> {
    let Some((_, span)) = section.peek("algorithm") else {
        return Some(At { value: Algorithm::default(), span: section.span() });
    };
    let choices = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    let value = super::reading::choice(section, "algorithm", &choices)?;
    Some(At { value, span })
}

/// How long a token lives, and a login.
fn times(section: &mut Section<'_, '_>) -> (Duration, Duration) {
    let mut place = |name| section.peek(name).map(|(_, at)| at);
    let (at_lifetime, at_age) = (place("lifetime"), place("max_age"));
    let (lifetime, max_age) = (duration(section, "lifetime"), duration(section, "max_age"));
    let wrong =
        (at_lifetime.is_some() && lifetime.is_none()) || (at_age.is_some() && max_age.is_none());
    let lifetime = lifetime.unwrap_or(LIFETIME);
    // What is not written gives way to what is.
    let max_age = max_age.unwrap_or(MAX_AGE.max(lifetime));
    let span = at_age.or(at_lifetime.clone()).unwrap_or_else(|| section.span());
    if lifetime < Duration::from_secs(1) {
        let help = "write at least `1s`: tokens count whole seconds";
        section.wrong(&at_lifetime.unwrap_or(span), "`lifetime` is too short", help);
    } else if max_age < lifetime && !wrong {
        let message = "`max_age` is shorter than `lifetime`, so that it ends every token";
        let help = "write a `max_age` that is at least as long: it ends what refreshing prolongs";
        section.warn(&span, message, help);
    }
    (lifetime, max_age)
}

/// Who mints, or for whom.
fn party(section: &mut Section<'_, '_>, name: &'static str) -> Option<Box<str>> {
    if section.peek(name).is_none() {
        return Some(PARTY.into());
    }
    let At { value, span } = section.string(name)?;
    if value.is_empty() || value.chars().any(char::is_control) {
        let message = format!("`{}` cannot be `{name}`", value.escape_debug());
        section.wrong(&span, message, "write a name, or the url of the service");
        return None;
    }
    Some(value.into())
}

/// The paths that are on; `None` where one of them cannot be one.
fn places(section: &mut Section<'_, '_>) -> Option<Vec<Place>> {
    let mut places: Vec<Place> = Vec::new();
    let mut sound = true;
    for (name, endpoint, default) in ENDPOINTS {
        let place = match section.take(name) {
            None => Some(Place { name, endpoint, path: default.into(), span: None }),
            Some(At { value: Value::Boolean(false), .. }) => continue,
            Some(at) => {
                let span = at.span.clone();
                let path = path(section, name, at);
                path.map(|path| Place { name, endpoint, path, span: Some(span) })
            }
        };
        let taken = place.as_ref().and_then(|place| {
            places.iter().find(|other| decoded(&other.path) == decoded(&place.path))
        });
        if let (Some(other), Some(place)) = (taken, &place) {
            let span = place.span.clone().or(other.span.clone());
            let message = format!("`{name}` and `{}` are the same path", other.name);
            let span = span.unwrap_or_else(|| section.span());
            section.wrong(
                &span,
                message,
                "give each a path of its own, or switch one off: `false`",
            );
            sound = false;
        }
        sound &= place.is_some();
        places.extend(place);
    }
    sound.then_some(places)
}

/// A path that names exactly one place.
fn path(section: &mut Section<'_, '_>, name: &str, at: At<Value<'_>>) -> Option<Box<str>> {
    let span = at.span.clone();
    let Value::String(text) = at.value else {
        section.wrong(
            &span,
            format!("`{name}` wants a path, or `false`"),
            "write a path in quotes",
        );
        return None;
    };
    let why = match PathPattern::parse(&text) {
        Ok(_) if text.contains('{') => "it must name one path".to_owned(),
        Ok(_) => return Some(text.into()),
        Err(error) => error.to_string(),
    };
    let message = format!("`{}` cannot be `{name}`: {why}", text.escape_debug());
    section.wrong(&span, message, "write a path like `/auth/login`, or `false` to switch it off");
    None
}

fn decoded(path: &str) -> Option<String> {
    CanonicalPath::new(path).ok().map(|path| path.decoded().to_owned())
}

/// A route of exactly one of our paths takes no request.
fn warn_of_unreachable(
    root: &mut Section<'_, '_>,
    places: &[Place],
    routes: Option<&routes::Read>,
) {
    let Some(routes) = routes else { return };
    let source = root.source();
    for (route, span) in routes.routes.list().iter().zip(&routes.paths) {
        let path = route.path.as_str();
        let literal = !path.contains('{');
        let taken = |place: &&Place| literal && decoded(&place.path) == decoded(path);
        if let Some(place) = places.iter().find(taken) {
            let message = format!("no request reaches `{path}`: `tokens.{}` takes it", place.name);
            let help = "remove the route, or give the other another path";
            let mut problem = Problem::at(source, span.clone(), message).help(help).warning();
            if let Some(span) = &place.span {
                problem = problem.also(source, span.clone(), "what takes it");
            }
            root.problems().push(problem);
        }
    }
}
