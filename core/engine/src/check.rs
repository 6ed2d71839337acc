//! Holds what a script says in so many words against the registry: before anything runs, with line and column.
//!
//! Only what is certainly wrong is told. What is computed, and what a name may mean that is bound twice, is left to the run,
//! which checks every call in any case.

mod files;
mod targets;

use rapport_model::automation::Need;
use rapport_model::nearest::nearest;
use rapport_model::rule::tree::{Base, Comparison, Condition, Datum, Term};
use rapport_model::rule::{ParamTypes, Rule, RuleError, Scope};
use rapport_model::schema::{EventTypeDef, FieldDef};
use rapport_model::{Declaration, EventType, ObjectDef, Schema, tags};
use rapport_sandbox::{Diagnostic, Examined, Literal, Named};

use crate::automations::{check_against, with_declared};
use crate::error::EngineError;
use crate::gate::{allows, visible_object};
use crate::registry::scope_of;
use crate::schema::{is_record_event, unknown_right};
pub use files::{FileToCheck, check_alone};
use targets::{Found, Started};

/// What a check goes by.
struct Checker<'a> {
    path: &'a str,
    declaration: &'a Declaration,
    /// The registry as it would be with what the script declares.
    schema: &'a Schema,
    started: Started<'a>,
    wrong: Vec<Diagnostic>,
}

/// Everything that is wrong with what the script at `path` says in so many words. `schema` is the registry as it would be with
/// what it declares.
pub(crate) fn check(path: &str, literals: &[Literal], declaration: &Declaration, schema: &Schema) -> Vec<Diagnostic> {
    let started = Started::of(declaration, schema);
    let mut checker = Checker { path, declaration, schema, started, wrong: Vec::new() };
    for literal in literals {
        checker.literal(literal);
    }
    // One thing may be told twice: where it is read, and where it is used.
    checker.wrong.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
    checker.wrong.dedup();
    checker.wrong
}

/// Holds what is known of a script against the schema as it would be with what it declares.
pub(crate) fn check_examined(
    schema: &Schema,
    (path, source): (&str, &str),
    Examined { declaration, literals, undeclared }: Examined,
) -> Result<Declaration, EngineError> {
    check_against(schema, &declaration).map_err(|problems| at_script(path, source, problems))?;
    let with = with_declared(schema, &declaration).map_err(|e| at_script(path, source, vec![e]))?;
    let mut wrong = check(path, &literals, &declaration, &with);
    // A right to what does not exist is no help: that it does not exist is told.
    wrong.extend(undeclared.into_iter().filter(|lacks| !names_unknown(&with, lacks)));
    wrong.sort_by_key(|problem| (problem.line, problem.column));
    if wrong.is_empty() { Ok(declaration) } else { Err(EngineError::Script(wrong)) }
}

impl<'a> Checker<'a> {
    fn literal(&mut self, literal: &Literal) {
        match literal.call.as_str() {
            "" => {
                if let Some(target) = &literal.target
                    && let Err(astray) = targets::follow(&self.started, self.schema, target)
                {
                    let (place, message, help) = *astray;
                    self.say(&place, message, help);
                }
            }
            "setting" => self.setting(literal),
            "emit" => self.emit(literal),
            "wait_for" => self.wait_for(literal),
            _ => self.on_records(literal),
        }
    }

    fn say(&mut self, place: &Named, message: String, help: String) {
        self.wrong.push(place.diagnostic(self.path, message, help));
    }

    fn setting(&mut self, literal: &Literal) {
        let Some(name) = &literal.object else { return };
        let names = || self.declaration.settings.iter().map(|def| def.name.as_str());
        if names().any(|known| known == name.name) {
            return;
        }
        let help = did_you_mean(&name.name, names(), || {
            format!("write `setting(\"{}\", …);` with its default at the top level", name.name)
        });
        self.say(name, format!("there is no setting `{}`", name.name), help);
    }

    /// The object that a call is about, and whether the call names it itself.
    fn object(&mut self, literal: &Literal) -> Option<(&'a ObjectDef, bool)> {
        if let Some(name) = &literal.object {
            let schema: &'a Schema = self.schema;
            let object = schema.object(&name.name).filter(|_| visible_object(schema, &name.name).is_ok());
            if object.is_none() {
                let visible = schema.objects.keys().filter(|known| visible_object(schema, known.as_str()).is_ok());
                let help = did_you_mean(&name.name, visible.map(rapport_model::Name::as_str), || {
                    format!("declare it: `object(\"{}\", #{{ … }});`", name.name)
                });
                self.say(name, format!("there is no object `{}`", name.name), help);
            }
            return object.map(|object| (&**object, true));
        }
        match targets::follow(&self.started, self.schema, literal.target.as_ref()?) {
            Ok(Found::Record(object) | Found::Reference(object)) => Some((object, false)),
            // What is wrong with the path is told where it is read.
            Ok(Found::Other) | Err(_) => None,
        }
    }

