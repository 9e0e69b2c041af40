//! `--set PATH=VALUE`: changes to the file before it is read, so that they are judged like the file
//! and reported at their own text.

use std::borrow::Cow;

use toml::Spanned;

use crate::source::Problem;
use crate::source::Problems;
use crate::source::Source;
use crate::source::Span;
use crate::source::Table;
use crate::source::Value;

/// The file's text together with the arguments'.
pub(super) fn attach(file: Source, overrides: &[String]) -> Source {
    // A path means what it would mean in the place of the one that it replaces.
    let from = file.directory.clone();
    let texts = overrides.iter().map(|text| Source::new("--set", &from, text)).collect();
    file.with_appended(texts)
}

/// Changes the table as the arguments say. Names that nobody knows are found when it is read.
pub(super) fn apply<'t>(source: &'t Source, table: &mut Table<'t>, problems: &mut Problems) {
    for (base, argument) in source.appended() {
        let text: &'t str = &argument.text;
        let Some((path, value)) = text.split_once('=') else {
            let span = 0..text.len();
            let message = format!("`{}` is no setting", text.escape_debug());
            let help = "write `PATH=VALUE`, like `listen.https=127.0.0.1:8443`";
            problems.push(Problem::at(argument, span, message).help(help));
            continue;
        };
        let mut steps = Vec::new();
        let mut at = base;
        for step in path.split('.') {
            let leading = step.len() - step.trim_start().len();
            let name = step.trim();
            steps.push((name, at + leading..at + leading + name.len()));
            at += step.len() + 1;
        }
        let start = base + path.len() + 1;
        let value = Spanned::new(start..base + text.len(), scalar(value));
        if let Err((span, message)) = set(table, &steps, value) {
            let help = "name a field by its section and name, like `listen.https`";
            problems.push(Problem::at(source, span, message).help(help));
        }
    }
}

/// TOML where it is a scalar, else the text itself.
fn scalar(text: &str) -> Value<'_> {
    match Value::parse(text.trim()).map(Spanned::into_inner) {
        Ok(Value::Array(_) | Value::Table(_)) | Err(_) => Value::String(Cow::Borrowed(text)),
        Ok(value) => value,
    }
}

fn set<'t>(
    table: &mut Table<'t>,
    steps: &[(&'t str, Span)],
    value: Spanned<Value<'t>>,
) -> Result<(), (Span, String)> {
    let Some(((name, span), rest)) = steps.split_first() else { return Ok(()) };
    if name.is_empty() {
        return Err((span.start..span.start + 1, "a name is empty".to_owned()));
    }
    if rest.is_empty() {
        // The name too is the argument's, so that a name that nobody knows is shown there.
        table.remove(*name);
        table.insert(Spanned::new(span.clone(), Cow::Borrowed(*name)), value);
        return Ok(());
    }
    if !table.contains_key(*name) {
        let empty = Spanned::new(span.clone(), Value::Table(Table::new()));
        table.insert(Spanned::new(span.clone(), Cow::Borrowed(*name)), empty);
    }
    match table.get_mut(*name).map(Spanned::get_mut) {
        Some(Value::Table(inner)) => set(inner, rest, value),
        Some(Value::Array(elements)) => {
            let Some(((step, at), rest)) = rest.split_first() else { return Ok(()) };
            let count = elements.len();
            let missing =
                || (at.clone(), format!("`{name}` has {count} elements, and no `{step}`"));
            let element = step.parse().ok().and_then(|step: usize| elements.get_mut(step));
            let element = element.ok_or_else(missing)?.get_mut();
            if rest.is_empty() {
                *element = value.into_inner();
                return Ok(());
            }
            match element {
                Value::Table(inner) => set(inner, rest, value),
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => Err((at.clone(), format!("`{name}.{step}` is not a table"))),
            }
        }
        // `basic = false` in the file gives way to `--set credentials.basic.username=api`.
        Some(other) => {
            let mut inner = Table::new();
            set(&mut inner, rest, value)?;
            *other = Value::Table(inner);
            Ok(())
        }
        None => Ok(()),
    }
}
