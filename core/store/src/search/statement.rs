//! The statement of a search: which of the newest records hold all words, and how often each stands where.
//!
//! Words that stand in many records are the usual case. So the statement goes through the records of the rarest word from the newest on,
//! looks for each whether the others stand there too, and ends when it has enough: what it costs follows from what is found, not from
//! what there is. A word that goes on in very many ways (`re…`) has no such order; the rows of all words are counted together then, record
//! by record. Nothing is joined that could be compared list by list: however wrong a database guesses how many rows there are, each step
//! is a look at the primary key, or a pass over its range. Each row says how long its field is: the score needs no other.

use std::fmt::Write as _;

use rapport_model::{Name, RecordId};

use super::SearchQuery;
use crate::db::{Cell, Query};
use crate::find::Select;
use crate::rule_sql::Dialect;

/// The most words that one which goes on is looked for as, each by itself.
pub(super) const ENDINGS_MAX: usize = 16;
/// The newest records by which words are told apart by how often they stand in records.
const SIZE_MAX: usize = 1_000;
/// The most fields that one expression puts in a row.
const FIELDS_IN_ROW: usize = 24;
/// Behind all texts that begin with what stands before it.
const LAST: char = '\u{10ffff}';

/// A word that is looked for, as the table holds it.
#[derive(Debug, Clone)]
pub(super) enum Sought {
    /// One of these.
    Words(Vec<String>),
    /// All that begin with it: there are very many.
    Beginning(String),
}

impl Sought {
    /// The words, if they are looked for each by itself.
    pub(super) fn words(&self) -> Option<&[String]> {
        match self {
            Self::Words(words) => Some(words),
            Self::Beginning(_) => None,
        }
    }
}

/// Asks for the words that begin with `text`: one more than are looked for each by itself, if there are more.
pub(super) fn endings(query: &SearchQuery, text: &str) -> Query {
    let next = |from: &str| {
        format!("select min(s.term) from search_term as s where s.object = $1 and s.term {from} and s.term < $3")
    };
    let (first, more) = (next(">= $2"), next("> w.term"));
    let limit = ENDINGS_MAX + 1;
    let text_of = format!(
        "with recursive w(term) as (select ({first}) union all select ({more}) from w where w.term is not null) \
         select w.term from w where w.term is not null limit {limit}"
    );
    let cells = vec![Cell::text(query.object.as_str()), Cell::text(text), Cell::Owned(format!("{text}{LAST}"))];
    Query::new(&text_of, cells)
}

/// Asks how often each of the words stands in the newest records, one column for each. One that stands in none of them comes before
/// those, by how many rows it has at all, as far as that matters.
pub(super) fn sizes(query: &SearchQuery, sought: &[&[String]]) -> Query {
    let nil = RecordId(uuid::Uuid::nil());
    let mut bound = Bound { cells: vec![Cell::text(query.object.as_str()), Cell::id(nil)] };
    let size = |words: &&[String]| {
        let words = bound.list(words);
        let rows = format!("from search_term as s where s.object = $1 and s.term in ({words})");
        let newest = format!("{rows} and s.id >= coalesce((select n.id from n), $2)");
        format!(
            "case when exists (select 1 {newest}) then {SIZE_MAX} + (select count(*) {newest}) \
             else (select count(*) from (select 1 as one {rows} limit {SIZE_MAX}) as x) end"
        )
    };
    let columns: Vec<String> = sought.iter().map(size).collect();
    let text = format!(
        "with n as materialized (select t.\"id\" as id from \"o_{}\" as t order by t.\"id\" desc limit 1 offset {SIZE_MAX}) select {}",
        query.object,
        columns.join(", ")
    );
    Query::new(&text, bound.cells)
}

/// The values of a statement in the making.
struct Bound {
    cells: Vec<Cell>,
}

impl Bound {
    fn one(&mut self, cell: Cell) -> usize {
        self.cells.push(cell);
        self.cells.len()
    }

    fn list<T: AsRef<str>>(&mut self, texts: &[T]) -> String {
        let all: Vec<String> = texts.iter().map(|text| format!("${}", self.one(Cell::text(text.as_ref())))).collect();
        all.join(", ")
    }
}

