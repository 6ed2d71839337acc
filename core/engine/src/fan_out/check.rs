//! Holds what automations declare about fan-outs against the schema.

use rapport_model::automation::Need;
use rapport_model::fan_out::Each;
use rapport_model::rule::{ParamTypes, Rule, Scope};
use rapport_model::{Declaration, Schema};

use crate::gate::visible_object;

/// What is wrong with the fan-outs of `declaration`, in words for its author: an object that is not there, a rule that does not
/// read, a right that is missing to read what the rule looks at.
pub(crate) fn problems(declaration: &Declaration, schema: &Schema) -> Vec<String> {
    let mut problems = Vec::new();
    for each in declaration.schedules.iter().filter_map(|schedule| schedule.each.as_ref()) {
        // The fan-out of a script is that of all its schedules.
        problems.extend(problem(each, declaration, schema).filter(|told| !problems.contains(told)));
    }
    problems
}

fn problem(each: &Each, declaration: &Declaration, schema: &Schema) -> Option<String> {
    let object = match visible_object(schema, each.object.as_str()) {
        Ok(object) => object,
        Err(error) => return Some(format!("{error} (`each` goes through the records of an object)")),
    };
    let text = each.rule.as_deref()?;
    let rule = match Rule::parse_with_history(text, &Scope::Record(object), schema, &ParamTypes::none()) {
        Ok(rule) => rule,
        Err(error) => return Some(format!("the rule `{text}` of each: {error}")),
    };
    let is_declared = |object: &str| declaration.uses.iter().any(|right| right.covers(Need::Read(object)));
    let told =
        rule.dids().iter().filter(|did| did.is_change).filter_map(|did| Some(did.kind.as_str().rsplit_once('.')?.0));
    let mut looked_at = rule.references().iter().map(|reference| reference.object.as_str()).chain(told);
    let unread = looked_at.find(|object| !is_declared(object))?;
    let right = Need::Read(unread).as_capability();
    Some(format!("the rule `{text}` of each looks at a {unread}: declare the right `{right}`"))
}
