//! Tables as text: a head with the columns' names, then rows. Columns are apart by two blanks or more.

use std::collections::BTreeMap;

/// A table that was read.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<(String, BTreeMap<String, String>)>,
}

impl Table {
    /// Reads one. Each row must have as many cells as the head has names.
    pub(crate) fn read(text: &str) -> Self {
        let mut lines = text.lines().filter(|line| !line.trim().is_empty()).map(cells);
        let columns: Vec<String> = lines.next().expect("a head").split_off(1);
        let row = |mut line: Vec<String>| {
            let cells = line.split_off(1);
            assert_eq!(cells.len(), columns.len(), "{line:?} has {cells:?} for {columns:?}");
            (line.remove(0), columns.iter().cloned().zip(cells).collect())
        };
        let rows = lines.map(row).collect();
        Self { columns, rows }
    }

    /// The names in the head, but for the first.
    pub(crate) fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The names of the rows, from above.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(name, _)| name.as_str())
    }

    /// What stands there.
    pub(crate) fn cell(&self, row: &str, column: &str) -> &str {
        let found = self.rows.iter().find(|(name, _)| name == row);
        let (_, cells) = found.unwrap_or_else(|| panic!("no row {row:?}"));
        cells.get(column).unwrap_or_else(|| panic!("no column {column:?}"))
    }
}

fn cells(line: &str) -> Vec<String> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}
