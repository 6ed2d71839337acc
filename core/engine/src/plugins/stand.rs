//! What stands against a plugin that is to be live, or says that it is already.

use rapport_model::Name;

use crate::automations::{Activated, check_against};
use crate::bundle::Bundle;
use crate::engine::Inner;
use crate::registry::{AutomationKind, Version};
use crate::schema::changes_of;

impl Inner {
    /// What is told of the plugin in `bundle` if it is live as it is, and nothing that it declares is missing or stands against it.
    pub(crate) fn as_it_lives(&self, bundle: &Bundle) -> Option<Activated> {
        let live = self.snapshot.load().version(&bundle.manifest.id).cloned()?;
        let same = live.content == bundle.digest() && changes_of(&self.store.schema(), &live.declaration).is_empty();
        (same && self.problems_of(&live).is_empty()).then(|| Activated::of(&live, false))
    }

    /// What stands against `version`, by what is declared and live.
    pub(crate) fn problems_of(&self, version: &Version) -> Vec<String> {
        let mut problems = check_against(&self.store.schema(), &version.declaration).err().unwrap_or_default();
        problems.extend(self.vain_rights(&version.declaration, (Some(&version.id), AutomationKind::Plugin)));
        problems.extend(self.claimed_by_others(version));
        problems.extend(version.declaration.budgets.beyond(&self.limits));
        problems
    }

    /// What `version` adds that a live plugin has added already.
    pub(crate) fn claimed_by_others(&self, version: &Version) -> Vec<String> {
        let live = self.snapshot.load();
        let others = live.active().iter().filter(|v| v.kind == AutomationKind::Plugin && v.id != version.id);
        let mut found = Vec::new();
        for other in others {
            let theirs = |name: &Name| other.declaration.objects.iter().any(|object| object.name == *name);
            let both = version.declaration.objects.iter().filter(|object| theirs(&object.name));
            found.extend(
                both.map(|object| format!("the object `{}` belongs to the plugin `{}`", object.name, other.id)),
            );
        }
        found
    }
}
