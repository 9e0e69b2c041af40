//! What the readers of all sections share: values with units, taken from a [`Section`].

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::credential;
use super::units;
use super::units::Wrong;
use crate::source::At;
use crate::source::Section;
use crate::source::Span;
use crate::source::Value;

/// Notes what is wrong with a text, or gives what it says.
pub(super) fn judge<T>(
    section: &mut Section<'_, '_>,
    span: &Span,
    result: Result<T, Wrong>,
) -> Option<T> {
    result.map_err(|Wrong { message, help }| section.wrong(span, message, help)).ok()
}

/// A duration, or the default.
pub(super) fn duration_or(
    section: &mut Section<'_, '_>,
    name: &'static str,
    default: Duration,
) -> Duration {
    duration(section, name).unwrap_or(default)
}

/// A duration, if there is one.
pub(super) fn duration(section: &mut Section<'_, '_>, name: &'static str) -> Option<Duration> {
    let at = section.take(name)?;
    if let Value::Integer(number) = &at.value
        && !section.source().is_appended(&at.span)
    {
        let help = format!("write a unit: `\"{number}s\"`");
        section.wrong(&at.span, format!("`{name}` wants a duration, this is a number"), help);
        return None;
    }
    let text = section.as_string(name, at)?;
    let result = units::duration(&text.value);
    judge(section, &text.span, result)
}

/// A duration after which something is given up: it cannot be zero.
pub(super) fn deadline(section: &mut Section<'_, '_>, name: &'static str) -> Option<At<Duration>> {
    let (_, at) = section.peek(name)?;
    let duration = duration(section, name)?;
    if duration.is_zero() {
        section.wrong(
            &at,
            format!("`{name}` cannot be zero"),
            "write how long to wait, like `10s`",
        );
        return None;
    }
    Some(At { value: duration, span: at })
}

/// A size in bytes, which cannot be zero: a text with a unit, or a number.
pub(super) fn size(section: &mut Section<'_, '_>, name: &'static str) -> Option<At<usize>> {
    let at = section.take(name)?;
    let span = at.span.clone();
    let text = if let Value::Integer(number) = &at.value
        && number.radix() == 10
    {
        number.as_str().to_owned().into()
    } else {
        section.as_string(name, at)?.value
    };
    let value = judge(section, &span, units::size(&text))?;
    if value == 0 {
        section.wrong(&span, format!("`{name}` cannot be zero"), "write a size, like `1MiB`");
        return None;
    }
    Some(At { value, span })
}

/// A share: a number from 0 to 1.
pub(super) fn share(section: &mut Section<'_, '_>, name: &'static str) -> Option<f64> {
    let at = section.take(name)?;
    let number = match &at.value {
        Value::Float(number) => number.as_str().parse::<f64>().ok(),
        Value::Integer(number) => number.as_str().parse().ok(),
        Value::String(text) if section.source().is_appended(&at.span) => text.parse().ok(),
        Value::String(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => {
            return section.mistyped(name, &at, "a number from 0 to 1, like `0.1`");
        }
    };
    let share = number.filter(|number| (0.0..=1.0).contains(number));
    if share.is_none() {
        let written = section.source().slice(&at.span);
        let help = "write a number from 0, which is none, to 1, which is all";
        section.wrong(&at.span, format!("`{name}` cannot be {written}"), help);
    }
    share
}

/// A number from 1.
pub(super) fn count(section: &mut Section<'_, '_>, name: &'static str) -> Option<u32> {
    if section.peek(name).is_none() {
        section.missing(name);
    }
    let At { value, span } = section.integer(name)?;
    let count = u32::try_from(value).ok().filter(|count| *count > 0);
    if count.is_none() {
        let help = match value < 1 {
            true => "write a number from 1".to_owned(),
            false => format!("write at most {}", u32::MAX),
        };
        section.wrong(&span, format!("`{name}` cannot be {value}"), help);
    }
    count
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    section: &mut Section<'_, '_>,
    name: &'static str,
    choices: &[(&str, T)],
) -> Option<T> {
    let At { value, span } = section.string(name)?;
    if let Some((_, chosen)) = choices.iter().find(|(word, _)| *word == value) {
        return Some(*chosen);
    }
    let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
    let help = format!("write one of {}", words.join(", "));
    section.wrong(&span, format!("`{name}` cannot be `{}`", value.escape_debug()), help);
    None
}

/// A path, or a credential of the service; what is relative is relative to the file that names it.
pub(super) fn path(section: &mut Section<'_, '_>, name: &'static str) -> Option<At<PathBuf>> {
    let at = section.string(name)?;
    as_path(section, name, &at)
}

/// A path that was taken as text.
pub(super) fn as_path(
    section: &mut Section<'_, '_>,
    name: &str,
    at: &At<impl AsRef<str>>,
) -> Option<At<PathBuf>> {
    let text = at.value.as_ref();
    if text.is_empty() || text.contains('\0') {
        section.wrong(&at.span, format!("`{name}` names no file"), "write a path");
        return None;
    }
    let value = match credential::path(text) {
        Some(path) => judge(section, &at.span, path)?,
        None => section.source().path(text, &at.span),
    };
    Some(At { value, span: at.span.clone() })
}

/// The name of a header.
pub(super) fn header(
    section: &mut Section<'_, '_>,
    name: &str,
    at: &At<impl AsRef<str>>,
) -> Option<HeaderName> {
    let text = at.value.as_ref();
    let Ok(header) = HeaderName::from_bytes(text.as_bytes()) else {
        let message = format!("`{}` is not the name of a header", text.escape_debug());
        section.wrong(&at.span, message, "write letters, digits and `-`, like `X-Account-Id`");
        return None;
    };
    if FRAMING.contains(&fold(header.as_str()).as_str()) {
        let message = format!("`{text}` cannot be `{name}`: HTTP itself uses it");
        section.wrong(&at.span, message, "write a name of your own, like `X-Account-Id`");
        return None;
    }
    Some(header)
}

/// What HTTP needs to carry a message at all, and the header that carriers of its own use.
pub(super) const FRAMING: [&str; 13] = [
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A header's name as frameworks read it: without case, and every mark the same.
pub(super) fn fold(name: &str) -> String {
    name.to_ascii_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}
