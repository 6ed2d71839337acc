//! Figures as people read them: thousands apart, and rows under a heading.

/// A whole number with its thousands apart: `22,190`.
pub(crate) fn number(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits are one byte each"))
        .collect();
    format!("{}{}", if value < 0 { "-" } else { "" }, groups.join(","))
}

/// The count of something in memory, as [`number`].
pub(crate) fn count(value: usize) -> String {
    number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Rows of cells as a Markdown table, the first row its heading; the first column to the left, the others to the right.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn markdown(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &Vec<String>, i: usize| row.get(i).cloned().unwrap_or_default();
    let width = |i| rows.iter().map(|r| cell(r, i).chars().count()).max().unwrap_or(0).max(3);
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = (0..columns)
            .map(|i| {
                if i == 0 {
                    format!("{:<w$}", cell(row, i), w = width(i))
                } else {
                    format!("{:>w$}", cell(row, i), w = width(i))
                }
            })
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> = (0..columns)
        .map(|i| if i == 0 { "-".repeat(width(i)) } else { format!("{}:", "-".repeat(width(i) - 1)) })
        .collect();
    let mut lines = rows.iter().map(line);
    let heading = lines.next().unwrap_or_default();
    format!("{heading}| {} |\n{}", rule.join(" | "), lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let shown: Vec<_> = [0, 7, 999, 1_000, -22_190, 16_546_417, i64::MIN].into_iter().map(number).collect();
        assert_eq!(shown, ["0", "7", "999", "1,000", "-22,190", "16,546,417", "-9,223,372,036,854,775,808"]);
    }

    #[test]
    fn a_table_is_aligned_and_its_short_rows_are_filled() {
        let rows =
            [vec!["what".to_owned(), "figure".to_owned()], vec!["µ".to_owned(), "1".to_owned()], vec!["x".to_owned()]];
        assert_eq!(markdown(&rows), "| what | figure |\n| ---- | -----: |\n| µ    |      1 |\n| x    |        |\n");
    }
}
