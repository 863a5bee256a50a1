//! Text in aligned columns.

use maestro_core::text::escaped;

/// A table. All columns but the last are padded; numbers are aligned to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
    right: &'static [usize],
}

impl Table {
    /// `right`: the columns that are aligned to the right.
    pub fn new(heads: &[&str], right: &'static [usize]) -> Self {
        Self {
            rows: vec![heads.iter().map(|&head| head.to_owned()).collect()],
            right,
        }
    }

    /// Adds a row. Control characters in a cell are escaped, so its text cannot leave the cell.
    pub fn row(&mut self, cells: Vec<String>) {
        let printable = |cell: String| escaped(&cell).into_owned();
        self.rows.push(cells.into_iter().map(printable).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = widths[column];
                let cell = match self.right.contains(&column) {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                };
                if column > 0 {
                    line.push_str("  ");
                }
                line.push_str(&cell);
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "N"], &[1]);
        table.row(vec!["ä-long-one".into(), "1".into()]);
        table.row(vec!["b\n\u{1b}c".into(), "100".into()]);
        let lines = "NAME          N\nä-long-one    1\nb\\n\\u{1b}c  100\n";
        assert_eq!(table.to_string(), lines);
    }
}
