//! What a `[[route]]` asks of bodies, and the events that it stands for.

use std::borrow::Cow;
use std::collections::HashSet;

use super::reading::size;
use crate::gate::BodyRules;
use crate::gate::Pointer;
use crate::gate::PointerError;
use crate::source::At;
use crate::source::Section;
use crate::source::Span;

pub(super) fn read(section: &mut Section<'_, '_>) -> BodyRules {
    let kind = content_type(section);
    let rules = BodyRules {
        content_type: kind.as_ref().map(|at| at.value.clone()),
        permission_from: permission_from(section),
        events: events(section),
        events_from: pointers(section, "events_from", plain),
        attributes_from: pointers(section, "attributes_from", plain),
        tags_from: pointers(section, "tags_from", plain),
        max_body: None,
    };
    let max_body = size(section, "max_body");
    if let Some(max) = max_body.as_ref().filter(|_| !rules.inspects()) {
        let message = "`max_body` limits nothing: no rule of this route looks into the body";
        let help = "remove it, or add `permission_from`, `events_from`, `attributes_from` or \
                    `tags_from`";
        section.warn(&max.span, message, help);
    }
    if let Some(kind) = kind.filter(|kind| rules.inspects() && !is_json(&kind.value)) {
        let message = format!(
            "bodies of this route are judged as JSON, but an API reads `{}` as something else",
            kind.value
        );
        section.warn(&kind.span, message, "write `application/json`");
    }
    BodyRules { max_body: max_body.map(|at| at.value), ..rules }
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind.ends_with("+json")
}

/// One media type, in lower case.
fn content_type(section: &mut Section<'_, '_>) -> Option<At<Box<str>>> {
    let At { value, span } = section.string("content_type")?;
    if let Some((kind, _)) = value.split_once(';').filter(|(kind, _)| is_media_type(kind.trim())) {
        let message = format!("`{}` has parameters", value.escape_debug());
        let help = format!("write `{}`: what a client adds to it does not count", kind.trim());
        section.wrong(&span, message, help);
        return None;
    }
    if !is_media_type(&value) {
        let message = format!("`{}` is no media type", value.escape_debug());
        section.wrong(&span, message, "write one, like `application/json`");
        return None;
    }
    Some(At { value: value.to_ascii_lowercase().into(), span })
}

/// Two tokens (RFC 9110, section 8.3.1), neither of them a wildcard.
fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        let marks = b"!#$%&'+-.^_`|~";
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, name)| is_token(kind) && is_token(name))
}

/// The events that every request counts as.
fn events(section: &mut Section<'_, '_>) -> Vec<Box<str>> {
    let Some(list) = texts(section, "events", "name the events that a request counts as") else {
        return Vec::new();
    };
    let mut events = Vec::new();
    for At { value, span } in list {
        let problem = match &*value {
            "" => Some(("the name of an event is empty".to_owned(), "write its name")),
            name if name.chars().any(char::is_control) => {
                let message = format!("`{}` has a control character", name.escape_debug());
                Some((message, "write the name as the API sends it"))
            }
            _ => None,
        };
        match problem {
            Some((message, help)) => section.wrong(&span, message, help),
            None => events.push(value.into()),
        }
    }
    events
}

/// What more a kind of pointer must be: the help where it is not.
type Demand = fn(&Pointer) -> Option<(&'static str, &'static str)>;

fn plain(_: &Pointer) -> Option<(&'static str, &'static str)> {
    None
}

/// Each names one string: which permission is needed.
fn permission_from(section: &mut Section<'_, '_>) -> Vec<Pointer> {
    pointers(section, "permission_from", |pointer| match pointer.as_str() {
        "" => Some((
            "points at the whole body, which is no name of a permission",
            "point at the member that names it, like `/command`",
        )),
        text if text.split('/').any(|step| step == "*") => Some((
            "can find many strings, and a request needs one permission",
            "point at one member, like `/command`",
        )),
        _ => None,
    })
}

fn pointers(section: &mut Section<'_, '_>, field: &'static str, demand: Demand) -> Vec<Pointer> {
    let Some(list) = texts(section, field, "say where in the body to look, like `\"/command\"`")
    else {
        return Vec::new();
    };
    let mut pointers = Vec::new();
    for At { value, span } in list {
        match Pointer::parse(&value) {
            Ok(pointer) => match demand(&pointer) {
                Some((what, help)) => section.wrong(&span, format!("`{value}` {what}"), help),
                None => pointers.push(pointer),
            },
            Err(error) => report(section, &value, &span, &error),
        }
    }
    pointers
}

fn report(section: &mut Section<'_, '_>, text: &str, span: &Span, error: &PointerError) {
    let message = format!("`{}` is no JSON pointer: {error}", text.escape_debug());
    let help = match error {
        PointerError::Relative => format!("write `{}`", as_pointer(text).escape_debug()),
        PointerError::Escape => "write `~0` for `~`, and `~1` for `/` in a name".to_owned(),
    };
    section.wrong(span, message, help);
}

/// What was probably meant: `command`, `$.command` and `#/command` are `/command`.
fn as_pointer(text: &str) -> String {
    let path = match text.strip_prefix('$') {
        Some(path) => path.replace("[*]", "/*").replace('.', "/"),
        None => text.trim_start_matches('#').to_owned(),
    };
    match path.starts_with('/') {
        true => path,
        false => format!("/{path}"),
    }
}

/// A text or a list of them, at least one and none twice.
fn texts<'t>(
    section: &mut Section<'t, '_>,
    field: &'static str,
    help: &str,
) -> Option<Vec<At<Cow<'t, str>>>> {
    let before = section.problems().len();
    let list = section.string_or_strings(field)?;
    if list.value.is_empty() && section.problems().len() == before {
        let help = format!("leave `{field}` out, or {help}");
        section.wrong(&list.span, format!("`{field}` lists none"), help);
    }
    let mut seen = HashSet::new();
    let mut once = Vec::new();
    for at in list.value {
        match seen.insert(at.value.clone()) {
            true => once.push(at),
            false => {
                let message = format!("`{}` is listed twice", at.value.escape_debug());
                section.wrong(&at.span, message, "remove one of them");
            }
        }
    }
    Some(once)
}
