//! What a plugin wants.

use serde_json::{Value as Json, json};

/// What a plugin wants: which events start it, which rights it uses, which settings it reads.
///
/// ```
/// use rapport_sdk::Declaration;
/// let declaration = Declaration::new("Gives tiers")
///     .on_change("customer", &["points"])
///     .uses("customer.tier:write")
///     .setting("silver_from", 1000);
/// assert!(declaration.to_json().contains("customer.updated"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Declaration {
    title: String,
    triggers: Vec<Json>,
    uses: Vec<String>,
    settings: Vec<Json>,
    invocable: bool,
}

impl Declaration {
    /// Nothing yet but one line that says what the plugin is for.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), triggers: Vec::new(), uses: Vec::new(), settings: Vec::new(), invocable: false }
    }

    /// Started by events of the type `event`; `order.*` for all that begin so.
    #[must_use]
    pub fn on(mut self, event: &str) -> Self {
        self.triggers.push(json!({ "event": event }));
        self
    }

    /// Started by events of the type `event` that a rule accepts: `amount > 100`.
    #[must_use]
    pub fn on_when(mut self, event: &str, condition: &str) -> Self {
        self.triggers.push(json!({ "event": event, "condition": condition }));
        self
    }

    /// Started when one of `fields` of a record of `object` changed.
    #[must_use]
    pub fn on_change(mut self, object: &str, fields: &[&str]) -> Self {
        self.triggers.push(json!({ "event": format!("{object}.updated"), "changed": fields }));
        self
    }

    /// Other automations may start its runs with [`crate::flow::invoke`], and wait for their result.
    #[must_use]
    pub const fn invocable(mut self) -> Self {
        self.invocable = true;
        self
    }

    /// Uses a right: `customer:read`, `customer.tier:write`, `emit:tier.changed`.
    #[must_use]
    pub fn uses(mut self, right: &str) -> Self {
        self.uses.push(right.into());
        self
    }

    /// Reads a setting, which is `default` if no operator has set it.
    #[must_use]
    pub fn setting(mut self, name: &str, default: impl Into<Json>) -> Self {
        self.settings.push(json!({ "name": name, "default": default.into() }));
        self
    }

    /// The declaration as the host reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let Self { title, triggers, uses, settings, invocable } = self;
        json!({ "title": title, "triggers": triggers, "uses": uses, "settings": settings, "invocable": invocable })
            .to_string()
    }
}
