//! What a plugin declares beyond an automation: actions, routes, hooks, migrations, budgets, texts.
//!
//! All of it comes from `plugin.toml` and is a part of the [`Declaration`](crate::Declaration); scripts declare none of it.

pub mod action;
pub mod budgets;
pub mod grant;
pub mod migration;
pub mod route;
pub mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::Name;

pub use action::{ActionDef, ActionName, CallerKind};
pub use budgets::Budgets;
pub use grant::Asked;
pub use migration::{MigrationDef, MigrationGap};
pub use route::{Access, Method, RouteDef, RoutePath};
pub use version::PluginVersion;

/// What happens to a change if the hook that should judge it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It goes through.
    Open,
    /// It is refused.
    Closed,
}

impl OnFailure {
    /// All names.
    pub const NAMES: &[&str] = &["open", "closed"];

    /// The choice of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "open" => Some(Self::Open),
            "closed" => Some(Self::Closed),
            _ => None,
        }
    }
}

/// A look at changes before they are committed, which may refuse them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookDef {
    /// The object whose records it looks at.
    pub object: Name,
    /// If not empty: only when one of these fields is set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Name>,
    /// What happens to a change if the hook fails.
    pub on_failure: OnFailure,
}

/// Texts for people in one language, by what they name: `title`, `description`, `action.redeem`, `setting.tz`,
/// `object.voucher`, `field.customer.tier`, `event_type.tier.changed`, `reason.customer:read`.
pub type Texts = BTreeMap<String, String>;

/// Whether `tag` names a language: `de`, `zh-CN`, `zh-Hant-TW`.
#[must_use]
pub fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let word = |part: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_lowercase())
    };
    if !parts.next().is_some_and(|language| word(language, 2..=3)) {
        return false;
    }
    let mut rest: Vec<&str> = parts.collect();
    if rest.first().is_some_and(|script| {
        script.len() == 4
            && script.as_bytes()[0].is_ascii_uppercase()
            && script.is_char_boundary(1)
            && word(&script[1..], 3..=3)
    }) {
        rest.remove(0);
    }
    let region = |part: &&str| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_uppercase())
            || part.len() == 3 && part.bytes().all(|b| b.is_ascii_digit())
    };
    rest.len() <= 1 && rest.iter().all(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_a_short_tag() {
        for good in ["en", "de", "zh-CN", "zh-Hant-TW", "es-419", "gsw", "sr-Latn"] {
            assert!(is_language(good), "{good}");
        }
        for bad in ["", "EN", "english", "zh-cn", "zh_CN", "zh-CN-x", "-", "zh-", "d", "zh-éAAA"] {
            assert!(!is_language(bad), "{bad}");
        }
    }
}
