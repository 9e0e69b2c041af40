//! `[credentials]`: which carriers are on.

use http::HeaderName;

use super::reading::choice;
use super::reading::header;
use crate::gate::Anonymous;
use crate::gate::BasicUser;
use crate::gate::Credentials;
use crate::source::At;
use crate::source::Section;
use crate::source::Value;

pub(super) fn read(root: &mut Section<'_, '_>) -> Credentials {
    let table = root.table("credentials").unwrap_or_else(|| root.empty_table());
    let mut section = root.enter("[credentials]", table);
    let credentials = Credentials {
        bearer: section.bool("bearer").is_none_or(|at| at.value),
        basic: basic(&mut section),
        header: carrier(&mut section),
        tokens: section.bool("tokens").is_some_and(|at| at.value),
        requires_json: section.bool("requires_json").is_some_and(|at| at.value),
        realm: realm(&mut section).unwrap_or_else(|| "keygate".into()),
        anonymous: choice(
            &mut section,
            "anonymous",
            &[("refuse", Anonymous::Refuse), ("forward", Anonymous::Forward)],
        )
        .unwrap_or_default(),
    };
    if !credentials.uses_authorization() && credentials.header.is_none() {
        let span = section.span();
        let message = "no carrier is on, so that no key can be presented";
        section.warn(&span, message, "set `bearer = true`, `basic` or `header`");
    }
    credentials
}

fn basic(section: &mut Section<'_, '_>) -> Option<BasicUser> {
    let (key, at) = section.take_entry("basic")?;
    let table = match at.value {
        Value::Boolean(false) => return None,
        Value::Table(value) => At { value, span: key },
        Value::Boolean(true)
        | Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Datetime(_)
        | Value::Array(_) => {
            let help = "write `{ username = \"api\" }`, or `{ username = \"account\" }` where the \
                        account's id is the user name";
            section.wrong(&at.span, "`basic` wants the user name that goes with a key", help);
            return None;
        }
    };
    let mut basic = section.enter("basic", table);
    let At { value, span } = basic.required_string("username")?;
    if value.is_empty() || value.contains(':') || value.chars().any(char::is_control) {
        let message = format!("`{}` cannot be a user name", value.escape_debug());
        basic.wrong(&span, message, "write a name without `:` and control characters");
        return None;
    }
    match &*value {
        "account" => Some(BasicUser::Account),
        name => Some(BasicUser::Fixed(name.into())),
    }
}

fn carrier(section: &mut Section<'_, '_>) -> Option<HeaderName> {
    let at = section.take("header")?;
    if let Value::Boolean(false) = at.value {
        return None;
    }
    let at = section.as_string("header", at)?;
    header(section, "header", &at)
}

/// Quotes and backslashes as they are, what cannot be seen as an escape.
fn printable(c: char) -> String {
    if c.is_ascii_graphic() { c.to_string() } else { c.escape_debug().to_string() }
}

fn realm(section: &mut Section<'_, '_>) -> Option<Box<str>> {
    let At { value, span } = section.string("realm")?;
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
    if let Some(c) = value.chars().find(|c| !fits(*c)) {
        let message = format!("`{}` cannot stand in a realm", printable(c));
        section.wrong(&span, message, "write visible ASCII without quotes and backslashes");
        return None;
    }
    Some(value.into())
}
