//! What a template comes to, without sending it.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::engine::Engine;
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::key::{self, split_subject};
use crate::slice::{fill_in, record_variables};

/// What a template is filled in with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TemplatePreview {
    /// The record that the message would go to: `customer/customer_no:1`.
    pub to: Option<String>,
    /// The data that it would be sent with.
    pub data: Map<String, Json>,
}

impl Engine {
    /// Fills in the template `name` as a message would, and sends nothing.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`], [`EngineError::NotFound`]; [`EngineError::Invalid`] with the line if a part of the template
    /// does not read or a variable is missing.
    pub async fn preview_template(
        &self,
        caller: &Caller,
        name: &str,
        preview: &TemplatePreview,
    ) -> Result<Json, EngineError> {
        let object = caller.object(&self.inner.store.schema(), "template", Act::Read)?;
        let found = self.locate(&object, &key::parse(&object, &format!("name:{name}"))?).await?;
        let template = found.ok_or_else(|| EngineError::not_found(format!("template `{name}`")))?;
        let mut variables = preview.data.clone();
        if let Some(to) = preview.to.as_deref() {
            let wrong = || EngineError::invalid("/to", "write OBJECT/KEY, such as customer/customer_no:1");
            let (object, key) = split_subject(to).ok_or_else(wrong)?;
            let record = self.get(caller, object, key).await?;
            for name in [record.object.name.as_str(), "to"] {
                variables.entry(name).or_insert_with(|| record_variables(&record));
            }
        }
        let filled = fill_in(&self.inner.sandbox, &template, &Json::Object(variables)).await;
        let filled = filled.map_err(|error| EngineError::invalid("", error.message))?;
        Ok(json!({ "subject": filled.subject, "text": filled.text, "html": filled.html }))
    }
}
