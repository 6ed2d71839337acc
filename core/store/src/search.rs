//! Looks for words in searchable fields.
//!
//! Terms are made by the model alone ([`rapport_model::search`]) and kept in one table of both databases, so both find the same. Its
//! rows are written in the commit of the record that they belong to. Where a field becomes searchable while there are records, those are
//! gone through in commits of their own, some hundred at a time; how far they have come is a row, so that a restart goes on there.

mod fill;
mod proof;

use std::collections::HashMap;
use std::ops::Range;

use rapport_model::rule::{Params, Rule};
use rapport_model::search::{QueryTerm, weight};
use rapport_model::{Name, RecordId, Timestamp};

use crate::db::{Cell, DbError, Kind, Query, Row, RowStatement, Statement};
use crate::error::StoreError;
use crate::find::Select;
use crate::query::RecordQuery;
use crate::rule_sql::Dialect;
use crate::store::Store;

pub use proof::IndexFault;

/// The columns by which a term's row is known.
pub(crate) const KEY_KINDS: [Kind; 4] = [Kind::Text, Kind::Text, Kind::Text, Kind::Id];
const PUT: &str = "insert into search_term (object, term, field, id, hits) ";
const PUT_END: &str = " on conflict (object, term, field, id) do update set hits = excluded.hits";
const PUT_KINDS: [Kind; 5] = [Kind::Text, Kind::Text, Kind::Text, Kind::Id, Kind::Int];
/// Numbers that one statement may have in a row: SQLite takes 2,000 columns, PostgreSQL 1,664.
const COLUMNS_MAX: usize = 1_000;
/// Says that a field is to be made findable.
pub(crate) const FILL: &str =
    "insert into search_fill (object, field) values ($1, $2) on conflict (object, field) do nothing";

/// The statements that write rows of terms.
pub(crate) fn put_terms(cells: Vec<Cell>, dialect: Dialect) -> Vec<Statement> {
    RowStatement::new(PUT, PUT_END, &PUT_KINDS).writes(dialect, cells)
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The object.
    pub object: Name,
    /// The fields in which it may stand.
    pub fields: Vec<Name>,
    /// The terms, of which each must stand in one of the fields.
    pub terms: Vec<QueryTerm>,
    /// Only records for which this holds.
    pub rule: Option<Rule>,
    /// The parameters of the rule.
    pub params: Params,
    /// The present instant, for rules that read the clock.
    pub now: Timestamp,
    /// The most records that are compared: of more, the newest.
    pub candidates: u32,
    /// The most hits.
    pub limit: u32,
}

/// A record in which all terms stand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SearchHit {
    /// The record.
    pub id: RecordId,
    /// How well it fits: for each term and each field [`weight`], summed.
    pub score: f64,
}

/// The statement of a search, as it is being made: the newest records in which all terms stand, and how often each term stands in some of the
/// fields.
struct Search<'a> {
    query: &'a SearchQuery,
    cells: Vec<Cell>,
    /// The placeholders of the object, of each field, and of those whose terms are counted.
    object: usize,
    fields: Vec<usize>,
    counted: Range<usize>,
}

impl<'a> Search<'a> {
    fn new(query: &'a SearchQuery, counted: Range<usize>, mut cells: Vec<Cell>) -> Self {
        cells.push(Cell::text(query.object.as_str()));
        let object = cells.len();
        cells.extend(query.fields.iter().map(|field| Cell::text(field.as_str())));
        let fields = (object + 1..=cells.len()).collect();
        Self { query, cells, object, fields, counted }
    }

    fn bound(&mut self, cell: Cell) -> usize {
        self.cells.push(cell);
        self.cells.len()
    }

    /// What the term's row is, as of the table's alias `s`.
    fn is_term(&mut self, term: &QueryTerm) -> String {
        let object = self.object;
        let from = self.bound(Cell::text(&term.text));
        if !term.prefix {
            return format!("s.object = ${object} and s.term = ${from}");
        }
        let to = self.bound(Cell::Owned(format!("{}\u{10ffff}", term.text)));
        format!("s.object = ${object} and s.term >= ${from} and s.term < ${to}")
    }

