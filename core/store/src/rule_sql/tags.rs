//! Tags in SQL: asked of the table that holds them turned round; of those that an event tells of, of its JSON.

use rapport_model::rule::tree::{Base, Datum, TagsTerm, Term};
use rapport_model::tags::RECORD_TAGS_MAX;

use super::history::Said;
use super::number::NumberSql;
use super::{Compiled, Compiler, Rows, RuleSqlError, truth};

/// Where the tags are found that a rule means.
enum Place {
    /// Of the record whose id this column holds.
    Record(String),
    /// In this part of what an event says: `json_each(…)`, or JSON.
    Event(String),
}

impl Compiler<'_> {
    fn tags_place(&self, tags: &TagsTerm) -> Result<Place, RuleSqlError> {
        let elsewhere = || RuleSqlError::Event { field: tags.field.name.to_string() };
        if let Rows::Events(said) = self.rows {
            let part = match (&tags.field.base, said) {
                (Base::Own, Said::After) | (Base::After, Said::After | Said::Before) => "after",
                (Base::Own, Said::Before) | (Base::Before, Said::After | Said::Before) => "before",
                _ => return Err(elsewhere()),
            };
            let name = &tags.field.name;
            return Ok(Place::Event(if self.is_sqlite() {
                format!("json_each(e.payload, '$.{part}.{name}') as g where g.type = 'text'")
            } else {
                let list = format!("(e.payload::json->'{part}'->'{name}')");
                format!(
                    "json_array_elements_text(case when json_typeof({list}) = 'array' then {list} else '[]'::json end) \
                     as g (value) where true"
                )
            }));
        }
        match &tags.field.base {
            Base::Own => Ok(Place::Record("t.\"id\"".to_owned())),
            Base::Through(via) => Ok(Place::Record(format!("t.\"{via}\""))),
            _ => Err(elsewhere()),
        }
    }

    /// Whether a text is among the tags. Of a text that no field says, the records are looked up by the primary key, so that the
    /// database can begin with them.
    pub(super) fn tagged(&mut self, tag: &Term, tags: &TagsTerm) -> Compiled {
        let place = self.tags_place(tags)?;
        let constant = self.constant(tag)?;
        if constant == Some(Datum::Null) {
            return Ok(truth(false));
        }
        let id = match place {
            Place::Record(id) => id,
            Place::Event(list) => {
                let collation = if self.is_sqlite() { "" } else { " collate \"C\"" };
                let tag = self.term(tag)?.text;
                return Ok(format!("exists (select 1 from {list} and g.value{collation} = {tag})"));
            }
        };
        let object = self.literal(Datum::Text(tags.object.as_str().into()));
        let tag = self.term(tag)?.text;
        let rows = format!("from record_tag as g where g.object = {object} and g.tag = {tag}");
        Ok(if constant.is_some() {
            format!("{id} in (select g.id {rows})")
        } else {
            format!("exists (select 1 {rows} and g.id = {id})")
        })
    }

    /// How many tags there are.
    pub(super) fn tag_count(&mut self, tags: &TagsTerm) -> Result<NumberSql, RuleSqlError> {
        let rows = match self.tags_place(tags)? {
            Place::Event(list) => list,
            Place::Record(id) => {
                let object = self.literal(Datum::Text(tags.object.as_str().into()));
                format!("record_tag as g where g.object = {object} and g.id = {id}")
            }
        };
        let cast = if self.is_sqlite() { "" } else { "::numeric" };
        let text = format!("(select count(*) from {rows}){cast}");
        let bound = i128::try_from(RECORD_TAGS_MAX).unwrap_or(i128::MAX);
        Ok(NumberSql { text, scale: 0, bound, nullable: false, tests: Vec::new() })
    }
}
