//! Fills in the templates of messages: Jinja, by the crate `minijinja`.
//!
//! A variable that is missing is an error, never an empty place in a letter. In the HTML part values are escaped.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value};

use crate::bindings::Part;
use crate::bindings::rapport::plugin::types::Error;

/// What each of `parts` comes to with the variables of `context`, a JSON object.
pub(crate) fn render(parts: &[Part], context: &str) -> Result<Vec<String>, Error> {
    let context: serde_json::Value = serde_json::from_str(context).map_err(|e| wrong(format!("the variables: {e}")))?;
    let context = Value::from(Serde(&context));
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_debug(true);
    let render = |part: &Part| {
        environment.render_named_str(&part.name, &part.source, &context).map_err(|e| wrong(explain(part, &e)))
    };
    parts.iter().map(render).collect()
}

fn wrong(message: String) -> Error {
    Error { code: "template".into(), message, retryable: false }
}

/// What is wrong, with the line and what stands there.
fn explain(part: &Part, error: &minijinja::Error) -> String {
    let name = part.name.split('.').next().unwrap_or_default();
    let line = error.line().map_or_else(String::new, |line| format!(", line {line}"));
    let there = error.range().and_then(|range| part.source.get(range)).map(str::trim).filter(|text| !text.is_empty());
    let there = there.map_or_else(String::new, |text| format!(" `{text}`"));
    let detail = error.detail().map_or_else(String::new, |detail| format!(": {detail}"));
    match error.kind() {
        minijinja::ErrorKind::UndefinedError => {
            format!(
                "the {name} of the template{line}:{there} is not known; give it with the message, or write `| default(…)`"
            )
        }
        kind => format!("the {name} of the template{line}:{there} {kind}{detail}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, source: &str) -> Part {
        Part { name: name.into(), source: source.into() }
    }

    #[test]
    fn values_are_escaped_in_html_and_nowhere_else() {
        let parts = [part("text.txt", "{{ who }}"), part("html.html", "<b>{{ who }}</b>")];
        let filled = render(&parts, r#"{"who": "<script>&"}"#).unwrap();
        assert_eq!(filled, ["<script>&", "<b>&lt;script&gt;&amp;</b>"]);
    }

    #[test]
    fn a_missing_variable_is_an_error_that_names_it_and_its_line() {
        let error = render(&[part("text.txt", "Dear\n{{ customer.nmae }}")], r#"{"customer": {"name": "Ada"}}"#);
        let message = error.unwrap_err().message;
        assert!(message.contains("line 2") && message.contains("customer.nmae"), "{message}");
    }

    #[test]
    fn a_template_that_does_not_read_names_its_line() {
        let message = render(&[part("html.html", "{% if %}")], "{}").unwrap_err().message;
        assert!(message.contains("html") && message.contains("line 1"), "{message}");
    }
}