    /// The fields that count, as of the table's alias `s`.
    fn in_fields(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|place| format!("${place}")).collect();
        format!("s.field in ({})", fields.join(", "))
    }

    /// The whole statement over `select`: an id, how many terms each counted field has, and for each term how often it stands there. The rows of
    /// all terms are counted together, record by record, and not joined: however wrong a database guesses how many they are, it compares
    /// no list with another.
    fn text(&mut self, mut select: Select<'_>, object: &Name) -> String {
        let counted = self.fields[self.counted.clone()].to_vec();
        let (mut rows, mut counts, mut names) = (Vec::new(), Vec::new(), Vec::new());
        select.and("t.\"id\" = u.id");
        for (n, term) in self.query.terms.iter().enumerate() {
            let (is_term, in_fields) = (self.is_term(term), self.in_fields());
            rows.push(format!(
                "select s.id, {n} as n, s.field, s.hits from search_term as s where {is_term} and {in_fields}"
            ));
            counts.push(format!("max(case when x.n = {n} then 1 else 0 end) as n{n}"));
            select.and(&format!("u.n{n} = 1"));
            for place in &counted {
                let name = format!("n{n}f{place}");
                counts.push(format!(
                    "cast(sum(case when x.n = {n} and x.field = ${place} then x.hits else 0 end) as bigint) as {name}"
                ));
                names.push(name);
            }
        }
        let (object_place, candidates) = (self.object, self.query.candidates);
        let length = |field: &usize| {
            format!(
                "coalesce((select s.hits from search_term as s where s.object = ${object_place} and s.term = '' \
                 and s.field = ${field} and s.id = c.id), 0)"
            )
        };
        let lengths: Vec<String> = counted.iter().map(length).collect();
        let Select { joins, conditions, .. } = select;
        format!(
            "with u as materialized (select x.id, {} from ({}) as x group by x.id), \
             c as materialized (select t.\"id\" as id, {} from u cross join \"o_{object}\" as t{joins}{conditions} \
             order by t.\"id\" desc limit {candidates}) select c.id, {}, {} from c",
            counts.join(", "),
            rows.join(" union all "),
            listed("u.", &names),
            lengths.join(", "),
            listed("c.", &names),
        )
    }
}

/// Columns of a table.
fn listed(table: &str, columns: &[String]) -> String {
    columns.iter().map(|column| format!("{table}{column}")).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// The records in which all terms stand, the best first; equally good ones by id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if no field or no term is named, or the rule does not fit; else as for [`Store::events`].
    pub async fn search(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, StoreError> {
        if query.fields.is_empty() || query.terms.is_empty() {
            return Err(StoreError::Invalid("a search needs fields and words".into()));
        }
        let shared = self.shared();
        let object = shared.object(&query.object)?;
        let mut select = Select::new(&object, shared.target());
        let records = RecordQuery {
            rule: query.rule.clone(),
            params: query.params.clone(),
            ..RecordQuery::new(query.object.clone(), query.now, query.candidates)
        };
        select.filter(&records)?;
        // All fields at once, if there are not very many.
        let step = (COLUMNS_MAX / (query.terms.len() + 1)).max(1);
        let mut scores: HashMap<RecordId, f64> = HashMap::new();
        for begin in (0..query.fields.len()).step_by(step) {
            let counted = begin..query.fields.len().min(begin + step);
            let mut search = Search::new(query, counted.clone(), select.cells.clone());
            let text = search.text(select.clone(), &object.name);
            for row in &self.fetch(Query::new(&text, search.cells)).await? {
                *scores.entry(row.record_id(0)?).or_default() += score(row, (counted.len(), query.terms.len()))?;
            }
        }
        let mut found: Vec<SearchHit> = scores.into_iter().map(|(id, score)| SearchHit { id, score }).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}

/// What a row of so many fields and terms adds to the score of its record: always summed in the same order, so that both databases find the same.
fn score(row: &Row, (fields, terms): (usize, usize)) -> Result<f64, DbError> {
    let lengths = (1..=fields).map(|column| row.int(column)).collect::<Result<Vec<_>, _>>()?;
    let mut score = 0.0;
    for term in 0..terms {
        for (field, length) in lengths.iter().enumerate() {
            let count = row.int(1 + (term + 1) * fields + field)?;
            if count > 0 {
                score += weight(count, if *length > 0 { *length } else { count });
            }
        }
    }
    Ok(score)
}
