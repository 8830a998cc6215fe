// SPDX-License-Identifier: MIT OR Apache-2.0

//! Columns that line up.

use super::style::Style;

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
        self.rows.push(cells);
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines, each after `indent`.
    pub fn render(&self, style: Style, indent: &str) -> String {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, (name, _))| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(index))
                    .map(|cell| width(cell))
                    .chain([width(name)])
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &String>| {
            let mut line = indent.to_owned();
            for ((cell, (_, align)), size) in cells.zip(&self.columns).zip(&widths) {
                let padding = " ".repeat(size.saturating_sub(width(cell)));
                match align {
                    Align::Left => line += &format!("{cell}{padding}  "),
                    Align::Right => line += &format!("{padding}{cell}  "),
                }
            }
            line.trim_end().to_owned()
        };
        let mut text = String::new();
        if self.headed {
            let heading = line(&mut self.columns.iter().map(|(name, _)| name));
            text += &style.bold(&heading);
            text.push('\n');
        }
        for row in &self.rows {
            text += &line(&mut row.iter());
            text.push('\n');
        }
        text
    }
}

/// Columns that a text takes on a terminal; names are ASCII nearly always.
fn width(text: &str) -> usize {
    text.chars().count()
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
            terminal: true,
        };
        assert_eq!(table.render(style, ""), "\x1b[1mA\x1b[0m\nx\n");
    }

    #[test]
    fn plain_tables_have_no_heading() {
        let mut table = Table::plain(2);
        assert!(table.is_empty());
        table.row(vec!["a".into(), "b".into()]);
        assert_eq!(table.render(Style::default(), "  "), "  a  b\n");
    }
}
