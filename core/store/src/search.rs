//! Looks for words in searchable fields.
//!
//! Terms are made by the model alone ([`rapport_model::search`]) and kept in one table of both databases, so both find the same. Its
//! rows are written in the commit of the record that they belong to. Where a field becomes searchable while there are records, those are
//! gone through in commits of their own, some hundred at a time; how far they have come is a row, so that a restart goes on there.

mod fill;
mod proof;
mod statement;

use std::collections::BTreeMap;

use rapport_model::rule::{Params, Rule};
use rapport_model::search::{self as words, QueryTerm, weight};
use rapport_model::{Name, RecordId, Timestamp};

use self::statement::{ENDINGS_MAX, Search, Sought, endings, sizes};
use crate::db::{Cell, DbError, Kind, RowStatement, Statement};
use crate::error::StoreError;
use crate::find::Select;
use crate::query::RecordQuery;
use crate::rule_sql::Dialect;
use crate::store::Store;

pub use proof::IndexFault;

/// The columns by which a term's row is known.
pub(crate) const KEY_KINDS: [Kind; 4] = [Kind::Text, Kind::Text, Kind::Text, Kind::Id];
const PUT: &str = "insert into search_term (object, term, field, id, hits, length) ";
const PUT_END: &str =
    " on conflict (object, term, field, id) do update set hits = excluded.hits, length = excluded.length";
const PUT_KINDS: [Kind; 6] = [Kind::Text, Kind::Text, Kind::Text, Kind::Id, Kind::Int, Kind::Int];
/// Says that a field is to be made findable.
pub(crate) const FILL: &str =
    "insert into search_fill (object, field) values ($1, $2) on conflict (object, field) do nothing";

/// The terms of a text, each with how often it stands there, and how many there are, as it is kept.
pub(crate) fn terms(text: Option<&str>) -> (BTreeMap<String, i64>, i64) {
    let counts = words::counts(text.unwrap_or_default());
    let length = words::kept_length(counts.values().sum());
    (counts, length)
}

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
    /// The terms, of which each must stand in one of the fields. One of them may go on, at most.
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

/// How often what is looked for stands in a record.
struct Counts {
    /// How many terms each field has, if any of those that are looked for stands there.
    lengths: Vec<i64>,
    /// How often each term stands in each field, term by term.
    hits: Vec<i64>,
}

impl Counts {
    fn new(query: &SearchQuery) -> Self {
        let fields = query.fields.len();
        Self { lengths: vec![0; fields], hits: vec![0; fields * query.terms.len()] }
    }

    /// Takes in where a term stands: of each field and word the field, how often, and how long the field is, with spaces between all
    /// of them.
    fn add(&mut self, query: &SearchQuery, term: usize, found: &str) -> Result<(), DbError> {
        let mut parts = found.split(' ');
        while let Some(name) = parts.next() {
            let mut number = || {
                let number = parts.next().and_then(|part| part.parse::<i64>().ok());
                number.ok_or_else(|| DbError::Other(format!("`{found}` is not where a word stands")))
            };
            let (hits, length) = (number()?, number()?);
            let Some(field) = query.fields.iter().position(|field| field.as_str() == name) else { continue };
            if hits > 0 {
                self.hits[term * query.fields.len() + field] += hits;
                self.lengths[field] = length;
            }
        }
        Ok(())
    }

    /// How well the record fits: always summed in the same order, so that both databases find the same.
    fn score(&self) -> f64 {
        let fields = self.lengths.len();
        let mut score = 0.0;
        for (place, count) in self.hits.iter().enumerate().filter(|(_, count)| **count > 0) {
            score += weight(*count, self.lengths[place % fields]);
        }
        score
    }
}

impl Store {
    /// The records in which all terms stand, the best first; equally good ones by id.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if no field or no term is named, more than one term goes on, or the rule does not fit; else as for
    /// [`Store::events`].
    pub async fn search(&self, query: &SearchQuery) -> Result<Vec<SearchHit>, StoreError> {
        if query.fields.is_empty() || query.terms.is_empty() {
            return Err(StoreError::Invalid("a search needs fields and words".into()));
        }
        if query.terms.iter().filter(|term| term.prefix).count() > 1 {
            return Err(StoreError::Invalid("one word of a search can go on".into()));
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
        let Some(sought) = self.sought(query).await? else { return Ok(Vec::new()) };
        let (terms, sought): (Vec<usize>, Vec<Sought>) = sought.into_iter().unzip();
        let mut found = Vec::new();
        for row in &self.fetch(Search::new(query, shared.target().0, select).text(&sought)).await? {
            let mut counts = Counts::new(query);
            for (column, term) in terms.iter().enumerate() {
                counts.add(query, *term, &row.text(1 + column)?)?;
            }
            found.push(SearchHit { id: row.record_id(0)?, score: counts.score() });
        }
        found.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
        found.truncate(usize::try_from(query.limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// What is looked for as the table holds it, the rarest first, each with the place of its term; nothing if some of it stands nowhere.
    async fn sought(&self, query: &SearchQuery) -> Result<Option<Vec<(usize, Sought)>>, StoreError> {
        let mut all = Vec::with_capacity(query.terms.len());
        for (place, term) in query.terms.iter().enumerate() {
            let mut words = vec![term.text.clone()];
            if term.prefix {
                let rows = self.fetch(endings(query, &term.text)).await?;
                words = rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
            }
            let is_counted = words.len() > ENDINGS_MAX;
            all.push((place, if is_counted { Sought::Beginning(term.text.clone()) } else { Sought::Words(words) }));
        }
        let words: Vec<&[String]> = all.iter().filter_map(|(_, one)| one.words()).collect();
        if words.iter().any(|words| words.is_empty()) {
            return Ok(None);
        }
        if words.len() == 1 || words.len() < all.len() {
            return Ok(Some(all));
        }
        let rows = self.fetch(sizes(query, &words)).await?;
        let row = rows.first().ok_or_else(|| DbError::Other("no sizes".into()))?;
        let sizes: Vec<i64> = (0..all.len()).map(|column| row.int(column)).collect::<Result<_, _>>()?;
        let mut sized: Vec<(i64, (usize, Sought))> = sizes.into_iter().zip(all).collect();
        sized.sort_by_key(|(size, _)| *size);
        Ok((sized[0].0 > 0).then(|| sized.into_iter().map(|(_, one)| one).collect()))
    }
}
