//! Tags in SQL: asked of the table that holds them turned round.

use rapport_model::rule::tree::{Base, Datum, TagsTerm, Term};
use rapport_model::tags::RECORD_TAGS_MAX;

use super::number::NumberSql;
use super::{Compiled, Compiler, RuleSqlError, truth};

impl Compiler<'_> {
    /// The column that holds the id of the record whose tags are meant.
    fn tagged_record(tags: &TagsTerm) -> Compiled {
        match &tags.field.base {
            Base::Own => Ok("t.\"id\"".to_owned()),
            Base::Through(via) => Ok(format!("t.\"{via}\"")),
            _ => Err(RuleSqlError::Event { field: tags.field.name.to_string() }),
        }
    }

    /// Whether a text is among the tags. Of a text that no field says, the records are looked up by the primary key, so that the
    /// database can begin with them.
    pub(super) fn tagged(&mut self, tag: &Term, tags: &TagsTerm) -> Compiled {
        let id = Self::tagged_record(tags)?;
        let constant = self.constant(tag)?;
        if constant == Some(Datum::Null) {
            return Ok(truth(false));
        }
        let object = self.literal(Datum::Text(tags.object.as_str().into()));
        let is_constant = constant.is_some();
        let tag = self.term(tag)?.text;
        let rows = format!("from record_tag as g where g.object = {object} and g.tag = {tag}");
        Ok(if is_constant {
            format!("{id} in (select g.id {rows})")
        } else {
            format!("exists (select 1 {rows} and g.id = {id})")
        })
    }

    /// How many tags there are.
    pub(super) fn tag_count(&mut self, tags: &TagsTerm) -> Result<NumberSql, RuleSqlError> {
        let id = Self::tagged_record(tags)?;
        let object = self.literal(Datum::Text(tags.object.as_str().into()));
        let cast = if self.is_sqlite() { "" } else { "::numeric" };
        let text = format!("(select count(*) from record_tag as g where g.object = {object} and g.id = {id}){cast}");
        let bound = i128::try_from(RECORD_TAGS_MAX).unwrap_or(i128::MAX);
        Ok(NumberSql { text, scale: 0, bound, nullable: false, tests: Vec::new() })
    }
}