    fn on_records(&mut self, literal: &Literal) {
        let Some((object, named)) = self.object(literal) else { return };
        for field in literal.names.iter().flatten().filter(|_| literal.rule.is_none()) {
            if self.known_field(object, field) {
                self.writable(object, field);
            }
        }
        if let Some(word) = &literal.word
            && self.known_field(object, word)
            && literal.call == "upsert"
            && object.field(&word.name).is_some_and(|field| !field.unique)
        {
            let unique: Vec<String> = object.unique_fields().map(|field| format!("`{}`", field.name)).collect();
            let help = if unique.is_empty() { String::new() } else { format!("there is {}", unique.join(", ")) };
            self.say(word, format!("`{}` is not unique: upsert needs a field that is", word.name), help);
        }
        if literal.call == "create"
            && let Some(given) = &literal.names
        {
            self.required(&object.fields, given, (literal, object.name.as_str()));
        }
        if matches!(literal.call.as_str(), "find" | "count") {
            self.rule(literal, &Scope::Record(std::sync::Arc::new(object.clone())));
        }
        if !named {
            self.rights(literal, object);
        }
    }

    /// The rights of a call that names its record, but not its object. Those of others are checked where the script is read.
    fn rights(&mut self, literal: &Literal, object: &ObjectDef) {
        let name = object.name.as_str();
        let fields = literal.names.iter().flatten().chain(&literal.word);
        let needs: Vec<Need<'_>> = match literal.call.as_str() {
            "get" | "refresh" => vec![Need::Read(name)],
            "delete" => vec![Need::Delete(name)],
            "update" | "increment" => {
                let known = fields.filter(|field| object.field(&field.name).is_some());
                known.map(|field| Need::Write(name, &field.name)).collect()
            }
            "tag" | "untag" => vec![Need::Write(name, tags::FIELD)],
            _ => Vec::new(),
        };
        for need in needs {
            self.right(need, (literal.line, literal.column), &literal.call);
        }
    }

    fn right(&mut self, need: Need<'_>, (line, column): (u32, u32), call: &str) {
        if allows(&self.declaration.uses, need) {
            return;
        }
        let right = need.as_capability();
        let message = format!("`{call}` needs the right `{right}`, which the script does not declare");
        let place = Named { name: String::new(), line, column };
        self.say(&place, message, format!("write `uses(\"{right}\");` at the top level"));
    }

    /// Says so if a roll-up is written.
    fn writable(&mut self, object: &ObjectDef, field: &Named) {
        let rollup = object.field(&field.name).and_then(|field| field.rollup.as_ref());
        if let Some(rollup) = rollup {
            let message = format!("`{}` is a roll-up: it follows from its `{}` records", field.name, rollup.object);
            self.say(field, message, format!("write those, and leave `{}` out", field.name));
        }
    }

    fn known_field(&mut self, object: &ObjectDef, field: &Named) -> bool {
        let known = object.field(&field.name).is_some();
        if !known {
            let help = did_you_mean(&field.name, object.fields.iter().map(|f| f.name.as_str()), || {
                format!("declare it: `field(\"{}\", \"{}\", \"text\");`", object.name, field.name)
            });
            self.say(field, format!("`{}` has no field `{}`", object.name, field.name), help);
        }
        known
    }

    fn required(&mut self, fields: &[FieldDef], given: &[Named], (literal, owner): (&Literal, &str)) {
        let missing = |field: &&FieldDef| {
            field.required && field.default.is_none() && !given.iter().any(|name| name.name == field.name.as_str())
        };
        let place = Named { name: String::new(), line: literal.line, column: literal.column };
        for field in fields.iter().filter(missing) {
            self.say(&place, format!("`{owner}` needs `{}`", field.name), String::new());
        }
    }

    fn event_type(&mut self, name: &Named) -> Option<&'a EventTypeDef> {
        let schema: &'a Schema = self.schema;
        let found = schema.event_type(&name.name);
        if found.is_none() {
            let help = did_you_mean(&name.name, schema.event_types.keys().map(EventType::as_str), || {
                format!("declare it: `event_type(\"{}\", #{{ … }});`", name.name)
            });
            self.say(name, format!("there is no event type `{}`", name.name), help);
        }
        found.map(|def| &**def)
    }

    fn emit(&mut self, literal: &Literal) {
        let Some(name) = &literal.object else { return };
        if EventType::new(&name.name).is_ok_and(|kind| is_record_event(self.schema, &kind)) {
            let message = format!("`{}` is a change of a record: it comes from the core alone", name.name);
            return self.say(name, message, "write the record instead".to_owned());
        }
        let Some(def) = self.event_type(name) else { return };
        let Some(given) = &literal.names else { return };
        for field in given.iter().filter(|field| !def.fields.iter().any(|f| f.name.as_str() == field.name)) {
            let help = did_you_mean(&field.name, def.fields.iter().map(|f| f.name.as_str()), String::new);
            self.say(field, format!("the event `{}` has no field `{}`", def.name, field.name), help);
        }
        self.required(&def.fields, given, (literal, def.name.as_str()));
    }

    fn wait_for(&mut self, literal: &Literal) {
        let Some(name) = &literal.object else { return };
        let scope = EventType::new(&name.name).ok().and_then(|kind| scope_of(self.schema, &kind));
        let Some(scope) = scope else {
            let of_records = self
                .schema
                .objects
                .keys()
                .flat_map(|object| ["created", "updated", "deleted"].map(|what| format!("{object}.{what}")));
            let all: Vec<String> = of_records.chain(self.schema.event_types.keys().map(ToString::to_string)).collect();
            let help = did_you_mean(&name.name, all.iter().map(String::as_str), String::new);
            return self.say(name, format!("there is no event type `{}`", name.name), help);
        };
        let Some(rule) = self.rule(literal, &scope) else { return };
        let Some(place) = &literal.rule else { return };
        if let Some(other) = rule.references().first() {
            let message = format!("the rule looks at another record (`{}`)", other.object);
            self.say(place, message, "a rule that is waited for looks at the event alone".to_owned());
        } else if !can_be_found(&rule) {
            let message = "the rule holds no field equal to a value, by which the event could be found".to_owned();
            self.say(place, message, "write `customer == c && …` with `#{ c: … }`".to_owned());
        }
    }

    /// The rule of a call, if it is known with its parameters and is no empty one.
    fn rule(&mut self, literal: &Literal, scope: &Scope) -> Option<Rule> {
        let text = literal.rule.as_ref().filter(|rule| literal.params_known && !rule.name.trim().is_empty())?;
        let params = literal.names.iter().flatten();
        let params = params.fold(ParamTypes::none(), |params, name| params.with(&name.name, None));
        match Rule::parse(&text.name, scope, self.schema, &params) {
            Ok(rule) => {
                for reference in rule.references() {
                    self.right(Need::Read(reference.object.as_str()), (text.line, text.column), &literal.call);
                }
                Some(rule)
            }
            Err(error) => {
                let place = inside(text, &error);
                self.say(&place, format!("in the rule: {}", error.message), error.help);
                None
            }
        }
    }
}

