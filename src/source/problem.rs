//! A mistake in a file, with its place and its remedy.

use super::text::Source;
use super::value::Span;

/// One thing that is wrong, or (with `warning`) merely unwise.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Lower case, no full stop, the user's words in backticks.
    pub message: String,
    /// Where; `None` when there is no text to point at (a file that is missing).
    pub place: Option<(Source, Span)>,
    /// A second place that matters, with what it is ("first defined here").
    pub also: Option<(Source, Span, String)>,
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

    /// A mistake at a span of a source, or of a text that was added to it.
    #[must_use]
    pub fn at(source: &Source, span: Span, message: impl Into<String>) -> Self {
        let (source, span) = source.place(&span);
        Self { place: Some((source.clone(), span)), ..Self::new(message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Adds a second place.
    #[must_use]
    pub fn also(self, source: &Source, span: Span, label: impl Into<String>) -> Self {
        let (source, span) = source.place(&span);
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

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem] }
    }
}

impl From<Box<Problem>> for Problems {
    fn from(problem: Box<Problem>) -> Self {
        Self::from(*problem)
    }
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

    /// Whether anything that was added when there were `before` of them already stops a load.
    #[must_use]
    pub fn fatal_since(&self, before: usize) -> bool {
        self.list.iter().skip(before).any(|problem| !problem.warning)
    }

    /// How many there are, warnings among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// Forgets what does not hold.
    pub(super) fn retain(&mut self, from: usize, keep: impl Fn(&Problem) -> bool) {
        let mut at = 0;
        self.list.retain(|problem| {
            at += 1;
            at <= from || keep(problem)
        });
    }
}
