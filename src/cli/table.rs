//! Columns that line up.

/// Rows of cells under a head. Numbers go to the right, words to the left.
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// Where the cells of a column stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Left(&'static str),
    Right(&'static str),
}

impl Table {
    pub(super) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head: Vec<String> = self
            .columns
            .iter()
            .map(|column| match column {
                Column::Left(name) | Column::Right(name) => (*name).to_owned(),
            })
            .collect();
        let lines = || std::iter::once(&head).chain(&self.rows);
        let width =
            |at: usize| lines().filter_map(|cells| cells.get(at)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| width(at).unwrap_or(0)).collect();
        for cells in lines() {
            let mut line = String::new();
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                match column {
                    Column::Left(_) => line.push_str(&format!("{cell:<width$}  ")),
                    Column::Right(_) => line.push_str(&format!("{cell:>width$}  ")),
                }
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
        let mut table = Table::new(&[Column::Left("NAME"), Column::Right("N")]);
        table.row(["é".into(), "1000".into()]);
        table.row(["longer".into(), "1".into()]);
        assert_eq!(table.to_string(), "NAME       N\né       1000\nlonger     1\n");
    }
}
