//! What a plugin asks for as one list, so that it can be shown, granted, and compared with what was granted before.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::automation::{Capability, Declaration};
use crate::id::Digest;
use crate::plugin::HookDef;
use crate::plugin::route::{Method, RouteDef};

/// Everything that an admin says yes to: rights, and what else opens a door. Each item is a text that can stand in a file.
///
/// `customer:read` and the like are rights; `object:voucher`, `field:customer.tier` and `rollup:customer.visits` are what it adds to the data;
/// `trigger:order.created` and `schedule:0 10 * * MON Asia/Shanghai` start it; `action:redeem by api,scripts` can be called;
/// `route:POST /earn public` opens an address; `validate:order closed` may refuse changes; `brings:script:loyalty/earn` is content.
/// Budgets are no part of it: they only lower the operator's limits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asked(BTreeSet<String>);

impl Asked {
    /// What `declaration` asks for.
    #[must_use]
    pub fn of(declaration: &Declaration) -> Self {
        let mut all: BTreeSet<String> = declaration.uses.iter().map(Capability::to_string).collect();
        all.extend(declaration.objects.iter().map(|object| format!("object:{}", object.name)));
        all.extend(declaration.fields.iter().map(|field| format!("field:{}.{}", field.object, field.field.name)));
        all.extend(declaration.rollups.iter().map(|rollup| format!("rollup:{}.{}", rollup.on, rollup.name)));
        all.extend(declaration.formulas.iter().map(|formula| format!("formula:{}.{}", formula.object, formula.name)));
        all.extend(declaration.event_types.iter().map(|kind| format!("event_type:{}", kind.name)));
        all.extend(declaration.triggers.iter().map(|trigger| format!("trigger:{}", trigger.event)));
        all.extend(
            declaration.schedules.iter().map(|schedule| format!("schedule:{} {}", schedule.cron, schedule.zone)),
        );
        for action in &declaration.actions {
            let callers: Vec<_> = action.callers.iter().map(|kind| format!("{kind:?}").to_lowercase()).collect();
            let how = if action.readonly { " readonly" } else { "" };
            all.insert(format!("action:{}{how} by {}", action.name, callers.join(",")));
        }
        all.extend(declaration.routes.iter().flat_map(of_route));
        all.extend(declaration.hooks.iter().map(Self::hook));
        if declaration.compensate {
            all.insert("compensate".to_owned());
        }
        all.extend(declaration.brings.iter().map(|brought| format!("brings:{brought}")));
        Self(all)
    }

    /// The item that stands for `route` answering `method`.
    #[must_use]
    pub fn route(route: &RouteDef, method: Method) -> String {
        format!("route:{} {} {}", method.as_str(), route.path, route.access.as_str())
    }

    /// The item that stands for `hook`.
    #[must_use]
    pub fn hook(hook: &HookDef) -> String {
        format!("validate:{} {:?}", hook.object, hook.on_failure).to_lowercase()
    }

    /// Whether `item` stands in the list as it is.
    #[must_use]
    pub fn holds(&self, item: &str) -> bool {
        self.0.contains(item)
    }

    /// The items, sorted.
    pub fn items(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What this asks for that `granted` does not hold. A right that a wider one covers counts as held.
    #[must_use]
    pub fn beyond(&self, granted: &Self) -> Vec<String> {
        self.0.iter().filter(|item| !granted.covers(item)).cloned().collect()
    }

    /// Whether `item` is granted, as it stands or by a wider right.
    #[must_use]
    pub fn covers(&self, item: &str) -> bool {
        if self.0.contains(item) {
            return true;
        }
        let Ok(asked) = item.parse::<Capability>() else { return false };
        self.0.iter().filter_map(|held| held.parse::<Capability>().ok()).any(|held| held.includes(&asked))
    }

    /// Names the list.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let lines: Vec<&str> = self.items().collect();
        Digest::of(lines.join("\n").as_bytes())
    }
}

impl FromIterator<String> for Asked {
    fn from_iter<I: IntoIterator<Item = String>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

fn of_route(route: &RouteDef) -> impl Iterator<Item = String> {
    route.methods.iter().map(|method| Asked::route(route, *method))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(items: &[&str]) -> Asked {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn what_a_wider_right_covers_is_not_asked_for_again() {
        let granted = asked(&["customer:write", "customer:read", "emit:tier.*", "trigger:order.created"]);
        assert_eq!(
            asked(&["customer.tier:write", "emit:tier.changed", "trigger:order.created"]).beyond(&granted),
            [""; 0]
        );
        assert_eq!(asked(&["order:read", "trigger:order.*"]).beyond(&granted), ["order:read", "trigger:order.*"]);
    }

    #[test]
    fn the_same_list_has_the_same_digest_in_any_order() {
        assert_eq!(asked(&["b", "a"]).digest(), asked(&["a", "b"]).digest());
        assert_ne!(asked(&["a"]).digest(), asked(&["a", "b"]).digest());
    }
}
