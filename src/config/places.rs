//! Where fields stand in a text that was read: for whoever explains what follows from them.
//!
//! Reads the text once more, and only for that: what a field means is none of its business.

use std::fmt;
use std::sync::Arc;

use super::overrides;
use crate::source::Problems;
use crate::source::Source;
use crate::source::Span;
use crate::source::Table;
use crate::source::Value;

/// A file and a line of it, from 1; an argument has no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it was named, or `--set`.
    pub file: Arc<str>,
    /// The line.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

/// The places of one text.
#[derive(Debug)]
pub struct Places<'t> {
    source: &'t Source,
    table: Table<'t>,
}

impl<'t> Places<'t> {
    /// Finds them. What cannot be read has no place.
    #[must_use]
    pub fn of(source: &'t Source) -> Self {
        let mut table = Table::parse_recoverable(&source.text).0.into_inner();
        overrides::apply(source, &mut table, &mut Problems::default());
        Self { source, table }
    }

    /// The place of a field: the names that lead to it, where a number names an element of a list.
    #[must_use]
    pub fn field(&self, path: &[&str]) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let (key, value) = self.table.get_key_value(*first)?;
        let mut found = (key.span(), value);
        for step in rest {
            found = match found.1.get_ref() {
                Value::Table(table) => {
                    let (key, value) = table.get_key_value(*step)?;
                    (key.span(), value)
                }
                Value::Array(elements) => {
                    let value = elements.get(step.parse::<usize>().ok()?)?;
                    (value.span(), value)
                }
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_) => return None,
            };
        }
        Some(self.place(&found.0))
    }

    /// Which table of a `[[list]]` holds a span: its number.
    #[must_use]
    pub fn number(&self, list: &str, span: &Span) -> Option<usize> {
        let Value::Array(elements) = self.table.get(list)?.get_ref() else { return None };
        elements.iter().rposition(|element| element.span().start <= span.start)
    }

    fn place(&self, span: &Span) -> Place {
        let (source, inner) = self.source.place(span);
        let written = !self.source.is_appended(span);
        let line = written.then(|| source.line_column(inner.start).0);
        Place { file: Arc::clone(&source.name), line }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const TEXT: &str = "[keys]\nprefix = \"a\"\n\n[[route]]\npath = \"/a\"\nrate = { requests = 1 }\n\
                        # between\n[[route]]\n\npath = \"/b\"\n[route.in_flight]\nmax = 1\n";

    #[test]
    fn a_field_is_found_by_the_names_that_lead_to_it() {
        let source = Source::new("f.toml", Path::new(""), TEXT);
        let places = Places::of(&source);
        let line = |path: &[&str]| places.field(path).map(|place| place.to_string());
        assert_eq!(line(&["keys", "prefix"]).unwrap(), "f.toml:2");
        assert_eq!(line(&["route", "0"]).unwrap(), "f.toml:4");
        assert_eq!(line(&["route", "0", "rate"]).unwrap(), "f.toml:6");
        assert_eq!(line(&["route", "1"]).unwrap(), "f.toml:8");
        assert_eq!(line(&["route", "1", "path"]).unwrap(), "f.toml:10");
        assert_eq!(line(&["route", "1", "in_flight"]).unwrap(), "f.toml:11");
        assert_eq!(line(&["route", "1", "in_flight", "max"]).unwrap(), "f.toml:12");
        for path in [&["other"][..], &["route", "2"], &["keys", "prefix", "x"], &["route", "x"]] {
            assert_eq!(line(path), None, "{path:?}");
        }
        let second = TEXT.find("\"/b\"").unwrap();
        assert_eq!(places.number("route", &(second..second + 4)), Some(1));
        assert_eq!(places.number("key", &(0..1)), None);
    }

    #[test]
    fn what_an_argument_says_stands_there() {
        let source = Source::new("f.toml", Path::new(""), TEXT);
        let source = overrides::attach(source, &["keys.prefix=b".into(), "route.1.max=2".into()]);
        let places = Places::of(&source);
        let at = |path: &[&str]| places.field(path).unwrap().to_string();
        assert_eq!(at(&["keys", "prefix"]), "--set");
        assert_eq!(at(&["route", "1", "max"]), "--set");
        assert_eq!(at(&["route", "1"]), "f.toml:8");
    }
}