/// Whether a right that is missing is one to what does not exist.
fn names_unknown(schema: &Schema, lacks: &Diagnostic) -> bool {
    let rights = lacks.message.split('`').skip(1).step_by(2).filter_map(|word| word.parse().ok());
    rights.into_iter().any(|right| unknown_right(schema, &right).is_some())
}

/// Where a rule's error stands in the script, if the rule is written in plain quotes.
fn inside(text: &Named, error: &RuleError) -> Named {
    let column = if error.line == 1 { text.column + error.column } else { error.column };
    Named { name: String::new(), line: text.line + error.line - 1, column }
}

/// Whether a rule holds a field of the event equal to something, as a wait needs it.
fn can_be_found(rule: &Rule) -> bool {
    let parts = match rule.root() {
        Condition::All(parts) => parts.as_slice(),
        one => std::slice::from_ref(one),
    };
    let own = |term: &Term| matches!(term, Term::Field(field) if field.base == Base::Own);
    let fixed = |term: &Term| {
        let literal = matches!(term, Term::Literal(Datum::Text(_) | Datum::Reference(_) | Datum::Boolean(_)));
        literal || matches!(term, Term::Param(..))
    };
    parts.iter().any(|part| match part {
        Condition::Compare(Comparison::Equal, left, right) => {
            (own(left) && fixed(right)) || (fixed(left) && own(right))
        }
        _ => false,
    })
}

fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>, otherwise: impl FnOnce() -> String) -> String {
    nearest(name, known).map_or_else(otherwise, |near| format!("did you mean `{near}`?"))
}

/// Puts problems at the lines of a script where the words in backquotes stand.
pub(crate) fn at_script(path: &str, source: &str, problems: Vec<String>) -> EngineError {
    let diagnostics = problems.into_iter().map(|message| {
        let mut quoted = message.split('`').skip(1).step_by(2).filter(|w| !w.is_empty());
        let place = quoted.find_map(|word| find_word(source, word)).unwrap_or((1, 1));
        Diagnostic { path: path.to_owned(), line: place.0, column: place.1, message, help: String::new() }
    });
    EngineError::Script(diagnostics.collect())
}

fn find_word(source: &str, word: &str) -> Option<(u32, u32)> {
    source.lines().enumerate().find_map(|(index, line)| {
        let at = line.find(word)?;
        let column = line[..at].chars().count() + 1;
        Some((u32::try_from(index + 1).ok()?, u32::try_from(column).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_placed_where_its_word_stands() {
        let error = at_script("a.rhai", "\n  on(\"oder.paid\");", vec!["there is no event type `oder.paid`".into()]);
        assert_eq!(error.to_string(), "a.rhai:2:7: there is no event type `oder.paid`");
    }
}
