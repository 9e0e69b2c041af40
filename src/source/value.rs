//! A value and where it stands.

use std::ops::Range;

/// Bytes of a [`Source`](super::Source).
pub type Span = Range<usize>;

/// A value that was written somewhere.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> At<T> {
    /// Turns the value into another, at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> At<U> {
        At { value: change(self.value), span: self.span }
    }
}

/// A value as it was parsed, of any type.
pub type Value<'t> = toml::de::DeValue<'t>;
/// A table as it was parsed; see [`Section`](super::Section).
pub type Table<'t> = toml::de::DeTable<'t>;

/// What a value is, for people.
pub(super) fn describe(value: &Value<'_>) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "an integer",
        Value::Float(_) => "a number with a fraction",
        Value::Boolean(_) => "`true` or `false`",
        Value::Datetime(_) => "a date or time",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
