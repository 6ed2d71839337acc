//! Takes back what a run did to the tags of a record: the tags that it added go, those that it took away come back, and all others
//! stay. A tag that somebody has added or taken away since is theirs, and is left.

use rapport_model::tags::{self, TagEdit};
use rapport_model::{FieldKind, Name, Record};

use super::net::FieldNet;
use super::since::{Later, Since};

/// What is to be done to the tags, and the tags that are left, with who stands against it.
pub(super) struct Back<'s> {
    pub(super) edit: TagEdit,
    pub(super) left: Vec<(String, &'s Later)>,
}

/// Whether the field `name` holds the tags of `record`.
pub(super) fn is_tags(record: &Record, name: &Name) -> bool {
    name.as_str() == tags::FIELD && record.object.field(tags::FIELD).is_some_and(|f| f.kind == FieldKind::Tags)
}

/// How to take back what the run did to the tags.
pub(super) fn back<'s>(name: &Name, net: &FieldNet, since: &'s Since) -> Back<'s> {
    let mut edit = TagEdit::between(&net.before, &net.after).inverse();
    let mut left = Vec::new();
    for side in [&mut edit.add, &mut edit.remove] {
        side.retain(|tag| match since.tagger(name, tag) {
            None => true,
            Some(who) => {
                left.push((tag.to_string(), who));
                false
            }
        });
    }
    Back { edit, left }
}
