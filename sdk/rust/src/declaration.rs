//! What a plugin says of itself.

use serde_json::json;

/// What a plugin handles and what it does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declaration {
    title: String,
    events: Vec<String>,
    uses: Vec<String>,
}

impl Declaration {
    /// A declaration with one line that says what the plugin is for.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Handles events of this type (`order.*` for all that begin with `order.`). Conditions stand in `plugin.toml`.
    #[must_use]
    pub fn on(mut self, event: &str) -> Self {
        self.events.push(event.to_owned());
        self
    }

    /// Uses this right, such as `customer.tier:write` or `emit:tier.changed`.
    #[must_use]
    pub fn uses(mut self, right: &str) -> Self {
        self.uses.push(right.to_owned());
        self
    }

    /// The declaration as the host reads it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let triggers: Vec<_> = self.events.iter().map(|event| json!({ "event": event })).collect();
        json!({ "title": self.title, "triggers": triggers, "uses": self.uses }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declaration_is_json_whatever_its_title() {
        let text = Declaration::new("say \"hi\"").on("order.paid").uses("customer:read").to_json();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["title"], "say \"hi\"");
        assert_eq!(json["triggers"][0]["event"], "order.paid");
        assert_eq!(json["uses"][0], "customer:read");
    }
}
