//! Roll-ups as operators see them: which there are, whether they are what their children say, and made anew.

use std::sync::Arc;

use rapport_model::Name;
use rapport_model::json::to_json;
use rapport_model::nearest::nearest;
use rapport_model::rollup::Kept;
use serde_json::{Value as Json, json};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};

/// The most records that a check names, for each roll-up.
const FAULTS_MAX: u32 = 100;

impl Engine {
    /// The roll-ups of all objects that the caller sees.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn rollups(&self, caller: &Caller) -> Result<Vec<Json>, EngineError> {
        caller.require(Act::Read)?;
        let schema = self.inner.store.schema();
        let mut all = Vec::new();
        for object in schema.sorted_objects().iter().filter(|object| caller.sees(&object.name)) {
            let own = object.fields.iter().filter(|field| field.rollup.is_some());
            all.extend(own.map(|field| {
                let mut shown = json!(field);
                if let Some(map) = shown.as_object_mut() {
                    let name = map.remove("name");
                    map.insert("field".into(), name.unwrap_or_default());
                    map.insert("on".into(), object.name.as_str().into());
                }
                shown
            }));
        }
        Ok(all)
    }

    /// Holds roll-ups against their children: those of all objects, of one, or one alone. For each whether it is right, and up to 100
    /// records for which it is not.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`]; [`EngineError::NotFound`] for what is no roll-up.
    pub async fn check_rollups(
        &self,
        caller: &Caller,
        object: Option<&str>,
        field: Option<&str>,
    ) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Admin)?;
        let mut all = Vec::new();
        for kept in self.chosen(object, field)? {
            let mut faults = self.inner.store.rollup_faults(&kept, FAULTS_MAX + 1).await?;
            let more = faults.len() > FAULTS_MAX as usize;
            faults.truncate(FAULTS_MAX as usize);
            let shown: Vec<Json> = faults
                .iter()
                .map(|fault| json!({ "id": fault.id, "kept": to_json(&fault.kept), "right": to_json(&fault.right) }))
                .collect();
            all.push(json!({
                "on": kept.parent, "field": kept.name, "right": faults.is_empty(), "faults": shown, "more": more,
            }));
        }
        Ok(all)
    }

    /// Makes roll-ups what their children say; says for each how many records that changed. Nothing starts by it, and records get no
    /// new version.
    ///
    /// # Errors
    /// As for [`Engine::check_rollups`].
    pub async fn rebuild_rollups(
        &self,
        caller: &Caller,
        object: Option<&str>,
        field: Option<&str>,
    ) -> Result<Vec<Json>, EngineError> {
        caller.everywhere(Act::Admin)?;
        self.inner.writable(None)?;
        let which = self.chosen(object, field)?;
        let changed = self.inner.store.mend_rollups(which.clone()).await?;
        let told =
            |(kept, changed): (&Arc<Kept>, u64)| json!({ "on": kept.parent, "field": kept.name, "changed": changed });
        Ok(which.iter().zip(changed).map(told).collect())
    }

    /// The roll-ups that are meant, each after those that it follows from.
    fn chosen(&self, object: Option<&str>, field: Option<&str>) -> Result<Vec<Arc<Kept>>, EngineError> {
        let all = self.inner.store.rollups();
        let meant = |name: &Name, wanted: Option<&str>| wanted.is_none_or(|wanted| name.as_str() == wanted);
        let found: Vec<_> =
            all.all().iter().filter(|kept| meant(&kept.parent, object) && meant(&kept.name, field)).cloned().collect();
        if found.is_empty() && (object.is_some() || field.is_some()) {
            let shown = |object: &str, field: Option<&str>| {
                field.map_or(object.to_owned(), |field| format!("{object}.{field}"))
            };
            let wanted = shown(object.unwrap_or("*"), field);
            let known: Vec<String> =
                all.all().iter().map(|kept| shown(kept.parent.as_str(), field.map(|_| kept.name.as_str()))).collect();
            let hint = nearest(&wanted, known.iter().map(String::as_str)).map(|n| format!("; did you mean `{n}`?"));
            return Err(EngineError::not_found(format!("roll-up `{wanted}`{}", hint.unwrap_or_default())));
        }
        Ok(found)
    }
}
