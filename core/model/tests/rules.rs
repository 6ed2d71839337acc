//! Properties of rules that hold for all of them, and for texts that are none.

#[cfg(test)]
#[path = "rules/generate.rs"]
mod generate;

use std::sync::Arc;

use proptest::prelude::*;
use rapport_model::rule::lookup::RecordLookup;
use rapport_model::rule::{Env, Rule, Scope, outline};
use rapport_model::{Record, Timestamp, Value};

use generate::{owner, param_types, params, record, rule, schema, thing};

fn parse(text: &str) -> Result<Rule, rapport_model::rule::RuleError> {
    Rule::parse_with_members(text, &Scope::Record(thing()), &schema(), &param_types())
}

/// A rule that names only parameters is refused; all others that are generated must pass.
fn generated(text: &str) -> Result<Rule, TestCaseError> {
    match parse(text) {
        Ok(rule) => Ok(rule),
        Err(error) if error.message.contains("nothing says") => Err(TestCaseError::reject("only parameters")),
        Err(error) if ["is no value", "not a value"].iter().any(|why| error.message.contains(why)) => {
            Err(TestCaseError::reject("a segment that is compared"))
        }
        Err(error) if error.message.contains("decimals") => Err(TestCaseError::reject("a product of many decimals")),
        Err(error) => Err(TestCaseError::fail(format!("{text}\n{error}"))),
    }
}

fn holds(rule: &Rule, record: &Record, owner: &Arc<Record>, params: &rapport_model::rule::Params) -> bool {
    let referenced = match record.get("owner") {
        Value::Ref(_) => vec![(generate::name("owner"), owner.clone())],
        _ => Vec::new(),
    };
    let lookup = RecordLookup { record, referenced: &referenced };
    rule.eval(&Env { now: Timestamp::from_micros(generate::NOW), lookup: &lookup, params })
        .expect("generated rules read generated parameters")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_rule_parses_to_the_same_tree(text in rule()) {
        let parsed = generated(&text)?;
        let printed = parsed.to_string();
        let again = parse(&printed).map_err(|e| TestCaseError::fail(format!("{printed}\n{e}")))?;
        prop_assert_eq!(parsed.root(), again.root(), "{}", printed);
        prop_assert_eq!(again.to_string(), printed);
    }

    #[test]
    fn the_tree_of_a_rule_comes_back_as_the_same_rule(text in rule()) {
        let parsed = generated(&text)?;
        let tree = outline::to_json(parsed.root());
        let back = outline::to_text(&tree).map_err(|e| TestCaseError::fail(format!("{tree}\n{e}")))?;
        let again = parse(&back).map_err(|e| TestCaseError::fail(format!("{back}\n{e}")))?;
        prop_assert_eq!(parsed.root(), again.root(), "{} {}", tree, back);
        prop_assert_eq!(outline::to_json(again.root()), tree);
    }

    #[test]
    fn a_negation_is_the_opposite(text in rule(), a in record(&thing(), 1), b in record(&owner(), 1), p in params()) {
        let plain = generated(&text)?;
        let negated = generated(&format!("!({text})"))?;
        let owner = Arc::new(b);
        prop_assert_ne!(holds(&plain, &a, &owner, &p), holds(&negated, &a, &owner, &p));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        drop(parse(&text));
    }

    #[test]
    fn no_mixture_of_tokens_makes_the_parser_panic(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "n", "label", "owner", ".", "(", ")", "[", "]", "!", "-", "+", "*", "/", "%", "==", "<", "&&", "||", "in", "null",
            "true", "'a'", "\"", "'", "\\", "1", "0.5", "99999999999999999999", "now()", "days_since", "duration('1h')", "lower",
            "contains", ",", "//", "\n", "é", "p_text", "at", "?", "=", "\0", "date('2026-03-01')", "size",
        ]), 0..30),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        if let Ok(rule) = parse(&tokens.join(glue)) {
            prop_assert!(parse(&rule.to_string()).is_ok());
        }
    }

    #[test]
    fn an_error_points_into_the_text(text in "[a-z0-9 .()\n'=<>&|+-]{0,60}") {
        if let Err(error) = parse(&text) {
            let line = text.split('\n').nth(error.line as usize - 1);
            let length = line.map(|line| line.chars().count());
            prop_assert!(length.is_some_and(|n| error.column as usize <= n + 1), "{} in {:?}", error, text);
        }
    }
}
