//! Problems as people read them: with the line and a caret, or one line each for a log.

use std::fmt::Write as _;

use annotate_snippets::AnnotationKind;
use annotate_snippets::Group;
use annotate_snippets::Level;
use annotate_snippets::Renderer;
use annotate_snippets::Snippet;

use super::mask::mask;
use super::problem::Problem;
use super::problem::Problems;
use super::text::Source;
use super::value::Span;

/// A report with more than this is one that nobody reads.
const MOST: usize = 100;

impl Problems {
    /// All of them with the offending lines: what `check` prints. Errors come before warnings, and
    /// each by file and line.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        let sorted = self.sorted();
        for problem in sorted.iter().take(MOST) {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}\n", problem.render(&renderer));
        }
        if let Some(more) = sorted.len().checked_sub(MOST).filter(|more| *more > 0) {
            let _ = writeln!(text, "and {more} more like these\n");
        }
        text
    }

    /// One line each, for a log: `path:line:column: message (help)`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.reported().map(Problem::line).collect()
    }

    /// Those that a report shows, errors first: a place takes reading its text, so that not every
    /// one of a million can be shown.
    pub fn reported(&self) -> impl Iterator<Item = &Problem> {
        self.sorted().into_iter().take(MOST)
    }

    /// `2 errors, 1 warning`, for a summary; empty when there is nothing.
    #[must_use]
    pub fn tally(&self) -> String {
        let warnings = self.iter().filter(|problem| problem.warning).count();
        let errors = self.len() - warnings;
        let count = |n: usize, name: &str| match n {
            0 => None,
            1 => Some(format!("1 {name}")),
            n => Some(format!("{n} {name}s")),
        };
        let parts: Vec<_> =
            [count(errors, "error"), count(warnings, "warning")].into_iter().flatten().collect();
        parts.join(", ")
    }

    fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<_> = self.iter().collect();
        sorted.sort_by_key(|problem| {
            let place = problem.place.as_ref();
            (problem.warning, place.map(|(source, span)| (source.name.clone(), span.start)))
        });
        sorted
    }
}

impl Problem {
    /// One line for a log, without the text that it is about.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::new();
        if let Some((source, span)) = &self.place {
            line = format!("{}: ", locate(source, span));
        }
        line.push_str(&self.message);
        if let Some((source, span, label)) = &self.also {
            let _ = write!(line, " ({label} at {})", locate(source, span));
        }
        if let Some(help) = &self.help {
            let _ = write!(line, " ({help})");
        }
        line
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = if self.warning { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(self.message.as_str());
        let excerpts = self.excerpts();
        let group = match excerpts.as_slice() {
            [] => Group::with_title(title),
            excerpts => title.elements(excerpts.iter().map(Excerpt::snippet)),
        };
        let group = match &self.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        };
        renderer.render(&[group])
    }

    fn excerpts(&self) -> Vec<Excerpt> {
        let place = self.place.as_ref();
        let mut excerpts: Vec<_> =
            place.map(|(source, span)| Excerpt::new(source, span, None)).into_iter().collect();
        if let Some((source, span, label)) = &self.also {
            excerpts.push(Excerpt::new(source, span, Some(label)));
        }
        excerpts
    }
}

fn locate(source: &Source, span: &Span) -> String {
    let (line, column) = source.line_column(span.start);
    format!("{}:{line}:{column}", source.name)
}

/// The line on which a span begins, cut out of its text, which can be large.
struct Excerpt {
    name: String,
    line: usize,
    text: String,
    span: Span,
    label: Option<String>,
}

impl Excerpt {
    fn new(source: &Source, span: &Span, label: Option<&str>) -> Self {
        let before = source.text.get(..span.start).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = source.text.get(start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let span = span.start.saturating_sub(start)..span.end.saturating_sub(start).min(line.len());
        Self {
            name: source.name.to_string(),
            line: source.line_column(start).0,
            text: mask(line, source.shown()),
            span: span.start.min(line.len())..span.end.max(span.start).min(line.len()),
            label: label.map(str::to_owned),
        }
    }

    fn snippet(&self) -> Snippet<'_, annotate_snippets::Annotation<'_>> {
        let kind =
            if self.label.is_some() { AnnotationKind::Context } else { AnnotationKind::Primary };
        Snippet::source(self.text.as_str())
            .path(self.name.as_str())
            .line_start(self.line)
            .annotation(kind.span(self.span.clone()).label(self.label.as_deref()))
    }
}
