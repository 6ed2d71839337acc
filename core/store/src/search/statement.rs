//! The statement of a search: which of the newest records hold all words, and how often each stands where.
//!
//! Words that stand in many records are the usual case. So the statement goes through the records of the rarest word from the newest on, looks
//! for each whether the others stand there too, and ends when it has enough: what it costs follows from what is found, not from what there
//! is. A word that goes on in very many ways (`re…`) has no such order; the rows of all words are counted together then, record by record.
//! Nothing is joined that could be compared list by list: however wrong a database guesses how many rows there are, each step is a
//! look at the primary key, or a pass over its range.

use rapport_model::RecordId;

use super::SearchQuery;
use crate::db::{Cell, Query};
use crate::find::Select;
use crate::rule_sql::Dialect;

/// The most words that one which goes on is looked for as, each by itself.
pub(super) const ENDINGS_MAX: usize = 16;
/// The newest records by which words are told apart by how often they stand in records.
const SIZE_MAX: usize = 1_000;
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

    /// The statement. Its rows: a record, a word or '' (then the count is that of all words of the field), a field, and how often it stands there;
    /// behind these for each field how often what begins as looked for stands there, if `sought` has such a one.
    pub(super) fn text(mut self, sought: &[Sought]) -> Query {
        let words: Option<Vec<&[String]>> = sought.iter().map(Sought::words).collect();
        let (candidates, counted) = match words {
            Some(words) => (self.newest_first(&words), Vec::new()),
            None => self.all_counted(sought),
        };
        let mut all = vec![String::new()];
        all.extend(sought.iter().filter_map(Sought::words).flatten().cloned());
        let (words, in_fields, object) = (self.bound.list(&all), self.in_fields("s"), self.object);
        let rows = format!("s.object = ${object} and s.term in ({words}) and s.id = c.id and {in_fields}");
        // What follows looks at each candidate by itself on both databases.
        let rows = match self.dialect {
            Dialect::Sqlite => format!("search_term as s where {rows}"),
            Dialect::Postgres => {
                format!("lateral (select s.term, s.field, s.hits from search_term as s where {rows} offset 0) as s")
            }
        };
        let counted = listed(", c.", &counted);
        let text = format!("{candidates} select c.id, s.term, s.field, s.hits{counted} from c cross join {rows}");
        Query::new(&text, self.bound.cells)
    }

    /// The fields that count. An expression, not the column: so that no database takes it for the way to the rows, which are to come by id.
    fn in_fields(&self, table: &str) -> String {
        let fields: Vec<String> = self.fields.iter().map(|place| format!("${place}")).collect();
        format!("{table}.field || '' in ({})", fields.join(", "))
    }

    /// Candidates by the first of the words, the newest first, as far as the others stand there, too.
    fn newest_first(&mut self, sought: &[&[String]]) -> String {
        let object = self.object;
        for (n, words) in sought.iter().enumerate() {
            let table = if n == 0 { "s" } else { "x" };
            let (words, in_fields) = (self.bound.list(words), self.in_fields(table));
            let is_word = format!("{table}.object = ${object} and {table}.term in ({words}) and {in_fields}");
            self.select.and(&if n == 0 {
                format!("{is_word} and t.\"id\" = s.id")
            } else {
                // A value, which no database turns into a join.
                format!("(select 1 from search_term as x where {is_word} and x.id = s.id limit 1) = 1")
            });
        }
        let (of, limit) = (&self.query.object, self.query.candidates);
        let Select { joins, conditions, .. } = &self.select;
        format!(
            "with c as materialized (select s.id from search_term as s cross join \"o_{of}\" as t{joins}{conditions} \
             group by s.id order by s.id desc limit {limit})"
        )
    }

    /// Candidates by the rows of all words together, and the names of the columns that count what begins as looked for.
    fn all_counted(&mut self, sought: &[Sought]) -> (String, Vec<String>) {
        let (mut rows, mut counts, mut names) = (Vec::new(), Vec::new(), Vec::new());
        self.select.and("t.\"id\" = u.id");
        let (object, in_fields) = (self.object, self.in_fields("s"));
        for (n, one) in sought.iter().enumerate() {
            let is_word = match one {
                Sought::Words(words) => format!("s.term in ({})", self.bound.list(words)),
                Sought::Beginning(text) => {
                    let (from, to) = (Cell::text(text), Cell::Owned(format!("{text}{LAST}")));
                    format!("s.term >= ${} and s.term < ${}", self.bound.one(from), self.bound.one(to))
                }
            };
            rows.push(format!(
                "select s.id, {n} as n, s.field, s.hits from search_term as s where s.object = ${object} and {is_word} and {in_fields}"
            ));
            counts.push(format!("max(case when x.n = {n} then 1 else 0 end) as n{n}"));
            self.select.and(&format!("u.n{n} = 1"));
            if matches!(one, Sought::Beginning(_)) {
                for place in &self.fields {
                    let name = format!("f{place}");
                    counts.push(format!(
                        "cast(sum(case when x.n = {n} and x.field = ${place} then x.hits else 0 end) as bigint) as {name}"
                    ));
                    names.push(name);
                }
            }
        }
        let shown = listed(", u.", &names);
        let (of, limit) = (&self.query.object, self.query.candidates);
        let (counts, rows) = (counts.join(", "), rows.join(" union all "));
        let Select { joins, conditions, .. } = &self.select;
        let candidates = format!(
            "with u as materialized (select x.id, {counts} from ({rows}) as x group by x.id), \
             c as materialized (select t.\"id\" as id{shown} from u cross join \"o_{of}\" as t{joins}{conditions} \
             order by t.\"id\" desc limit {limit})"
        );
        (candidates, names)
    }
}

/// Columns, each with what stands before it.
fn listed(before: &str, columns: &[String]) -> String {
    columns.iter().map(|column| format!("{before}{column}")).collect::<Vec<_>>().concat()
}
