//! The body in words: its type, its form, and what it asks for.

use std::borrow::Cow;

use http::header::CONTENT_ENCODING;
use http::header::CONTENT_TYPE;

use super::rule::holding;
use super::words::Matter;
use super::words::Note;
use super::words::listed;
use super::words::named;
use crate::gate::BodyRules;
use crate::gate::Denial;

const INSPECTING: [&str; 4] = ["permission_from", "events_from", "attributes_from", "tags_from"];

pub(super) fn form(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let Some((_, route)) = matter.route() else { return ours(matter, denial) };
    let rules = &route.body;
    let place = |fields: &[&str]| matter.route_place(fields);
    let bytes = matter.asked.body.len();
    match denial {
        Some(Denial::WrongContentType) => {
            let fields = [&["content_type"], &INSPECTING[..]].concat();
            Note::new(wrong_type(matter, rules), place(&fields))
        }
        Some(Denial::BodyTooLarge) => {
            let fields = [&["max_body"], &INSPECTING[..]].concat();
            let most = rules.max_body();
            Note::new(format!("the route takes {most} bytes; this has {bytes}"), place(&fields))
        }
        Some(_) => Note::new(invalid(&matter.asked.body), place(&INSPECTING)),
        None if rules.inspects() => {
            let detail = format!("{bytes} bytes of strict JSON with what the rules point at");
            Note::new(detail, place(&INSPECTING))
        }
        None => {
            let wanted = rules.content_type.as_deref().unwrap_or("anything");
            Note::new(format!("the route takes {}", named(wanted)), place(&["content_type"]))
        }
    }
}

/// The body of a login.
fn ours(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let detail = match denial {
        Some(Denial::InvalidBody) => {
            "a login wants a JSON object with `apiKey`, for simple authentication with `email` or \
             `customId` too, and no member twice"
                .to_owned()
        }
        Some(denial) => denial.sentence().to_lowercase(),
        None => String::new(),
    };
    Note::new(detail, matter.endpoint_place())
}

fn wrong_type(matter: &Matter<'_>, rules: &BodyRules) -> String {
    let headers = &matter.asked.parts.headers;
    let shown = |name| {
        let all: Vec<_> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
        let text = all.join(&b", "[..]);
        if text.is_empty() { "none".to_owned() } else { named(&String::from_utf8_lossy(&text)) }
    };
    let wanted = rules.content_type.as_deref().unwrap_or("JSON");
    let coded = match headers.contains_key(CONTENT_ENCODING) && rules.inspects() {
        true => format!(", with the encoding {}", shown(CONTENT_ENCODING)),
        false => String::new(),
    };
    format!("the route takes {} in UTF-8; this is {}{coded}", named(wanted), shown(CONTENT_TYPE))
}

/// Why a body is not valid, as far as that can be told without repeating it.
fn invalid(body: &[u8]) -> String {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Err(error) => format!("the body is not JSON: {error}"),
        Ok(_) => "the body is JSON, but a name occurs twice, its depth or a number is beyond the \
                  limit, or it has not what the rules point at"
            .to_owned(),
    }
}

pub(super) fn permission(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let found = matter.ruling.found.as_ref().and_then(|found| found.permission.as_deref());
    let join = if denial.is_some() { ";" } else { ", and" };
    let wanted = named(found.unwrap_or_default());
    let detail = format!("the body asks for {wanted}{join} the key has {}", matter.permissions());
    Note::new(detail, matter.route_place(&["permission_from"])).also(holding(matter))
}

pub(super) fn events(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let (Some((_, route)), Some(record)) = (matter.route(), matter.record()) else {
        return Note::default();
    };
    let rules = record.events();
    let fixed = route.body.events.iter().map(|event| &**event);
    let sent = matter.ruling.found.iter().flat_map(|found| &found.events).map(|event| &**event);
    let among = |list: &[Box<str>], event: &str| list.iter().any(|listed| **listed == *event);
    // Of many, those are shown that are in the way.
    let shown = fixed.chain(sent).filter(|event| {
        let barred = !rules.allow.is_empty() && !among(&rules.allow, event);
        denial.is_none() || barred || among(&rules.deny, event)
    });
    let allowed = match rules.allow.is_empty() {
        true => "every event".to_owned(),
        false => listed(rules.allow.iter()),
    };
    let never = match rules.deny.is_empty() {
        true => String::new(),
        false => format!(" but never {}", listed(rules.deny.iter())),
    };
    let detail = format!("the request is {}; the key may send {allowed}{never}", listed(shown));
    let place = matter.route_place(&["events", "events_from"]);
    Note::new(detail, place).also(matter.key_place(&["events"]))
}

pub(super) fn attributes(matter: &Matter<'_>, denial: Option<Denial>) -> Note {
    let (Some(record), Some(found)) = (matter.record(), matter.ruling.found.as_ref()) else {
        return Note::default();
    };
    let place = matter.route_place(&["attributes_from", "tags_from"]);
    let rules = record.attributes();
    // Of many, those are shown that are in the way.
    let shown = |names: &[Cow<'_, str>], may: Option<&[Box<str>]>| {
        let barred = |name: &&Cow<'_, str>| {
            denial.is_none() || may.is_some_and(|may| !may.iter().any(|own| **own == ***name))
        };
        listed(names.iter().filter(barred))
    };
    let attributes = shown(&found.attributes, rules.map(|rules| &*rules.allow));
    let tags = shown(&found.tags, rules.map(|rules| &*rules.tags));
    let may = match rules {
        None => "every attribute and tag".to_owned(),
        Some(rules) => {
            format!("{}, tags {}", listed(rules.allow.iter()), listed(rules.tags.iter()))
        }
    };
    let detail = format!("the body changes {attributes}, tags {tags}; the key may change {may}");
    Note::new(detail, place).also(matter.key_place(&["attributes"]))
}
