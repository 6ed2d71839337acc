//! Searches of a slice: of what has been committed, in fields that it may read.

use rapport_model::automation::Need;
use rapport_model::rule::Params;
use rapport_sandbox::{HostError, SearchAsked, SearchFound};

use super::{Answer, SliceHost, refusal};
use crate::search::{Found, Sought};

impl SliceHost {
    pub(super) async fn do_search(&mut self, asked: SearchAsked) -> Answer<Vec<SearchFound>> {
        let object = self.object(&asked.object)?;
        let sought = Sought::check(&object, &asked.text, (&asked.fields, asked.limit)).map_err(refusal)?;
        let name = object.name.as_str();
        for field in &sought.fields {
            self.allow(Need::ReadField(name, field.as_str()))?;
        }
        let params: Params = asked.params.into_iter().collect();
        let rule = self.rule(&object, &asked.filter, &params)?;
        for field in rule.iter().flat_map(rapport_model::rule::Rule::fields) {
            self.allow(Need::ReadField(name, field.as_str()))?;
        }
        self.roll_query(&object, rule.as_ref()).await?;
        let others = rule.iter().flat_map(rapport_model::rule::Rule::references).map(|reference| &reference.object);
        let mut all = std::iter::once(&object.name).chain(others);
        if let Some(name) = all.find(|name| self.buffer.touched_ids(name).next().is_some()) {
            let message = format!("this slice has written to `{name}`: what it wrote is not found yet");
            return Err(HostError::permanent("unwritten", message));
        }
        let found = sought.find(&self.store, (rule, params, self.time)).await.map_err(refusal)?;
        self.count_rows(found.len())?;
        Ok(found.into_iter().map(told).collect())
    }
}

fn told(found: Found) -> SearchFound {
    let (field, snippet) = found.shown;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    SearchFound {
        id: found.record.id.to_string(),
        score: found.score,
        field: field.to_string(),
        text: snippet.text,
        matches: snippet.matches.into_iter().map(|(start, end)| (count(start), count(end))).collect(),
    }
}
