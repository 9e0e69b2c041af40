//! A mistake in a file, with its place and its remedy.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A file as it was read, or a `--set` argument.
#[derive(Clone, Debug)]
pub struct Source {
    /// What to call it in a report: a path, or `--set listen.https`.
    pub name: Arc<str>,
    /// The directory that relative paths in it are relative to.
    pub directory: PathBuf,
    /// The text, whole.
    pub text: Arc<str>,
}

impl Source {
    /// The line and column (both from 1, the column in characters) of a byte offset.
    #[must_use]
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |rest| rest.chars().count()) + 1;
        (line, column)
    }
}

/// One thing that is wrong, or (with `warning`) merely unwise.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Lower case, no full stop, the user's words in backticks.
    pub message: String,
    /// Where; `None` when there is no text to point at (a file that is missing).
    pub place: Option<(Source, Range<usize>)>,
    /// A second place that matters, with what it is ("first defined here").
    pub also: Option<(Source, Range<usize>, String)>,
    /// What to write instead.
    pub help: Option<String>,
    /// A warning does not stop the load.
    pub warning: bool,
}

impl Problem {
    /// A mistake without a place in a text.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, also: None, help: None, warning: false }
    }

    /// A mistake at a span of a source.
    #[must_use]
    pub fn at(source: &Source, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { place: Some((source.clone(), span)), ..Self::new(message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds a second place.
    #[must_use]
    pub fn also(self, source: &Source, span: Range<usize>, label: impl Into<String>) -> Self {
        Self { also: Some((source.clone(), span, label.into())), ..self }
    }

    /// Makes it a warning.
    #[must_use]
    pub fn warning(self) -> Self {
        Self { warning: true, ..self }
    }
}

/// Everything that was found wrong in one run.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
    }

    /// Whether anything in it stops a load.
    #[must_use]
    pub fn fatal(&self) -> bool {
        self.list.iter().any(|problem| !problem.warning)
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}
