//! Edits of a text by the places at which things stand in it. Pure.
//!
//! What an edit must not touch is compared before and after: a layout that is not understood is an
//! error, never a changed file.

use toml::Spanned;

use crate::source::Problem;
use crate::source::Problems;
use crate::source::Section;
use crate::source::Source;
use crate::source::Span;
use crate::source::Table;
use crate::source::Value;

type Result<T> = std::result::Result<T, Box<Problem>>;

/// Which list of a key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Accounts,
    Keys,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Accounts => "account",
            Self::Keys => "key",
        }
    }
}

/// Adds blocks at the end of the text.
pub(super) fn append(source: &Source, list: List, blocks: &[String]) -> Result<String> {
    let name = list.name();
    if let Some(at) = read(source)?.get(name)
        && !source.slice(&at.span()).starts_with("[[")
    {
        let message = format!("`{name}` is not written as `[[{name}]]`, so nothing can be added");
        let help = format!("begin each record with a line `[[{name}]]`");
        return Err(Box::new(Problem::at(source, at.span(), message).help(help)));
    }
    let line_end = line_end(source);
    let mut text = source.text.to_string();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(line_end);
    }
    for block in blocks {
        if !text.trim().is_empty() {
            text.push_str(line_end);
        }
        text.push_str(&block.replace('\n', line_end));
    }
    Ok(text)
}

/// Gives a field of a record a value: in the place of the old one, or on a line after the others.
pub(super) fn set(
    source: &Source,
    list: List,
    id: &str,
    field: &'static str,
    value: &str,
) -> Result<String> {
    let mut before = read(source)?;
    let found = find(source, &mut before, list, id)?;
    let (at, inserted) = match found.table.get(field) {
        Some(old) => (old.span(), value.to_owned()),
        None => insertion(source, &found.span, found.table, field, value),
    };
    let mut text = source.text.to_string();
    text.replace_range(at, &inserted);
    found.table.remove(field);
    let place = found.span;
    verify(source, &place, &before, &text, |changed, after| {
        find(changed, after, list, id).is_ok_and(|found| found.table.remove(field).is_some())
    })?;
    Ok(text)
}

/// Removes a record, and the blank line after it.
pub(super) fn remove(source: &Source, list: List, id: &str) -> Result<String> {
    let mut before = read(source)?;
    let found = find(source, &mut before, list, id)?;
    let place = found.span.clone();
    if !source.slice(&place).starts_with("[[") {
        let message = format!("the record of `{id}` is in a list, from which nothing is removed");
        return Err(Box::new(Problem::at(source, place, message).help("remove it with an editor")));
    }
    let start = line_start(source, place.start);
    let mut end = after_line(source, last_byte(found.table).max(place.end));
    let blank_before = source.text.get(..start).is_some_and(|before| {
        before.is_empty() || before.ends_with("\n\n") || before.ends_with("\n\r\n")
    });
    while blank_before && is_blank_line(source, end) {
        end = after_line(source, end);
    }
    let mut text = source.text.to_string();
    text.replace_range(start..end, "");
    if text.trim().is_empty() {
        // A file without a word in it looks like an accident.
        text = format!("# no keys{}", line_end(source));
    }
    let position = found.position;
    take_record(&mut before, list, position);
    verify(source, &place, &before, &text, |_, _| true)?;
    Ok(text)
}

struct Found<'a, 't> {
    span: Span,
    position: usize,
    table: &'a mut Table<'t>,
}

fn read(source: &Source) -> Result<Table<'_>> {
    Table::parse(&source.text).map(Spanned::into_inner).map_err(|error| {
        // The same complaint as everywhere else; the first of them will do.
        let mut problems = Problems::default();
        drop(Section::root(source, &mut problems));
        let first = problems.iter().find(|problem| problem.place.is_some()).cloned();
        Box::new(first.unwrap_or_else(|| Problem::new(error.message())))
    })
}

fn find<'a, 't>(
    source: &Source,
    root: &'a mut Table<'t>,
    list: List,
    id: &str,
) -> Result<Found<'a, 't>> {
    let name = list.name();
    let records = root.get_mut(name).and_then(|at| match at.get_mut() {
        Value::Array(records) => Some(records),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => None,
    });
    let mut matches = records.into_iter().flat_map(|list| list.iter_mut().enumerate()).filter_map(
        |(position, record)| {
            let span = record.span();
            let Value::Table(table) = record.get_mut() else { return None };
            let same = table.get("id").and_then(|at| at.get_ref().as_str()) == Some(id);
            same.then_some(Found { span, position, table })
        },
    );
    let Some(found) = matches.next() else {
        return Err(Box::new(Problem::new(format!("`{}` has no {name} `{id}`", source.name))));
    };
    match matches.next() {
        None => Ok(found),
        Some(second) => Err(Box::new(
            Problem::at(source, second.span, format!("{name} `{id}` is defined twice"))
                .also(source, found.span, "first defined here")
                .help("give one of them another id"),
        )),
    }
}