/// The statement in the making.
pub(super) struct Search<'a> {
    query: &'a SearchQuery,
    dialect: Dialect,
    select: Select<'a>,
    bound: Bound,
    /// The placeholder of the object, and those of the fields.
    object: usize,
    fields: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Over `select`: the records for which the rule holds.
    pub(super) fn new(query: &'a SearchQuery, dialect: Dialect, mut select: Select<'a>) -> Self {
        let mut bound = Bound { cells: std::mem::take(&mut select.cells) };
        let object = bound.one(Cell::text(query.object.as_str()));
        let fields = query.fields.iter().map(|field| bound.one(Cell::text(field.as_str()))).collect();
        Self { query, dialect, select, bound, object, fields }
    }

    /// The statement. Its rows: a record, and for each of `sought` where it stands there: of each field and word the field, how often, and
    /// how long the field is, with spaces between all of them.
    pub(super) fn text(mut self, sought: &[Sought]) -> Query {
        let words: Option<Vec<&[String]>> = sought.iter().map(Sought::words).collect();
        let text = match words {
            Some(words) => self.newest_first(&words),
            None => self.all_counted(sought),
        };
        Query::new(&text, self.bound.cells)
    }

    /// A selection of where any of the words stands in the record that `id` names; null if none of them does.
    fn found_in(&mut self, words: &[String], id: &str) -> String {
        let (object, words, in_fields) = (self.object, self.bound.list(words), self.in_fields("x"));
        format!(
            "select {} as found from search_term as x where x.object = ${object} and x.term in ({words}) and {in_fields} and x.id = {id}",
            found("x")
        )
    }

    /// The fields that count. An expression, not the column: so that no database takes it for the way to the rows, which are to come by id.
    fn in_fields(&self, table: &str) -> String {
        let fields: Vec<String> = self.fields.iter().map(|place| format!("${place}")).collect();
        format!("{table}.field || '' in ({})", fields.join(", "))
    }

    /// By the records of the first of the words, the newest first, as far as the others stand there, too.
    fn newest_first(&mut self, sought: &[&[String]]) -> String {
        let (object, in_fields) = (self.object, self.in_fields("s"));
        let (mut columns, mut laterals) = (vec![found("s")], String::new());
        for (n, words) in sought.iter().enumerate() {
            if n == 0 {
                let words = self.bound.list(words);
                let is_word =
                    format!("s.object = ${object} and s.term in ({words}) and {in_fields} and t.\"id\" = s.id");
                self.select.and(&is_word);
                continue;
            }
            let found = self.found_in(words, "s.id");
            match self.dialect {
                Dialect::Postgres => {
                    // Nothing is moved out of it or into it: it is looked at record by record.
                    write!(laterals, " cross join lateral ({found} offset 0) as x{n}").expect("a text takes any text");
                    self.select.and(&format!("x{n}.found is not null"));
                    columns.push(format!("min(x{n}.found)"));
                }
                Dialect::Sqlite => {
                    self.select.and(&format!("({found}) is not null"));
                    columns.push(format!("({found})"));
                }
            }
        }
        let (of, limit, columns) = (&self.query.object, self.query.candidates, columns.join(", "));
        let Select { joins, conditions, .. } = &self.select;
        format!(
            "select s.id, {columns} from search_term as s cross join \"o_{of}\" as t{joins}{laterals}{conditions} \
             group by s.id order by s.id desc limit {limit}"
        )
    }

    /// By the rows of all words together.
    fn all_counted(&mut self, sought: &[Sought]) -> String {
        let (mut rows, mut counts, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        self.select.and("t.\"id\" = u.id");
        let (object, in_fields) = (self.object, self.in_fields("s"));
        for (n, one) in sought.iter().enumerate() {
            let is_word = match one {
                Sought::Words(words) => {
                    columns.push(format!("({})", self.found_in(words, "c.id")));
                    format!("s.term in ({})", self.bound.list(words))
                }
                Sought::Beginning(text) => {
                    columns.push(format!("c.f{n}"));
                    counts.push(self.found_by_beginning(n));
                    let (from, to) = (Cell::text(text), Cell::Owned(format!("{text}{LAST}")));
                    format!("s.term >= ${} and s.term < ${}", self.bound.one(from), self.bound.one(to))
                }
            };
            rows.push(format!(
                "select s.id, {n} as n, s.field, s.hits, s.length from search_term as s \
                 where s.object = ${object} and {is_word} and {in_fields}"
            ));
            counts.push(format!("max(case when x.n = {n} then 1 else 0 end) as n{n}"));
            self.select.and(&format!("u.n{n} = 1"));
        }
        let beginnings = sought.iter().enumerate().filter(|(_, one)| one.words().is_none());
        let shown = beginnings.map(|(n, _)| format!(", u.f{n}")).collect::<Vec<_>>().concat();
        let (of, limit) = (&self.query.object, self.query.candidates);
        let (counts, rows, columns) = (counts.join(", "), rows.join(" union all "), columns.join(", "));
        let Select { joins, conditions, .. } = &self.select;
        format!(
            "with u as materialized (select x.id, {counts} from ({rows}) as x group by x.id), \
             c as materialized (select t.\"id\" as id{shown} from u cross join \"o_{of}\" as t{joins}{conditions} \
             order by t.\"id\" desc limit {limit}) select c.id, {columns} from c"
        )
    }

    /// A column of where the words stand that begin as the one in place `n`: all fields, also those with none of them.
    fn found_by_beginning(&self, n: usize) -> String {
        let of_field = |(name, place): (&Name, &usize)| {
            let of = |column: &str| format!("case when x.n = {n} and x.field = ${place} then x.{column} else 0 end");
            format!("'{name} ' || cast(sum({}) as bigint) || ' ' || max({})", of("hits"), of("length"))
        };
        let fields: Vec<String> = self.query.fields.iter().zip(&self.fields).map(of_field).collect();
        // In brackets, so that no expression is too deep for a database, however many fields there are.
        let parts: Vec<String> =
            fields.chunks(FIELDS_IN_ROW).map(|part| format!("({})", part.join(" || ' ' || "))).collect();
        format!("{} as f{n}", parts.join(" || ' ' || "))
    }
}

/// A column of where the rows of `table` stand.
fn found(table: &str) -> String {
    format!("string_agg({table}.field || ' ' || {table}.hits || ' ' || {table}.length, ' ')")
}
