//! Statements that write many rows.

use std::fmt::Write as _;
use std::sync::Arc;

use super::cell::{Cell, Kind};
use crate::rule_sql::Dialect;

/// How many rows one statement writes on SQLite: few sizes, so that texts repeat and stay prepared.
const SIZES: [usize; 14] = [128, 96, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1];
/// SQLite's limit of placeholders in a statement is 32,766.
const PLACEHOLDERS_MAX: usize = 32_000;

/// The values of a statement.
#[derive(Debug, Clone)]
pub(crate) enum Values {
    /// One for each placeholder.
    Single(Vec<Cell>),
    /// Rows, one after another, each as wide as there are kinds; bound as one array per column. PostgreSQL alone.
    Columns(Vec<Cell>, Arc<[Kind]>),
    /// Those of statements joined into one. PostgreSQL alone.
    Several(Vec<Self>),
    /// Rows of this width, one after another; the statement runs once for each. In SQLite's transactions alone.
    Rows(Vec<Cell>, usize),
}

/// A statement with its values.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: Arc<str>,
    pub(crate) values: Values,
    /// How many rows it means to write.
    pub(crate) rows: usize,
}

impl Statement {
    /// All of `parts` as one statement, which fails as a whole unless `last` returns a row. PostgreSQL alone.
    ///
    /// The parts see the database as it was before any of them: no two may touch the same row.
    pub(crate) fn at_once(parts: Vec<Self>, last: Self) -> Self {
        let mut text = String::from("with ");
        let (mut values, mut rows, mut bound) = (Vec::with_capacity(parts.len() + 1), last.rows, 0);
        for (i, part) in parts.into_iter().enumerate() {
            write!(text, "s{i} as (").expect("a text takes any text");
            bound += renumber(&mut text, &part.text, bound);
            text.push_str("), ");
            rows += part.rows;
            values.push(part.values);
        }
        text.push_str("last as (");
        renumber(&mut text, &last.text, bound);
        text.push_str(") select 1 / count(*) from last");
        values.push(last.values);
        Self { text: text.into(), values: Values::Several(values), rows }
    }
}

/// Appends `part` with its placeholders moved up by `by`; says how many it has.
fn renumber(text: &mut String, part: &str, by: usize) -> usize {
    let mut most = 0;
    let mut pieces = part.split('$');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = piece[..digits].parse().unwrap_or(0);
        most = most.max(number);
        write!(text, "${}{}", number + by, &piece[digits..]).expect("a text takes any text");
    }
    most
}

/// A statement over any number of rows: `head`, the rows as a table with columns `column1`, `column2` and so on, `tail`.
#[derive(Debug, Clone)]
pub(crate) struct RowStatement {
    head: Arc<str>,
    tail: Arc<str>,
    kinds: Arc<[Kind]>,
    /// `head` alone is the text for one row, with numbered placeholders.
    whole: bool,
}

impl RowStatement {
    pub(crate) fn new(head: &str, tail: &str, kinds: &[Kind]) -> Self {
        Self { head: head.into(), tail: tail.into(), kinds: kinds.into(), whole: false }
    }

    /// A text with placeholders `?1`, `?2` and so on that is run for each row. In SQLite's transactions alone.
    pub(crate) fn for_each(text: &str, kinds: &[Kind]) -> Self {
        Self { head: text.into(), tail: "".into(), kinds: kinds.into(), whole: true }
    }

    /// The statements that write the rows in `cells`, which stand one after another, as part of a transaction.
    pub(crate) fn writes(&self, dialect: Dialect, cells: Vec<Cell>) -> Vec<Statement> {
        let width = self.kinds.len();
        let rows = cells.len() / width;
        match dialect {
            _ if rows == 0 => Vec::new(),
            Dialect::Postgres => self.statements(dialect, cells),
            Dialect::Sqlite => {
                vec![Statement { text: self.text(dialect, 1), values: Values::Rows(cells, width), rows }]
            }
        }
    }

    /// The queries over the rows in `cells`, which stand one after another.
    pub(crate) fn statements(&self, dialect: Dialect, mut cells: Vec<Cell>) -> Vec<Statement> {
        let width = self.kinds.len();
        let mut rows = cells.len() / width;
        if rows == 0 {
            return Vec::new();
        }
        if dialect == Dialect::Postgres {
            let text = self.text(dialect, rows);
            return vec![Statement { text, values: Values::Columns(cells, self.kinds.clone()), rows }];
        }
        let mut statements = Vec::new();
        while rows > 0 {
            let size = chunk(rows, width);
            let rest = cells.split_off(size * width);
            let chunk = std::mem::replace(&mut cells, rest);
            statements.push(Statement { text: self.text(dialect, size), values: Values::Single(chunk), rows: size });
            rows -= size;
        }
        statements
    }

