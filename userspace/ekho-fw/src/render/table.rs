// SPDX-License-Identifier: MIT OR Apache-2.0

//! Columns that line up.
//!
//! comfy-table wraps cells to the width of a terminal. It takes its time for that, so what isn't for
//! a person to read at once is laid out here: a table for another program, or a very long one.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width};

use super::escape;
use super::style::Style;

/// How many rows may be wrapped to a terminal; of more, lines are as long as they are.
const WRAPPED_ROWS: usize = 2000;

/// On which side a column is flush.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
    headed: bool,
}

impl Table {
    /// A table with these headings.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns
                .iter()
                .map(|(name, align)| ((*name).to_owned(), *align))
                .collect(),
            rows: Vec::new(),
            headed: true,
        }
    }

    /// A table without headings, of text.
    pub fn plain(columns: usize) -> Self {
        Self {
            columns: vec![(String::new(), Align::Left); columns],
            rows: Vec::new(),
            headed: false,
        }
    }

    /// Adds a row, with as many cells as there are headings.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows
            .push(cells.iter().map(|cell| escape::cell(cell)).collect());
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Characters of the widest cell of a column, its heading included.
    fn width(&self, index: usize, name: &str) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(index));
        cells
            .map(|cell| cell.chars().count())
            .fold(name.len(), usize::max)
    }

    /// The table as lines, each after `indent`. On a terminal, cells wrap to its width.
    pub fn render(&self, style: Style, indent: &str) -> String {
        match style.terminal {
            Some(width) if self.rows.len() <= WRAPPED_ROWS => self.wrapped(width, style, indent),
            _ => self.unwrapped(style, indent),
        }
    }

    /// A line for each row.
    fn unwrapped(&self, style: Style, indent: &str) -> String {
        let widths: Vec<usize> = (self.columns.iter().enumerate())
            .map(|(index, (name, _))| self.width(index, name))
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>, text: &mut String| {
            let start = text.len();
            text.push_str(indent);
            for ((cell, (_, align)), width) in cells.zip(&self.columns).zip(&widths) {
                let padding = width.saturating_sub(cell.chars().count());
                let (before, after) = match align {
                    Align::Left => (0, padding + 2),
                    Align::Right => (padding, 2),
                };
                text.extend(std::iter::repeat_n(' ', before));
                text.push_str(cell);
                text.extend(std::iter::repeat_n(' ', after));
            }
            text.truncate(start + text[start..].trim_end().len());
        };
        let mut text = String::new();
        if self.headed {
            let mut heading = String::new();
            let mut names = self.columns.iter().map(|(name, _)| name.as_str());
            line(&mut names, &mut heading);
            text += &style.bold(&heading);
            text.push('\n');
        }
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str), &mut text);
            text.push('\n');
        }
        text
    }

    /// Cells that don't fit side by side have several lines.
    fn wrapped(&self, width: u16, style: Style, indent: &str) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(NOTHING);
        let indented = u16::try_from(indent.len()).unwrap_or(0);
        table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width.saturating_sub(indented));
        if self.headed {
            table.set_header(self.columns.iter().map(|(name, _)| name));
        }
        table.add_rows(&self.rows);
        for (index, (name, align)) in self.columns.iter().enumerate() {
            let Some(column) = table.column_mut(index) else {
                continue;
            };
            column.set_padding((0, 2));
            column.set_cell_alignment(match align {
                Align::Left => CellAlignment::Left,
                Align::Right => CellAlignment::Right,
            });
            // A heading is one line, and so is a number.
            let least = match align {
                Align::Left => name.len() + 2,
                Align::Right => 2 + self.width(index, name),
            };
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                u16::try_from(least).unwrap_or(0),
            )));
        }
        let mut text = String::new();
        for (number, line) in table.lines().enumerate() {
            let line = format!("{indent}{}", line.trim_end());
            text += &if self.headed && number == 0 {
                style.bold(&line)
            } else {
                line
            };
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let mut table = Table::new(&[
            ("DEVICE", Align::Left),
            ("PACKETS", Align::Right),
            ("ACTIONS", Align::Left),
        ]);
        table.row(vec!["ek0".into(), "7".into(), "drop".into()]);
        table.row(vec!["long-device".into(), "12345678".into(), String::new()]);
        assert_eq!(
            table.render(Style::default(), ""),
            "DEVICE        PACKETS  ACTIONS\nek0                 7  drop\nlong-device  12345678\n"
        );
    }

    #[test]
    fn only_the_heading_is_bold_and_only_on_a_terminal() {
        let mut table = Table::new(&[("A", Align::Left)]);
        table.row(vec!["x".into()]);
        let style = Style {
            color: true,
            terminal: Some(80),
        };
        assert_eq!(
            escape::text(&table.render(style, "")),
            "\x1b[1mA\x1b[0m\nx\n"
        );
    }

    #[test]
    fn cells_wrap_to_the_terminal_and_not_into_a_pipe() {
        let mut table = Table::new(&[("PACKETS", Align::Right), ("MATCH", Align::Left)]);
        table.row(vec![
            "123456789".into(),
            "one two three four five six".into(),
        ]);
        let narrow = Style {
            color: false,
            terminal: Some(30),
        };
        let text = table.render(narrow, "  ");
        assert!(text.lines().all(|line| line.len() <= 30), "{text}");
        assert!(text.contains("  123456789  one two three"), "{text}");
        assert_eq!(table.render(Style::default(), "").lines().count(), 2);
    }

    #[test]
    fn a_cell_is_a_line_whatever_is_in_it() {
        let mut table = Table::new(&[("A", Align::Left)]);
        table.row(vec!["x\ny\x1b[2J".into()]);
        assert_eq!(table.render(Style::default(), ""), "A\nx\\ny\\u{1b}[2J\n");
    }

    #[test]
    fn a_very_long_table_is_not_wrapped_and_looks_the_same() {
        let mut table = Table::new(&[("PACKETS", Align::Right), ("MATCH", Align::Left)]);
        table.row(vec!["1".into(), "one two three four five six".into()]);
        let wide = Style {
            color: false,
            terminal: Some(200),
        };
        let narrow = Style {
            terminal: Some(20),
            ..wide
        };
        assert_eq!(table.render(wide, " "), table.render(Style::default(), " "));
        assert!(table.render(narrow, "").lines().count() > 2);
        for _ in 0..WRAPPED_ROWS {
            table.row(vec!["1".into(), "one two three four five six".into()]);
        }
        assert_eq!(table.render(narrow, "").lines().count(), WRAPPED_ROWS + 2);
    }

    #[test]
    fn plain_tables_have_no_heading() {
        let mut table = Table::plain(2);
        assert!(table.is_empty());
        table.row(vec!["a".into(), "b".into()]);
        assert_eq!(table.render(Style::default(), "  "), "  a  b\n");
    }
}
