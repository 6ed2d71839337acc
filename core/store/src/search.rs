//! Looks for words in searchable fields.
//!
//! Terms are made by the model alone ([`rapport_model::search`]) and kept in one table of both databases, so both find the same. Its
//! rows are written in the commit of the record that they belong to. Where a field becomes searchable while there are records, those are
//! gone through in commits of their own, some hundred at a time; how far they have come is a row, so that a restart goes on there.

mod fill;
mod proof;

use std::collections::HashMap;
use std::fmt::Write as _;

use rapport_model::rule::{Params, Rule};
use rapport_model::search::{QueryTerm, weight};
use rapport_model::{Name, RecordId, Timestamp};

use crate::db::{Cell, Kind, Query, RowStatement, Statement};
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

/// The part of a statement that is being made which says what a term may be.
struct Condition<'a> {
    query: &'a SearchQuery,
    text: String,
}

impl<'a> Condition<'a> {
    /// The rows of `term` in the fields that count, as of the table's alias `s`.
    fn of(query: &'a SearchQuery, term: &QueryTerm, cells: &mut Vec<Cell>) -> String {
        let mut made = Self { query, text: String::new() };
        made.object(cells);
        if term.prefix {
            made.bound(" and s.term >= ", Cell::text(&term.text), cells);
            made.bound(" and s.term < ", Cell::Owned(format!("{}\u{10ffff}", term.text)), cells);
        } else {
            made.bound(" and s.term = ", Cell::text(&term.text), cells);
        }
        made.fields(cells);
        made.text
    }

    fn bound(&mut self, before: &str, cell: Cell, cells: &mut Vec<Cell>) {
        cells.push(cell);
        write!(self.text, "{before}${}", cells.len()).expect("a text takes any text");
    }

    fn object(&mut self, cells: &mut Vec<Cell>) {
        self.bound("s.object = ", Cell::text(self.query.object.as_str()), cells);
    }

    fn fields(&mut self, cells: &mut Vec<Cell>) {
        for (n, field) in self.query.fields.iter().enumerate() {
            self.bound(if n == 0 { " and s.field in (" } else { ", " }, Cell::text(field.as_str()), cells);
        }
        self.text.push(')');
    }
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
        let ids = self.candidates(query).await?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let whole = QueryTerm { text: String::new(), prefix: false };
        let lengths = self.hits(query, &whole, &ids).await?;
        let mut scores: HashMap<RecordId, f64> = HashMap::with_capacity(ids.len());
        for term in &query.terms {
            let hits = self.hits(query, term, &ids).await?;
            for id in &ids {
                for field in &query.fields {
                    let place = (*id, field.clone());
                    let Some(count) = hits.get(&place) else { continue };
                    let length = lengths.get(&place).copied().unwrap_or(*count);
                    *scores.entry(*id).or_insert(0.0) += weight(*count, length);
                }
            }
        }
        let score = |id: &RecordId| scores.get(id).copied().unwrap_or(0.0);
        let mut found: Vec<SearchHit> = ids.iter().map(|id| SearchHit { id: *id, score: score(id) }).collect();
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// The newest records in which all terms stand and for which the rule holds. Served by the primary key of the terms.
    async fn candidates(&self, query: &SearchQuery) -> Result<Vec<RecordId>, StoreError> {
        let shared = self.shared();
        let object = shared.object(&query.object)?;
        let mut select = Select::new(&object, shared.target());
        let records = RecordQuery {
            rule: query.rule.clone(),
            params: query.params.clone(),
            ..RecordQuery::new(query.object.clone(), query.now, query.candidates)
        };
        select.filter(&records)?;
        for term in &query.terms {
            let condition = Condition::of(query, term, &mut select.cells);
            select.and(&format!("t.\"id\" in (select s.id from search_term as s where {condition})"));
        }
        let Select { joins, conditions, cells, .. } = select;
        let text = format!(
            "select t.\"id\" from \"o_{}\" as t{joins}{conditions} order by t.\"id\" desc limit {}",
            object.name, query.candidates
        );
        let rows = self.fetch(Query::new(&text, cells)).await?;
        Ok(rows.iter().map(|row| row.record_id(0)).collect::<Result<_, _>>()?)
    }

    /// How often a term stands in each field of these records.
    async fn hits(
        &self,
        query: &SearchQuery,
        term: &QueryTerm,
        ids: &[RecordId],
    ) -> Result<HashMap<(RecordId, Name), i64>, StoreError> {
        let mut cells = Vec::with_capacity(ids.len() + 8);
        let mut condition = Condition::of(query, term, &mut cells);
        for (n, id) in ids.iter().enumerate() {
            cells.push(Cell::id(*id));
            let before = if n == 0 { " and s.id in (" } else { ", " };
            write!(condition, "{before}${}", cells.len()).expect("a text takes any text");
        }
        let text = format!(
            "select s.id, s.field, cast(sum(s.hits) as bigint) from search_term as s where {condition}) group by s.id, s.field"
        );
        let mut found = HashMap::new();
        for row in self.fetch(Query::new(&text, cells)).await? {
            let field = Name::new(&row.text(1)?).map_err(|e| StoreError::Invalid(e.to_string()))?;
            found.insert((row.record_id(0)?, field), row.int(2)?);
        }
        Ok(found)
    }
}
