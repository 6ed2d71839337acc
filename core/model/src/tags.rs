//! Tags: a set of short texts on a record.
//!
//! A set is a JSON list, sorted bytewise and without doubles; no tags at all is null, in the column and in the log. Case counts.
//! Writers add and remove ([`TagEdit`]) rather than set, so that two at once do not lose each other's tags.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::json::Misfit;
use crate::limits::OBJECT_FIELDS_MAX;
use crate::name::Name;
use crate::schema::{FieldDef, FieldKind, ObjectDef, Origin, Schema};
use crate::value::{Value, nfc};

/// The field that holds the tags of a record; each object has one at most.
pub const FIELD: &str = "tags";
/// The most characters of a tag.
pub const TAG_CHARS_MAX: usize = 64;
/// The most tags of a record.
pub const RECORD_TAGS_MAX: usize = 100;

/// What happens to the tags of a record. No tag is in both lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagEdit {
    /// They are there afterwards.
    pub add: Vec<Arc<str>>,
    /// They are not.
    pub remove: Vec<Arc<str>>,
}

/// `text` as a tag: in NFC, without white space around it.
///
/// # Errors
/// [`Misfit`] if nothing is left, more than [`TAG_CHARS_MAX`] characters, or a control character.
pub fn tag(text: &str) -> Result<Arc<str>, Misfit> {
    let tag = nfc(text.trim());
    let length = tag.chars().count();
    if length == 0 {
        return Err(Misfit("a tag cannot be empty".into()));
    }
    if length > TAG_CHARS_MAX {
        return Err(Misfit(format!("a tag has {TAG_CHARS_MAX} characters at most, this one {length}")));
    }
    if tag.chars().any(char::is_control) {
        return Err(Misfit(format!("the tag {} holds a control character", Json::from(&*tag))));
    }
    Ok(tag)
}

/// The field of tags, as every object has it.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "a test makes the name")]
pub fn field() -> FieldDef {
    FieldDef::new(Name::new(FIELD).expect("a valid name: a test makes it"), FieldKind::Tags)
}

/// The place of the tags among the fields of `object`, if it has any.
#[must_use]
pub fn place(object: &ObjectDef) -> Option<usize> {
    object.position(FIELD).filter(|place| object.fields[*place].kind == FieldKind::Tags)
}

/// Whether an object is to have tags and has not: all have but the host's own, those that have another field of that name, and those
/// that have no room.
#[must_use]
pub fn lacks(object: &ObjectDef) -> bool {
    let taken = object.position(FIELD).is_some() || object.formula(FIELD).is_some();
    object.origin != Origin::System && !taken && object.fields.len() < OBJECT_FIELDS_MAX
}

/// The objects that are to have tags and have not.
#[must_use]
pub fn missing(schema: &Schema) -> Vec<Name> {
    let mut all: Vec<Name> = schema.objects.values().filter(|o| lacks(o)).map(|object| object.name.clone()).collect();
    all.sort_unstable();
    all
}

/// Why a field of an event cannot hold tags.
pub const NOT_IN_EVENTS: &str = "an event has no tags: declare the field as json";

/// Why a field of an object cannot hold tags as `def` says; nothing if it can, or is of another kind.
#[must_use]
pub fn fault(def: &FieldDef) -> Option<&'static str> {
    if def.kind != FieldKind::Tags {
        return None;
    }
    if def.name.as_str() != FIELD {
        return Some("the tags of a record stand in its field `tags`, which every object has");
    }
    let is_indexed = def.indexed || !def.indexed_with.is_empty();
    let plain = !def.required && !def.unique && !is_indexed && !def.searchable && def.default.is_none();
    (!plain).then_some("tags can be neither required nor unique, indexed, searchable or given by default")
}

/// The tags that a value holds, in order.
pub fn of(value: &Value) -> impl Iterator<Item = &str> {
    let items = match value {
        Value::Json(json) => json.as_array().map_or(&[][..], Vec::as_slice),
        _ => &[],
    };
    items.iter().filter_map(Json::as_str)
}

/// Reads a whole list of tags.
///
/// # Errors
/// [`Misfit`] if it is no list of tags, or has more than [`RECORD_TAGS_MAX`].
pub fn read(json: &Json) -> Result<Value, Misfit> {
    if json.is_null() {
        return Ok(Value::Null);
    }
    let tags = list(json)?;
    whole(&tags.into_iter().collect())
}

fn list(json: &Json) -> Result<Vec<Arc<str>>, Misfit> {
    let wanted =
        || Misfit("expected a list of tags such as [\"vip\"], or {\"add\": [\"vip\"], \"remove\": [\"new\"]}".into());
    let items = json.as_array().ok_or_else(wanted)?;
    items.iter().map(|item| tag(item.as_str().ok_or_else(wanted)?)).collect()
}