    fn text(&self, dialect: Dialect, rows: usize) -> Arc<str> {
        if self.whole {
            return self.head.clone();
        }
        let mut text = String::with_capacity(self.head.len() + self.tail.len() + 32 + rows * self.kinds.len() * 2);
        text.push_str(&self.head);
        match dialect {
            Dialect::Sqlite => push_values(&mut text, rows, self.kinds.len()),
            Dialect::Postgres => push_unnest(&mut text, &self.kinds),
        }
        text.push_str(&self.tail);
        text.into()
    }
}

fn chunk(rows: usize, width: usize) -> usize {
    let most = rows.min(PLACEHOLDERS_MAX / width).max(1);
    SIZES.into_iter().find(|size| *size <= most).unwrap_or(1)
}

fn push_values(text: &mut String, rows: usize, width: usize) {
    text.push_str("values ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(?" } else { ",(?" });
        for _ in 1..width {
            text.push_str(",?");
        }
        text.push(')');
    }
}

fn push_unnest(text: &mut String, kinds: &[Kind]) {
    text.push_str("select * from unnest(");
    for (i, kind) in kinds.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(text, "{comma}${}::{}", i + 1, kind.pg_array()).expect("a text takes any text");
    }
    text.push_str(") as u(");
    for i in 1..=kinds.len() {
        let comma = if i == 1 { "" } else { "," };
        write!(text, "{comma}column{i}").expect("a text takes any text");
    }
    text.push(')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert() -> RowStatement {
        RowStatement::new("insert into t (a, b) ", " on conflict do nothing", &[Kind::Int, Kind::Text])
    }

    #[test]
    fn sqlite_gets_rows_in_few_sizes() {
        let cells = vec![Cell::Int(1); 2 * 101];
        let sizes: Vec<usize> = insert().statements(Dialect::Sqlite, cells).iter().map(|s| s.rows).collect();
        assert_eq!(sizes, [96, 4, 1]);
        let text = insert().statements(Dialect::Sqlite, vec![Cell::Int(1); 4])[0].text.clone();
        assert_eq!(&*text, "insert into t (a, b) values (?,?),(?,?) on conflict do nothing");
    }

    #[test]
    fn postgres_gets_one_text_for_any_number_of_rows() {
        let few = insert().statements(Dialect::Postgres, vec![Cell::Int(1); 2]);
        let many = insert().statements(Dialect::Postgres, vec![Cell::Int(1); 2_000]);
        assert_eq!((many.len(), many[0].rows), (1, 1_000));
        assert_eq!(few[0].text, many[0].text);
        let text = "insert into t (a, b) select * from unnest($1::bigint[],$2::text[]) as u(column1,column2) on conflict do nothing";
        assert_eq!(&*few[0].text, text);
    }

    #[test]
    fn statements_joined_keep_their_values_apart() {
        let rows = insert().writes(Dialect::Postgres, vec![Cell::Int(1); 4]).remove(0);
        let last =
            Statement { text: "update h set a = $2 where b = $1".into(), values: Values::Single(Vec::new()), rows: 1 };
        let joined = Statement::at_once(vec![rows], last);
        let text = "with s0 as (insert into t (a, b) select * from unnest($1::bigint[],$2::text[]) as u(column1,column2) \
             on conflict do nothing), last as (update h set a = $4 where b = $3) select 1 / count(*) from last";
        assert_eq!((&*joined.text, joined.rows), (text, 3));
    }

    #[test]
    fn no_statement_passes_the_limit_of_placeholders() {
        let wide = RowStatement::new("insert into t ", "", &[Kind::Int; 500]);
        let statements = wide.statements(Dialect::Sqlite, vec![Cell::Int(1); 500 * 128]);
        let width = |s: &Statement| s.text.matches('?').count();
        assert!(statements.iter().all(|s| width(s) <= PLACEHOLDERS_MAX));
        assert_eq!(statements.iter().map(|s| s.rows).sum::<usize>(), 128);
    }

    #[test]
    fn in_a_transaction_sqlite_gets_one_text_for_any_number_of_rows() {
        let many = insert().writes(Dialect::Sqlite, vec![Cell::Int(1); 2_000]);
        assert_eq!((many.len(), many[0].rows), (1, 1_000));
        assert_eq!(&*many[0].text, "insert into t (a, b) values (?,?) on conflict do nothing");
    }

    #[test]
    fn nothing_to_write_makes_no_statement() {
        assert!(insert().writes(Dialect::Sqlite, Vec::new()).is_empty());
        assert!(insert().statements(Dialect::Sqlite, Vec::new()).is_empty());
    }
}
