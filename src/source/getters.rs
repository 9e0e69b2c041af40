//! The typed getters of a [`Section`]: each gives a value and its place, or notes what was found
//! instead and what to write.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "every getter wants one or two types and refuses all others alike"
)]

use std::borrow::Cow;

use toml::Spanned;
use toml::value::Datetime;

use super::section::Section;
use super::value::At;
use super::value::Span;
use super::value::Table;
use super::value::Value;
use super::value::describe;

impl<'t> Section<'t, '_> {
    /// A string.
    pub fn string(&mut self, name: &'static str) -> Option<At<Cow<'t, str>>> {
        let at = self.take(name)?;
        self.as_string(name, at)
    }

    /// A string without which nothing can be done.
    pub fn required_string(&mut self, name: &'static str) -> Option<At<Cow<'t, str>>> {
        match self.take(name) {
            Some(at) => self.as_string(name, at),
            None => {
                self.missing(name);
                None
            }
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, name: &'static str) -> Option<At<bool>> {
        let at = self.take(name)?;
        match at.value {
            Value::Boolean(value) => Some(At { value, span: at.span }),
            other => self.mistyped(name, &At { value: other, span: at.span }, "`true` or `false`"),
        }
    }

    /// An integer that fits 64 bits.
    pub fn integer(&mut self, name: &'static str) -> Option<At<i64>> {
        let at = self.take(name)?;
        let number = match &at.value {
            Value::Integer(written) => i64::from_str_radix(written.as_str(), written.radix()).ok(),
            _ => return self.mistyped(name, &at, "an integer"),
        };
        if number.is_none() {
            self.wrong(&at.span, format!("`{name}` is too large"), "write a smaller number");
        }
        number.map(|value| At { value, span: at.span })
    }

    /// A date or a time, as TOML writes them without quotes.
    pub fn datetime(&mut self, name: &'static str) -> Option<At<Datetime>> {
        let at = self.take(name)?;
        match at.value {
            Value::Datetime(value) => Some(At { value, span: at.span }),
            _ => self.mistyped(
                name,
                &at,
                "a date or time without quotes, like `2027-02-20T10:00:00Z`",
            ),
        }
    }

    /// A list of strings.
    pub fn strings(&mut self, name: &'static str) -> Option<At<Vec<At<Cow<'t, str>>>>> {
        let at = self.take(name)?;
        match at.value {
            Value::Array(elements) => Some(self.elements(name, elements, at.span)),
            value if self.source().is_appended(&at.span) => {
                let span = at.span.clone();
                let one = self.as_string(name, At { value, span: at.span })?;
                Some(At { value: vec![one], span })
            }
            value => self.mistyped(name, &At { value, span: at.span }, "a list of strings"),
        }
    }

    /// A string, or a list of strings.
    pub fn string_or_strings(&mut self, name: &'static str) -> Option<At<Vec<At<Cow<'t, str>>>>> {
        let at = self.take(name)?;
        let span = at.span.clone();
        match at.value {
            Value::Array(elements) => Some(self.elements(name, elements, span)),
            value if self.source().is_appended(&span) || matches!(value, Value::String(_)) => {
                let one = self.as_string(name, At { value, span: span.clone() })?;
                Some(At { value: vec![one], span })
            }
            value => self.mistyped(name, &At { value, span }, "a string or a list of strings"),
        }
    }

    /// A table, not yet entered; see [`Section::enter`].
    pub fn table(&mut self, name: &'static str) -> Option<At<Table<'t>>> {
        let (key, at) = self.take_entry(name)?;
        match at.value {
            // The place of its name is a better place than all its lines.
            Value::Table(value) => Some(At { value, span: key }),
            value => self.mistyped(name, &At { value, span: at.span }, "a table"),
        }
    }

    /// The tables of a `[[name]]`, not yet entered; see [`Section::enter`].
    pub fn tables(&mut self, name: &'static str) -> Vec<At<Table<'t>>> {
        let Some(at) = self.take(name) else { return Vec::new() };
        match at.value {
            Value::Array(elements) => {
                let mut tables = Vec::with_capacity(elements.len());
                for element in elements {
                    let span = element.span();
                    match element.into_inner() {
                        Value::Table(value) => tables.push(At { value, span }),
                        value => {
                            self.mistyped::<()>(name, &At { value, span }, "a list of tables");
                        }
                    }
                }
                tables
            }
            value => {
                let found = describe(&value);
                self.wrong(
                    &at.span,
                    format!("`{name}` wants a list of tables, this is {found}"),
                    format!("begin each one with `[[{name}]]`"),
                );
                Vec::new()
            }
        }
    }

    /// A value that was taken, as a string.
    pub fn as_string(&mut self, name: &str, at: At<Value<'t>>) -> Option<At<Cow<'t, str>>> {
        match at.value {
            Value::String(value) => Some(At { value, span: at.span }),
            // An argument has no quotes: `--set tls.min_version=1.3` means the text.
            _ if self.source().is_appended(&at.span) => {
                Some(At { value: Cow::Borrowed(self.source().slice(&at.span)), span: at.span })
            }
            value => self.mistyped(name, &At { value, span: at.span }, "a string"),
        }
    }

    /// Notes that a value is of the wrong type.
    pub fn mistyped<T>(&mut self, name: &str, at: &At<Value<'t>>, wanted: &str) -> Option<T> {
        let found = describe(&at.value);
        let help = match (&at.value, wanted) {
            (Value::Table(_) | Value::Array(_), "a string") => "write one string in quotes".into(),
            (_, "a string") if self.source().shows(name) => {
                format!("put it in quotes: `\"{}\"`", self.source().slice(&at.span))
            }
            (_, "a string") => "put it in quotes".into(),
            (Value::String(text), "`true` or `false`") if text == "true" || text == "false" => {
                format!("remove the quotes: `{text}`")
            }
            (_, "a table") => "write a table, like `{ name = … }`".into(),
            _ => format!("write {wanted}"),
        };
        self.wrong(&at.span, format!("`{name}` wants {wanted}, this is {found}"), help);
        None
    }

    fn elements(
        &mut self,
        name: &str,
        elements: impl IntoIterator<Item = Spanned<Value<'t>>>,
        span: Span,
    ) -> At<Vec<At<Cow<'t, str>>>> {
        let mut strings = Vec::new();
        for element in elements {
            let at = At { span: element.span(), value: element.into_inner() };
            match at.value {
                Value::String(value) => strings.push(At { value, span: at.span }),
                value => {
                    let at = At { value, span: at.span };
                    self.mistyped::<()>(name, &at, "a list of strings");
                }
            }
        }
        At { value: strings, span }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::source::Problems;
    use crate::source::Source;

    fn read(text: &str, take: impl FnOnce(&mut Section<'_, '_>)) -> Vec<String> {
        let source = Source::new("f", Path::new(""), text);
        let mut problems = Problems::default();
        take(&mut Section::root(&source, &mut problems));
        problems.lines()
    }

    #[test]
    fn what_nobody_takes_is_reported_with_the_nearest_name() {
        let lines = read("certificat = 1\nother = 2\n", |section| {
            section.string("certificate");
            section.bool("strict");
        });
        assert_eq!(
            lines,
            [
                "f:1:1: unknown field `certificat` (did you mean `certificate`?)",
                "f:2:1: unknown field `other` (known here: `certificate`, `strict`)",
            ]
        );
    }

    #[test]
    fn a_wrong_type_says_what_was_found_and_what_to_write() {
        let text = "a = 1.3\nb = \"true\"\nc = []\nd = \"2027-01-01\"\ne = [1]\nf = {}\ng = 1\n\
                    h = 99999999999999999999\ni = 1\n";
        let lines = read(text, |section| {
            section.string("a");
            section.bool("b");
            section.integer("c");
            section.datetime("d");
            section.strings("e");
            section.string_or_strings("f");
            section.table("g");
            section.integer("h");
            section.tables("i");
        });
        assert_eq!(
            lines,
            [
                "f:1:5: `a` wants a string, this is a number with a fraction (put it in quotes: `\"1.3\"`)",
                "f:2:5: `b` wants `true` or `false`, this is a string (remove the quotes: `true`)",
                "f:3:5: `c` wants an integer, this is a list (write an integer)",
                "f:4:5: `d` wants a date or time without quotes, like `2027-02-20T10:00:00Z`, this is a string (write a date or time without quotes, like `2027-02-20T10:00:00Z`)",
                "f:5:6: `e` wants a list of strings, this is an integer (write a list of strings)",
                "f:6:5: `f` wants a string or a list of strings, this is a table (write a string or a list of strings)",
                "f:7:5: `g` wants a table, this is an integer (write a table, like `{ name = … }`)",
                "f:8:5: `h` is too large (write a smaller number)",
                "f:9:5: `i` wants a list of tables, this is an integer (begin each one with `[[i]]`)",
            ]
        );
    }

    #[test]
    fn reading_goes_on_after_a_syntax_error_and_reports_it_once() {
        let lines = read("a = \n[[k]]\nid = x\n[[k]]\nid = 7\n", |section| {
            section.string("a");
            for table in section.tables("k") {
                let mut table = section.enter("[[k]]", table);
                table.required_string("id");
                table.required_string("name");
            }
        });
        assert_eq!(
            lines,
            [
                "f:1:5: string values must be quoted, expected literal string (put the value in quotes)",
                "f:3:6: string values must be quoted, expected literal string (put the value in quotes)",
                "f:5:6: `id` wants a string, this is an integer (put it in quotes: `\"7\"`)",
            ]
        );
    }

    #[test]
    fn a_value_that_cannot_be_read_is_told_from_a_structure_that_cannot() {
        for (text, structural) in [
            ("[[k]]\na = b\n", false),
            ("[[k]]\na = 2027-02-30\n", false),
            ("[[k]]\na = \"x\n", false),
            ("[[k]]\na = 1\na = 2\n", false),
            ("[[k]\na = 1\n", true),
            ("[[k]]\na = [1\n[[k]]\n", true),
            ("[[k]]\na = \"\"\"x\n[[k]]\n", true),
            ("[[k]]\na\n", true),
        ] {
            read(text, |section| {
                assert_eq!(section.structurally_damaged(), structural, "{text}");
                section.take("k");
            });
        }
    }

    #[test]
    fn an_unclosed_list_is_one_mistake() {
        let lines = read("a = [1\n[tls]\nx = 1\ny = 2\n", |section| {
            section.take("a");
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }

    #[test]
    fn what_is_missing_is_missed_where_it_should_stand() {
        let lines = read("[[k]]\n[[k]]\nid = \"a\"\n", |section| {
            for table in section.tables("k") {
                section.enter("[[k]]", table).required_string("id");
            }
        });
        assert_eq!(lines, ["f:1:1: `id` is missing in `[[k]]` (add `id = …`)"]);
    }

    proptest! {
        #[test]
        fn any_text_can_be_read_and_reported(text in "([a-c]( = |\\.|=)?|\\[{1,2}[a-c]\\]{1,2}|[\"'{}\\[\\],\n\u{e9}#0-9]|\n){0,40}") {
            let source = Source::new("f", Path::new(""), &text);
            let mut problems = Problems::default();
            let mut section = Section::root(&source, &mut problems);
            section.string("a");
            for table in section.tables("b") {
                section.enter("[[b]]", table).strings("a");
            }
            drop(section);
            prop_assert_eq!(problems.render(false).is_empty(), problems.lines().is_empty());
        }
    }
}