fn whole(tags: &BTreeSet<Arc<str>>) -> Result<Value, Misfit> {
    if tags.len() > RECORD_TAGS_MAX {
        return Err(Misfit(format!("a record has {RECORD_TAGS_MAX} tags at most, these are {}", tags.len())));
    }
    if tags.is_empty() {
        return Ok(Value::Null);
    }
    Ok(Value::Json(Arc::new(Json::Array(tags.iter().map(|tag| Json::from(&**tag)).collect()))))
}

impl TagEdit {
    /// Reads `{"add": […], "remove": […]}`.
    ///
    /// # Errors
    /// [`Misfit`] if it is something else, or a tag is in both lists.
    pub fn read(map: &Map<String, Json>) -> Result<Self, Misfit> {
        let mut edit = Self::default();
        if let Some(other) = map.keys().find(|key| !matches!(key.as_str(), "add" | "remove")) {
            return Err(Misfit(format!("tags are given by `add` and `remove`, not by `{other}`")));
        }
        for (key, side) in [("add", &mut edit.add), ("remove", &mut edit.remove)] {
            let tags: BTreeSet<Arc<str>> = map.get(key).map(list).transpose()?.into_iter().flatten().collect();
            side.extend(tags);
        }
        match edit.add.iter().find(|tag| edit.remove.contains(tag)) {
            Some(tag) => Err(Misfit(format!("the tag `{tag}` is to be both added and removed"))),
            None => Ok(edit),
        }
    }

    /// What leads from `before` to `after`.
    #[must_use]
    pub fn between(before: &Value, after: &Value) -> Self {
        let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (of(before).collect(), of(after).collect());
        let texts = |tags: std::collections::btree_set::Difference<'_, &str>| tags.map(|tag| Arc::from(*tag)).collect();
        Self { add: texts(new.difference(&old)), remove: texts(old.difference(&new)) }
    }

    /// The opposite.
    #[must_use]
    pub fn inverse(self) -> Self {
        Self { add: self.remove, remove: self.add }
    }

    /// Whether it changes nothing, whatever the tags are.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// The tags that come of `before`.
    ///
    /// # Errors
    /// [`Misfit`] if they are more than [`RECORD_TAGS_MAX`].
    pub fn apply(&self, before: &Value) -> Result<Value, Misfit> {
        let mut tags: BTreeSet<Arc<str>> = of(before).map(Arc::from).collect();
        tags.retain(|tag| !self.remove.contains(tag));
        tags.extend(self.add.iter().cloned());
        whole(&tags)
    }

    /// As the API takes it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let texts = |tags: &[Arc<str>]| Json::Array(tags.iter().map(|tag| Json::from(&**tag)).collect());
        serde_json::json!({ "add": texts(&self.add), "remove": texts(&self.remove) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_is_sorted_and_without_doubles_in_whatever_form_they_come() {
        let tags = read(&json!(["vip", " e\u{301}t\u{e9} ", "VIP", "\u{e9}t\u{e9}", "vip"])).unwrap();
        assert_eq!(of(&tags).collect::<Vec<_>>(), ["VIP", "vip", "\u{e9}t\u{e9}"]);
        assert_eq!(read(&json!([])).unwrap(), Value::Null);
        assert_eq!(field().kind, FieldKind::Tags);
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for bad in [json!([""]), json!(["  "]), json!(["a\nb"]), json!(["a\u{0}"]), json!(["x".repeat(65)]), json!([1])]
        {
            assert!(read(&bad).is_err(), "{bad}");
        }
        assert!(read(&json!(["\u{e9}".repeat(64)])).is_ok());
        assert!(read(&json!("vip")).is_err());
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        assert!(read(&json!(many)).is_err());
        assert!(read(&json!(many[..100])).is_ok());
    }

    #[test]
    fn an_edit_adds_and_removes_and_can_be_turned_round() {
        let before = read(&json!(["a", "b"])).unwrap();
        let edit = TagEdit::read(json!({"add": ["c", "a"], "remove": ["b", "x"]}).as_object().unwrap()).unwrap();
        let after = edit.apply(&before).unwrap();
        assert_eq!(of(&after).collect::<Vec<_>>(), ["a", "c"]);
        let back = TagEdit::between(&before, &after).inverse();
        assert_eq!(back.apply(&after).unwrap(), before);
        assert!(TagEdit::read(json!({"add": ["c"], "remove": ["c"]}).as_object().unwrap()).is_err());
        assert!(TagEdit::read(json!({"put": ["c"]}).as_object().unwrap()).is_err());
    }
}
