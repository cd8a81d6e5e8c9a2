//! Aligned columns: the first to the left, the others to the right.

/// Lays out rows of as many cells each.
pub(super) fn lay_out(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text += "\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["SUBJECT", "RATIO"], ["none", "1.00"], ["a longer one", ""]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(lay_out(&rows), "SUBJECT       RATIO\nnone           1.00\na longer one\n");
    }
}
