//! Rows of JSON objects, one a line.

use serde_json::Map;
use serde_json::Value;

use super::problem;
use super::row;
use super::row::Cell;
use super::row::Row;
use crate::source::Problems;

pub(super) fn rows(text: &str, name: &str, problems: &mut Problems) -> Vec<Row> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.filter_map(|(at, line)| row(line, at + 1, name, problems)).collect()
}

fn row(text: &str, line: usize, name: &str, problems: &mut Problems) -> Option<Row> {
    let members: Map<String, Value> = match serde_json::from_str(text) {
        Ok(Value::Object(members)) => members,
        Ok(_) => {
            let help = "write one object a line: `{\"account\": …, \"key\": …}`";
            problems.push(problem(name, line, "this is no JSON object").help(help));
            return None;
        }
        Err(error) => {
            let message = format!("this is no JSON, at column {}", error.column());
            problems.push(problem(name, line, message));
            return None;
        }
    };
    let mut cells = Vec::with_capacity(members.len());
    let mut sound = true;
    for (position, (member, value)) in members.into_iter().enumerate() {
        let read = row::column(&member, position + 1).and_then(|column| {
            let wrong = format!("`{column}` wants a string, a list of strings or true or false");
            cell(value).map(|cell| (column, cell)).map_err(|()| wrong)
        });
        match read {
            Ok((column, Some(cell))) => cells.push((column, cell)),
            Ok((_, None)) => {}
            Err(message) => {
                sound = false;
                problems.push(problem(name, line, message));
            }
        }
    }
    sound.then_some(Row { line, cells })
}

/// `None` is what says nothing.
fn cell(value: Value) -> Result<Option<Cell>, ()> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok((!text.is_empty()).then_some(Cell::Text(text))),
        Value::Bool(flag) => Ok(Some(Cell::Flag(flag))),
        Value::Array(items) => {
            let texts = items.into_iter().map(|item| match item {
                Value::String(text) => Ok(text),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => Err(()),
            });
            texts.collect::<Result<_, _>>().map(|texts| Some(Cell::List(texts)))
        }
        Value::Number(_) | Value::Object(_) => Err(()),
    }
}
