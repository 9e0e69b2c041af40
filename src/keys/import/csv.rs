//! Rows of comma-separated values (RFC 4180); the first line names the columns.

use csv::ErrorKind;
use csv::ReaderBuilder;
use csv::StringRecord;
use csv::Trim;

use super::problem;
use super::row;
use super::row::Cell;
use super::row::Row;
use crate::source::Problems;

pub(super) fn rows(text: &str, name: &str, problems: &mut Problems) -> Vec<Row> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let Some(columns) = columns(reader.headers(), name, problems) else { return Vec::new() };
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                let line = usize::try_from(line).unwrap_or(usize::MAX);
                rows.push(Row { line, cells: cells(&columns, &record) });
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let line = usize::try_from(line).unwrap_or(usize::MAX);
                problems.push(problem(name, line, describe(error.kind())));
            }
        }
    }
    rows
}

fn columns(
    head: csv::Result<&StringRecord>,
    name: &str,
    problems: &mut Problems,
) -> Option<Vec<&'static str>> {
    let head = head.ok()?;
    if !head.iter().any(|name| row::COLUMNS.contains(&name)) {
        if !head.is_empty() {
            let help = format!("name them in it: `account,key`; known are {}", row::known());
            problems.push(problem(name, 1, "the first line names no columns").help(help));
        }
        return None;
    }
    let mut columns = Vec::with_capacity(head.len());
    for (position, text) in head.iter().enumerate() {
        match row::column(text, position + 1) {
            Ok(column) if columns.contains(&column) => {
                problems.push(problem(name, 1, format!("column `{column}` stands twice")));
            }
            Ok(column) => columns.push(column),
            Err(message) => problems.push(problem(name, 1, message)),
        }
    }
    (columns.len() == head.len()).then_some(columns)
}

fn cells(columns: &[&'static str], record: &StringRecord) -> Vec<(&'static str, Cell)> {
    let cells = columns.iter().zip(record).filter(|(_, text)| !text.is_empty());
    cells.map(|(column, text)| (*column, Cell::Text(text.to_owned()))).collect()
}

fn describe(kind: &ErrorKind) -> String {
    if let ErrorKind::UnequalLengths { expected_len, len, .. } = kind {
        format!("this line has {len} values, the first has {expected_len}")
    } else {
        "this line cannot be read".to_owned()
    }
}
