//! Keys that others made: from a table or from JSON to records, or to everything that is wrong.
//!
//! What is read may be the keys themselves, so nothing of it is ever quoted: a report names the
//! line and the column.

mod convert;
mod csv;
mod json;
mod row;

use std::collections::HashMap;

use jiff::Timestamp;

use super::digest::Digester;
use super::record::AccountId;
use super::record::KeyRecord;
use super::token::ApiKey;
use super::token::KeyPrefix;
use crate::source::Problem;
use crate::source::Problems;

/// How the input is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated, the first line naming the columns (RFC 4180).
    Csv,
    /// One JSON object a line.
    JsonLines,
}

/// What is known of the input, and what it must fit.
pub struct Rules<'a> {
    /// What to call the input in a report.
    pub name: &'a str,
    /// Whose the keys are that do not say.
    pub account: Option<&'a AccountId>,
    /// The algorithm of digests that do not say: `sha256` or `hmac-sha256`.
    pub algorithm: Option<&'a str>,
    /// What is stored.
    pub digester: &'a Digester,
    /// Of our own keys, whose checksum can be tried.
    pub prefix: &'a KeyPrefix,
    /// Whether a key could be presented at all.
    pub fits: &'a dyn Fn(&ApiKey<'_>) -> bool,
    /// Whether an account exists.
    pub account_exists: &'a dyn Fn(&AccountId) -> bool,
    /// Whether Basic wants the account as the user name, so that profile keys cannot come by it.
    pub basic_names_account: bool,
    /// When the keys count as made that do not say.
    pub now: Timestamp,
}

/// Reads all keys of an input. Where anything is wrong, what is returned is not all.
#[must_use]
pub fn read<'k>(
    text: &str,
    format: Format,
    rules: &Rules<'_>,
    existing: impl Iterator<Item = &'k KeyRecord>,
    problems: &mut Problems,
) -> Vec<KeyRecord> {
    let rows = match format {
        Format::Csv => csv::rows(text, rules.name, problems),
        Format::JsonLines => json::rows(text, rules.name, problems),
    };
    if rows.is_empty() && !problems.fatal() {
        problems.push(Problem::new(format!("`{}` holds no keys", rules.name)));
    }
    let mut seen = Seen::of(existing);
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let line = row.line;
        if let Some(record) = convert::record(row, rules, problems)
            && seen.is_new(&record, line, rules.name, problems)
        {
            records.push(record);
        }
    }
    records
}

/// `NAME:LINE: message`.
fn problem(name: &str, line: usize, message: impl AsRef<str>) -> Problem {
    Problem::new(format!("`{name}` line {line}: {}", message.as_ref()))
}

/// Where ids and digests stand already.
struct Seen {
    ids: HashMap<Box<str>, Option<usize>>,
    digests: HashMap<[u8; 32], (Box<str>, Option<usize>)>,
}

impl Seen {
    fn of<'k>(existing: impl Iterator<Item = &'k KeyRecord>) -> Self {
        let mut seen = Self { ids: HashMap::new(), digests: HashMap::new() };
        for record in existing {
            seen.ids.insert(record.id.as_str().into(), None);
            seen.digests.insert(*record.digest.as_bytes(), (record.id.as_str().into(), None));
        }
        seen
    }

    fn is_new(
        &mut self,
        record: &KeyRecord,
        line: usize,
        name: &str,
        problems: &mut Problems,
    ) -> bool {
        let id: Box<str> = record.id.as_str().into();
        let same_id = self.ids.insert(id.clone(), Some(line));
        let same_key = self.digests.insert(*record.digest.as_bytes(), (id, Some(line)));
        if let Some(at) = same_id {
            let at = at.map_or("in a key file already".to_owned(), |at| format!("on line {at}"));
            let message = format!("the id `{}` is {at}", record.id);
            problems.push(problem(name, line, message).help("leave ids out, or make them unique"));
        }
        if let Some((id, at)) = &same_key {
            let at = match at {
                Some(at) => format!("the same as on line {at}"),
                None => format!("known already as `{id}`"),
            };
            let message = format!("this key is {at}");
            problems.push(problem(name, line, message).help("remove the line"));
        }
        same_id.is_none() && same_key.is_none()
    }
}

#[cfg(test)]
mod tests;
