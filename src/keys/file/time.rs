//! Instants, as TOML writes them.

use jiff::Timestamp;
use jiff::civil;
use jiff::tz;
use thiserror::Error;
use toml::value::Datetime;
use toml::value::Offset;

use crate::source::Section;
use crate::source::Span;

/// Why a text is no instant.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InstantError {
    /// A time of nowhere.
    #[error("it does not say in which time zone its time is: add `Z` if it is UTC")]
    Offset,
    /// Anything else.
    #[error("it is neither a date like `2027-02-20` nor a time like `2027-02-20T10:00:00Z`")]
    Form,
}

/// Reads a time with its offset (RFC 3339), or a date, which means its beginning in UTC.
///
/// # Errors
/// When it is neither.
pub fn parse_instant(text: &str) -> Result<Timestamp, InstantError> {
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    if let Ok(date) = civil::Date::strptime("%Y-%m-%d", text) {
        let midnight = date.to_datetime(civil::Time::midnight());
        return tz::Offset::UTC.to_timestamp(midnight).map_err(|_| InstantError::Form);
    }
    let floating = text.parse::<civil::DateTime>().is_ok();
    Err(if floating { InstantError::Offset } else { InstantError::Form })
}

/// An instant: a time with its offset, or a date, which means its beginning in UTC.
pub(super) fn instant(section: &mut Section<'_, '_>, field: &'static str) -> Option<Timestamp> {
    let at = section.datetime(field)?;
    convert(section, field, &at.value, &at.span)
}

/// As [`instant`], of a value that was read already; `None` where anything is wrong with it.
pub(super) fn plain(written: &Datetime) -> Option<Timestamp> {
    let floating = written.time.is_some() && written.offset.is_none();
    if floating { None } else { timestamp(written) }
}

pub(super) fn convert(
    section: &mut Section<'_, '_>,
    field: &str,
    written: &Datetime,
    span: &Span,
) -> Option<Timestamp> {
    let (message, help) = match (written.date, written.time, written.offset) {
        (Some(_), Some(_), None) => (
            format!("`{field}` does not say in which time zone its time is"),
            format!("add `Z` if it is UTC: `{written}Z`"),
        ),
        (None, ..) => {
            (format!("`{field}` has no date"), "write it like `2027-02-20T10:00:00Z`".to_owned())
        }
        (Some(_), ..) => match timestamp(written) {
            Some(timestamp) => return Some(timestamp),
            None => (
                format!("`{field}` is an instant that does not exist"),
                "write one like `2027-02-20T10:00:00Z`".to_owned(),
            ),
        },
    };
    section.wrong(span, message, help);
    None
}

fn timestamp(written: &Datetime) -> Option<Timestamp> {
    let date = written.date?;
    let small = |number: u8| i8::try_from(number).ok();
    let year = i16::try_from(date.year).ok()?;
    let date = civil::Date::new(year, small(date.month)?, small(date.day)?).ok()?;
    let time = match written.time {
        None => civil::Time::midnight(),
        Some(time) => {
            // A leap second is the end of its minute.
            let second = small(time.second.unwrap_or(0))?.min(59);
            let nanosecond = i32::try_from(time.nanosecond.unwrap_or(0)).ok()?;
            civil::Time::new(small(time.hour)?, small(time.minute)?, second, nanosecond).ok()?
        }
    };
    let offset = match written.offset {
        None | Some(Offset::Z) => tz::Offset::UTC,
        Some(Offset::Custom { minutes }) => {
            tz::Offset::from_seconds(i32::from(minutes) * 60).ok()?
        }
    };
    offset.to_timestamp(date.to_datetime(time)).ok()
}
