//! How guests add and take away tags: by an object in place of the list, as the API takes it.

use rapport_model::record::Change;
use rapport_model::tags::TagEdit;
use rapport_model::{FieldDef, FieldKind, Value};
use rapport_sandbox::HostError;

use super::Answer;

/// The change of tags that `value` asks for; nothing if it is none.
pub(super) fn edit(field: &FieldDef, value: &Value) -> Answer<Option<Change>> {
    let Value::Json(json) = value else { return Ok(None) };
    let Some(map) = json.as_object().filter(|_| field.kind == FieldKind::Tags) else { return Ok(None) };
    let wrong = |why| HostError::permanent("invalid", format!("`{}`: {why}", field.name));
    TagEdit::read(map).map(|edit| Some(Change::Tag(edit))).map_err(wrong)
}
