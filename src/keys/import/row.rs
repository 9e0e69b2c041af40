//! One key as it was written, whichever way.

use zeroize::Zeroize;
use zeroize::ZeroizeOnDrop;

use crate::source::nearest;

/// What can be said of a key.
pub(super) const COLUMNS: [&str; 19] = [
    "id",
    "account",
    "key",
    "digest",
    "name",
    "hint",
    "access",
    "kind",
    "permissions",
    "ips",
    "events_allow",
    "events_deny",
    "attributes",
    "tags",
    "basic",
    "simple_auth",
    "salt",
    "created",
    "expires",
];

/// One key.
#[derive(Debug)]
pub(super) struct Row {
    /// From 1.
    pub(super) line: usize,
    /// What is said of it; nothing is empty.
    pub(super) cells: Vec<(&'static str, Cell)>,
}

impl Row {
    pub(super) fn take(&mut self, column: &'static str) -> Option<Cell> {
        let at = self.cells.iter().position(|(name, _)| *name == column)?;
        Some(self.cells.swap_remove(at).1)
    }
}

/// A value, which may be a key.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) enum Cell {
    Text(String),
    List(Vec<String>),
    Flag(bool),
}

impl std::fmt::Debug for Cell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cell(..)")
    }
}

/// The column of a name, or what to say of it.
pub(super) fn column(name: &str, position: usize) -> Result<&'static str, String> {
    if let Some(known) = COLUMNS.iter().find(|known| **known == name) {
        return Ok(known);
    }
    // A name that does not look like one may be a key that stands where a name belongs.
    let harmless = name.len() <= 20
        && name.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '-' | ' '));
    Err(match (harmless, nearest(name, COLUMNS)) {
        (true, Some(near)) => format!("unknown column `{name}`: did you mean `{near}`?"),
        (true, None) => format!("unknown column `{name}`: known are {}", known()),
        (false, _) => format!("unknown column {position}: known are {}", known()),
    })
}

pub(super) fn known() -> String {
    COLUMNS.map(|name| format!("`{name}`")).join(", ")
}