/// Where and how a new field is written: after the last one that has a plain value, which is
/// always before the record's own tables.
fn insertion(
    source: &Source,
    record: &Span,
    table: &Table<'_>,
    field: &str,
    value: &str,
) -> (Span, String) {
    let plain = table
        .iter()
        .filter(|(_, value)| !matches!(value.get_ref(), Value::Table(_) | Value::Array(_)));
    let last = plain.max_by_key(|(_, value)| value.span().end);
    let (key, end) =
        last.map_or((record.end, record.end), |(key, value)| (key.span().start, value.span().end));
    if !source.slice(record).starts_with("[[") {
        return (end..end, format!(", {field} = {value}"));
    }
    let line = line_start(source, key);
    let indent: String =
        source.slice(&(line..key)).chars().take_while(|c| *c == ' ' || *c == '\t').collect();
    let at = after_line(source, end);
    let line_end = line_end(source);
    let before = source.text.get(..at).is_some_and(|before| !before.ends_with('\n'));
    let before = if before { line_end } else { "" };
    (at..at, format!("{before}{indent}{field} = {value}{line_end}"))
}

/// Compares what must be the same before and after.
fn verify(
    source: &Source,
    place: &Span,
    before: &Table<'_>,
    text: &str,
    undo: impl FnOnce(&Source, &mut Table<'_>) -> bool,
) -> Result<()> {
    let changed = Source::new(&source.name, &source.directory, text);
    let same = match Table::parse(&changed.text).map(Spanned::into_inner) {
        Ok(mut after) => undo(&changed, &mut after) && same_table(before, &after),
        Err(_) => false,
    };
    if same {
        return Ok(());
    }
    Err(Box::new(
        Problem::at(source, place.clone(), "this record is laid out so that it cannot be edited")
            .help("keep its lines together, or change it with an editor"),
    ))
}

fn same_table(a: &Table<'_>, b: &Table<'_>) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, a)| {
            b.get(&**name.get_ref()).is_some_and(|b| same(a.get_ref(), b.get_ref()))
        })
}

fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Table(a), Value::Table(b)) => same_table(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len()
                && a.iter().zip(b.iter()).all(|(a, b)| same(a.get_ref(), b.get_ref()))
        }
        (Value::String(a), Value::String(b)) => a == b,
        (Value::Integer(a), Value::Integer(b)) => a.as_str() == b.as_str(),
        (Value::Float(a), Value::Float(b)) => a.as_str() == b.as_str(),
        (Value::Boolean(a), Value::Boolean(b)) => a == b,
        (Value::Datetime(a), Value::Datetime(b)) => a == b,
        _ => false,
    }
}

fn take_record(root: &mut Table<'_>, list: List, position: usize) {
    let Some((name, at)) = root.remove_entry(list.name()) else { return };
    let span = at.span();
    let Value::Array(records) = at.into_inner() else { return };
    let kept = records.into_iter().enumerate().filter(|(at, _)| *at != position);
    let kept: Vec<_> = kept.map(|(_, record)| record).collect();
    if !kept.is_empty() {
        root.insert(name, Spanned::new(span, Value::Array(kept.into_iter().collect())));
    }
}

/// The last byte of everything that belongs to a record.
fn last_byte(table: &Table<'_>) -> usize {
    fn end(value: &Spanned<Value<'_>>) -> usize {
        let inside = match value.get_ref() {
            Value::Table(table) => last_byte(table),
            Value::Array(list) => list.iter().map(end).max().unwrap_or(0),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_) => 0,
        };
        inside.max(value.span().end)
    }
    table.iter().map(|(_, value)| end(value)).max().unwrap_or(0)
}

fn line_end(source: &Source) -> &'static str {
    if source.text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn line_start(source: &Source, at: usize) -> usize {
    source.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

fn after_line(source: &Source, at: usize) -> usize {
    let rest = source.text.get(at..).and_then(|rest| rest.find('\n'));
    rest.map_or(source.text.len(), |line| at + line + 1)
}

fn is_blank_line(source: &Source, at: usize) -> bool {
    let rest = source.text.get(at..).unwrap_or_default();
    rest.split_once('\n').is_some_and(|(line, _)| line.trim().is_empty())
}
