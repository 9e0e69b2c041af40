//! A text and where it comes from.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use super::mask;
use super::value::Span;

/// A file as it was read, or a `--set` argument.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to call it in a report: a path, or `--set`.
    pub name: Arc<str>,
    /// The directory that relative paths in it are relative to.
    pub directory: PathBuf,
    /// The text, whole.
    pub text: Arc<str>,
    /// Texts that add to this one. A span that begins at or after the end of `text` counts on
    /// through them, so that one number names a place in any of them.
    appended: Arc<[Self]>,
    /// The fields whose values a report may show; `None`: all of them.
    shown: Option<&'static [&'static str]>,
}

impl Source {
    /// A text that is in memory already.
    #[must_use]
    pub fn new(name: &str, directory: &Path, text: &str) -> Self {
        Self {
            name: name.into(),
            directory: directory.to_owned(),
            text: text.into(),
            appended: Arc::new([]),
            shown: None,
        }
    }

    /// The same text, whose string values never appear in a report unless they belong to one of
    /// these fields: for files in which a secret could stand.
    #[must_use]
    pub fn showing_only(self, fields: &'static [&'static str]) -> Self {
        Self { shown: Some(fields), ..self }
    }

    /// The fields whose values a report may show; `None`: all of them.
    #[must_use]
    pub fn shown(&self) -> Option<&'static [&'static str]> {
        self.shown
    }

    /// Whether a report may show the value of a field.
    #[must_use]
    pub fn shows(&self, field: &str) -> bool {
        mask::shows(field, self.shown)
    }

    /// The same text, with texts that add to it (see [`Source::place`]).
    #[must_use]
    pub fn with_appended(self, texts: Vec<Self>) -> Self {
        Self { appended: texts.into(), ..self }
    }

    /// The texts that add to this one, each with the offset at which its bytes begin to count.
    pub fn appended(&self) -> impl Iterator<Item = (usize, &Self)> {
        // One byte lies between two texts, so that the end of one is not the start of the next.
        self.appended.iter().scan(self.text.len() + 1, |base, text| {
            let at = *base;
            *base += text.text.len() + 1;
            Some((at, text))
        })
    }

    /// The text that a span is in, and the span counted from the start of that text.
    #[must_use]
    pub fn place(&self, span: &Span) -> (&Self, Span) {
        match self.appended().filter(|(base, _)| *base <= span.start).last() {
            Some((base, text)) => (text, span.start - base..span.end.saturating_sub(base)),
            None => (self, span.clone()),
        }
    }

    /// Whether a span is in a text that was added to this one.
    #[must_use]
    pub fn is_appended(&self, span: &Span) -> bool {
        span.start > self.text.len()
    }

    /// The bytes of a span.
    #[must_use]
    pub fn slice(&self, span: &Span) -> &str {
        let (source, span) = self.place(span);
        source.text.get(span).unwrap_or_default()
    }

    /// A path that stands at a span: what is relative is relative to the text's directory.
    #[must_use]
    pub fn path(&self, written: &str, span: &Span) -> PathBuf {
        self.place(span).0.directory.join(written)
    }

    /// The line and column (both from 1, the column in characters) of a byte offset. Reads the text
    /// up to there: for reports, not for every value.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |rest| rest.chars().count()) + 1;
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_after_the_text_is_in_an_appended_one() {
        let set = |text| Source::new("--set", Path::new(""), text);
        let source = Source::new("keygate.toml", Path::new("conf"), "workers = 0\n")
            .with_appended(vec![set("a=1"), set("bc=2")]);
        let bases: Vec<_> = source.appended().map(|(base, text)| (base, &*text.text)).collect();
        assert_eq!(bases, [(13, "a=1"), (17, "bc=2")]);
        assert_eq!(source.slice(&(0..7)), "workers");
        assert_eq!(source.slice(&(15..16)), "1");
        assert_eq!(source.slice(&(17..19)), "bc");
        assert_eq!(source.slice(&(20..21)), "2");
        assert!(source.is_appended(&(13..14)) && !source.is_appended(&(12..12)));
        assert_eq!(source.path("x", &(0..1)), Path::new("conf/x"));
        assert_eq!(source.path("x", &(13..14)), Path::new("x"));
    }

    #[test]
    fn columns_count_characters() {
        let source = Source::new("f", Path::new(""), "a\nné = 1\n");
        assert_eq!(source.line_column(0), (1, 1));
        assert_eq!(source.line_column(6), (2, 4));
        assert_eq!(source.line_column(1000), (3, 1));
    }
}
