//! A reader over one table of a file: takes its members by name, notes what is wrong with each and
//! goes on, and at its end reports the members that nobody took.
//!
//! ```
//! # use keygate::source::{Problems, Section, Source};
//! # let source = Source::new("f.toml", std::path::Path::new(""), "[[door]]\nname = \"front\"\n");
//! # let mut problems = Problems::default();
//! let mut file = Section::root(&source, &mut problems);
//! for door in file.tables("door") {
//!     let mut door = file.enter("[[door]]", door);
//!     let name = door.required_string("name");
//!     let locked = door.bool("locked").is_some_and(|locked| locked.value);
//!     # assert!(name.is_some() && !locked);
//! }
//! drop(file); // what was not taken is now in `problems`
//! # assert!(problems.is_empty());
//! ```
use super::nearest::nearest;
use super::problem::Problem;
use super::problem::Problems;
use super::syntax;
use super::syntax::Damage;
use super::text::Source;
use super::value::At;
use super::value::Span;
use super::value::Table;
use super::value::Value;

/// A table that is being read. Dropping it reports the members that were not taken.
#[derive(Debug)]
pub struct Section<'t, 'p> {
    source: &'t Source,
    problems: &'p mut Problems,
    label: &'static str,
    span: Span,
    members: Table<'t>,
    asked: Vec<&'static str>,
    root: Option<Root>,
    damaged: bool,
}

/// What a root remembers of syntax errors: what follows from them is not reported again.
#[derive(Debug)]
struct Root {
    problems_before: usize,
    damage: Damage,
}

impl Root {
    fn touches(&self, span: &Span) -> bool {
        let at = self.damage.lines.partition_point(|line| line.end < span.start);
        self.damage.lines.get(at).is_some_and(|line| line.start <= span.end)
    }
}

impl<'t> Section<'t, '_> {
    /// Parses a text. All its syntax errors are noted, and what could be read of it is the section.
    #[must_use]
    pub fn root<'p>(source: &'t Source, problems: &'p mut Problems) -> Section<'t, 'p> {
        Section::root_with(source, problems, |_, _| {})
    }

    /// Like [`Section::root`]; `change` can change the table before it is read.
    #[must_use]
    pub fn root_with<'p>(
        source: &'t Source,
        problems: &'p mut Problems,
        change: impl FnOnce(&mut Table<'t>, &mut Problems),
    ) -> Section<'t, 'p> {
        let (table, errors) = Table::parse_recoverable(&source.text);
        let span = 0..0;
        let damaged = !errors.is_empty();
        let damage = syntax::report(source, &errors, problems);
        let root = damaged.then(|| Root { problems_before: problems.len(), damage });
        let mut members = table.into_inner();
        change(&mut members, problems);
        let asked = Vec::new();
        Section { source, problems, label: "", span, members, asked, root, damaged }
    }

    /// Reads a table that stands inside this one. `label` is what to call it, as it is written:
    /// `[tls]`, `[[key]]`, `basic`.
    #[must_use]
    pub fn enter(&mut self, label: &'static str, table: At<Table<'t>>) -> Section<'t, '_> {
        Section {
            source: self.source,
            problems: self.problems,
            label,
            span: table.span,
            members: table.value,
            asked: Vec::new(),
            root: None,
            damaged: self.damaged,
        }
    }

    /// Where the table begins: its header.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// The text that it is read from.
    #[must_use]
    pub fn source(&self) -> &'t Source {
        self.source
    }

    /// Whether the text has syntax errors, so that what is missing may only have been unreadable.
    #[must_use]
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    /// Whether syntax errors cost more than single values, so that a member may stand in another
    /// table than it was meant for. Only a root knows.
    #[must_use]
    pub fn structurally_damaged(&self) -> bool {
        self.root.as_ref().is_some_and(|root| root.damage.structural)
    }

    /// Where to note what is wrong beyond the types.
    pub fn problems(&mut self) -> &mut Problems {
        self.problems
    }

    /// Notes a mistake at a place of the text.
    pub fn wrong(&mut self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::at(self.source, span.clone(), message).help(help));
    }

    /// Notes what is merely unwise.
    pub fn warn(&mut self, span: &Span, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(Problem::at(self.source, span.clone(), message).help(help).warning());
    }

    /// Where a member's name and its value stand, if it is there. Who looks for a member knows it,
    /// so that it is told to whoever mistypes it.
    pub fn peek(&mut self, name: &'static str) -> Option<(Span, Span)> {
        self.asked.push(name);
        self.members.get_key_value(name).map(|(key, value)| (key.span(), value.span()))
    }

    /// A table that stands for one that was not written.
    #[must_use]
    pub fn empty_table(&self) -> At<Table<'t>> {
        At { value: Table::new(), span: self.span() }
    }

    /// Takes a member whatever its type is.
    pub fn take(&mut self, name: &'static str) -> Option<At<Value<'t>>> {
        self.asked.push(name);
        let value = self.members.remove(name)?;
        let span = value.span();
        Some(At { value: value.into_inner(), span })
    }

    /// Takes a member of whose name the place is wanted too.
    pub fn take_entry(&mut self, name: &'static str) -> Option<(Span, At<Value<'t>>)> {
        self.asked.push(name);
        let (key, value) = self.members.remove_entry(name)?;
        let span = value.span();
        Some((key.span(), At { value: value.into_inner(), span }))
    }

    /// Notes that a member without which nothing can be done is not there.
    pub fn missing(&mut self, name: &str) {
        if !self.damaged {
            let whose = if self.label.is_empty() { "the file" } else { self.label };
            self.wrong(
                &self.span.clone(),
                format!("`{name}` is missing in {}", quoted(whose)),
                format!("add `{name} = …`"),
            );
        }
    }

    /// Notes that a table without which nothing can be done is not there.
    pub fn missing_table(&mut self, name: &str, with: &str) {
        if !self.damaged {
            let help = format!("add a section `[{name}]` with {with}");
            self.wrong(&self.span.clone(), format!("`[{name}]` is missing"), help);
        }
    }

    fn report_unknown(&mut self) {
        let mut unknown: Vec<_> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|(key, _)| At { span: key.span(), value: key.into_inner() })
            .collect();
        unknown.sort_by_key(|key| key.span.start);
        for key in unknown {
            let place = match self.label {
                "" => String::new(),
                label => format!(" in {}", quoted(label)),
            };
            let help = match nearest(&key.value, self.asked.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known here: {}", listed(&self.asked)),
            };
            self.wrong(&key.span, format!("unknown field `{}`{place}", key.value), help);
        }
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        if !self.members.is_empty() {
            self.report_unknown();
        }
        if let Some(root) = self.root.take() {
            let source = self.source;
            self.problems.retain(root.problems_before, |problem| match &problem.place {
                Some((place, span)) if place.name == source.name => !root.touches(span),
                _ => true,
            });
        }
    }
}

fn quoted(label: &str) -> String {
    if label == "the file" { label.to_owned() } else { format!("`{label}`") }
}

fn listed(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
