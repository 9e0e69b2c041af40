//! What the TOML parser complains of, each mistake once.

use toml::de::Error;

use super::problem::Problem;
use super::problem::Problems;
use super::text::Source;
use super::value::Span;

/// What syntax errors leave of a text.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// The lines that they are on, sorted: what a reader finds wrong there is a consequence.
    pub(super) lines: Vec<Span>,
    /// Whether more than values is lost: a member may stand in another table than it was meant for.
    pub(super) structural: bool,
}

/// Notes syntax errors.
pub(super) fn report(source: &Source, errors: &[Error], problems: &mut Problems) -> Damage {
    let mut structural = false;
    let mut lines: Vec<Span> = Vec::with_capacity(errors.len());
    // A list that is never closed takes the rest of the file for its elements: one mistake.
    let unclosed = errors.iter().any(|error| error.message().starts_with("unclosed array"));
    let mut in_list = false;
    // They come in the order in which they were found, not in that of the text.
    let mut errors: Vec<_> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = whole_lines(&source.text, &span);
        let repeats = in_list || lines.last().is_some_and(|last| line.start <= last.end);
        in_list |= unclosed && error.message().contains("array");
        if !repeats {
            problems.push(describe(source, span, error.message(), in_list));
        }
        structural |= in_list || !is_a_value(source, &line, error.message());
        lines.push(line);
    }
    lines.sort_by_key(|line| line.start);
    Damage { lines, structural }
}

/// What else the parser says of one value.
const ONE_VALUE: [&str; 5] =
    ["duplicate key", "invalid basic string", "invalid date", "invalid offset", "invalid time"];

/// Whether nothing but one value on this line could not be read.
fn is_a_value(source: &Source, line: &Span, message: &str) -> bool {
    let text = source.text.get(line.clone()).unwrap_or_default();
    let known = QUOTES.iter().chain(&ONE_VALUE);
    !text.trim_start().starts_with('[') && known.into_iter().any(|start| message.starts_with(start))
}

/// What the parser makes of a text without quotes, by what it begins with.
const QUOTES: [&str; 6] = [
    "string values must be quoted",
    "invalid boolean",
    "invalid date-time",
    "invalid float",
    "invalid integer number",
    "invalid mantissa",
];

fn describe(source: &Source, span: Span, message: &str, in_list: bool) -> Problem {
    let problem = Problem::at(source, span, message);
    match message {
        _ if in_list => problem.help("close the list before this with `]`"),
        _ if QUOTES.iter().any(|start| message.starts_with(start)) => {
            problem.help("put the value in quotes")
        }
        _ if message.starts_with("duplicate key") => {
            Problem { message: "this name stands twice in its table".to_owned(), ..problem }
                .help("keep one of them")
        }
        "invalid basic string, expected `\"`" => problem.help("close it with `\"`"),
        _ if message.starts_with("key with no value") => problem.help("write `name = value`"),
        _ => problem,
    }
}

/// The lines that a span touches, without the last line break.
fn whole_lines(text: &str, span: &Span) -> Span {
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    let end = text.get(span.end..).and_then(|after| after.find('\n'));
    start..end.map_or(text.len(), |at| span.end + at)
}
