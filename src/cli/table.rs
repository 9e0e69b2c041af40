//! Tables for people: columns that stand under each other, and nothing that a terminal would obey.

use std::fmt::Write as _;

use anstyle::AnsiColor;

use super::print;

/// One cell, perhaps in a colour.
#[derive(Debug)]
pub(crate) struct Cell {
    text: String,
    colour: Option<AnsiColor>,
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: plain(text), colour: None }
    }
}

impl Cell {
    pub(crate) fn painted(text: &str, colour: Option<AnsiColor>) -> Self {
        Self { text: plain(text), colour }
    }
}

/// The text of a table; columns in which every cell is empty are left out.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: &[[Cell; N]], colour: bool) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
    };
    let columns: Vec<_> = head
        .iter()
        .enumerate()
        .filter(|(column, _)| width(*column) > 0)
        .map(|(column, name)| (column, *name, width(column).max(name.chars().count())))
        .collect();
    let mut text = String::new();
    let names = columns.iter().map(|(_, name, width)| (*name, None, *width));
    line(&mut text, names, colour);
    for row in rows {
        let cells = columns.iter().filter_map(|(column, _, width)| {
            row.get(*column).map(|cell| (cell.text.as_str(), cell.colour, *width))
        });
        line(&mut text, cells, colour);
    }
    text
}

/// Without control characters: a name in a file must not move the cursor.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn line<'a>(
    text: &mut String,
    cells: impl Iterator<Item = (&'a str, Option<AnsiColor>, usize)>,
    colour: bool,
) {
    let mut gap = 0;
    for (cell, shade, width) in cells {
        let painted = match shade {
            Some(shade) => print::paint(cell, shade, colour),
            None => cell.to_owned(),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{:gap$}{painted}", "");
        gap = (width + 2).saturating_sub(cell.chars().count());
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_empty_ones_are_left_out() {
        let rows = [
            ["a".into(), "".into(), Cell::painted("active", Some(AnsiColor::Green))],
            ["key_2".into(), "".into(), "e\u{1b}[2J".into()],
        ];
        assert_eq!(
            table(["ID", "NAME", "STATUS"], &rows, false),
            "ID     STATUS\na      active\nkey_2  e\u{fffd}[2J\n"
        );
        let coloured = table(["ID", "NAME", "STATUS"], &rows, true);
        assert!(coloured.contains("a      \u{1b}[32mactive\u{1b}[0m\n"), "{coloured:?}");
    }
}
