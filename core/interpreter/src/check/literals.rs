//! What a script says in so many words about objects, fields, event types and rules: the host holds it against the registry.
//!
//! A name is followed only where it can mean one thing: the parameter of `run`, and variables that are bound once in the whole
//! script and never assigned. All else is left to the run, which checks it again.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, BinaryExpr, Engine, Expr, FnCallExpr, OptimizationLevel, Position, Stmt};
use serde_json::{Value as Json, json};

use super::placed;

/// The calls that are told.
const CALLS: [&str; 14] = [
    "get",
    "refresh",
    "find",
    "count",
    "create",
    "update",
    "increment",
    "upsert",
    "delete",
    "tag",
    "untag",
    "emit",
    "wait_for",
    "setting",
];
/// The longest chain of variables and properties that is followed.
const STEPS_MAX: usize = 8;

/// A record or the event, as an expression names it: where it begins, and the properties from there.
#[derive(Debug, Clone)]
struct Origin {
    /// The object of the record; none: it begins with the event.
    object: Option<String>,
    path: Vec<(String, Position)>,
}

/// What the names of a script mean.
#[derive(Default)]
struct Names {
    /// The parameter of `run`, if nothing else has its name.
    event: Option<String>,
    known: BTreeMap<String, Origin>,
}

/// All that `source` says in so many words.
pub(super) fn literals(engine: &mut Engine, source: &str) -> Vec<Json> {
    // The optimiser would fold maps into values, which forget where their keys stand.
    engine.set_optimization_level(OptimizationLevel::None);
    let Ok(ast) = engine.compile(source) else { return Vec::new() };
    let names = Names::of(&ast);
    let mut found = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position))) => {
                found.extend(names.call(call, *position));
            }
            Some(ASTNode::Expr(chain @ Expr::Dot(..))) => found.extend(names.read(chain)),
            _ => {}
        }
        true
    });
    found
}

impl Names {
    fn of(ast: &AST) -> Self {
        let mut bound: BTreeMap<String, usize> = BTreeMap::new();
        let mut assigned: BTreeSet<String> = BTreeSet::new();
        let mut count = |name: &str| *bound.entry(name.to_owned()).or_default() += 1;
        for function in ast.iter_functions() {
            function.params.iter().for_each(|name| count(name));
        }
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(var, ..))) => count(&var.0.name),
                Some(ASTNode::Stmt(Stmt::For(each, _))) => {
                    count(&each.0.name);
                    each.1.iter().for_each(|counter| count(&counter.name));
                }
                Some(ASTNode::Stmt(Stmt::TryCatch(caught, _))) => {
                    if let Expr::Variable(name, ..) = &caught.expr {
                        count(&name.1);
                    }
                }
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                    if let Expr::Variable(name, ..) = &assignment.1.lhs {
                        assigned.insert(name.1.to_string());
                    }
                }
                _ => {}
            }
            true
        });
        let once = |name: &str| bound.get(name) == Some(&1) && !assigned.contains(name);
        let parameter = ast.iter_functions().find(|f| f.name == "run" && f.params.len() == 1);
        let event = parameter.map(|f| f.params[0].to_string()).filter(|name| once(name));
        let mut names = Self { event, known: BTreeMap::new() };
        ast.walk(&mut |path: &[ASTNode<'_>]| {
            let (name, origin) = match path.last() {
                Some(ASTNode::Stmt(Stmt::Var(var, ..))) => (&var.0.name, names.origin(&var.1, 0)),
                Some(ASTNode::Stmt(Stmt::For(each, _))) => (&each.0.name, found_by(&each.2.expr)),
                _ => return true,
            };
            if let (true, Some(origin)) = (once(name), origin) {
                names.known.insert(name.to_string(), origin);
            }
            true
        });
        names
    }

    /// What an expression names.
    fn origin(&self, expression: &Expr, steps: usize) -> Option<Origin> {
        if steps > STEPS_MAX {
            return None;
        }
        match expression {
            Expr::Variable(name, ..) if self.event.as_deref() == Some(name.1.as_str()) => {
                Some(Origin { object: None, path: Vec::new() })
            }
            Expr::Variable(name, ..) => self.known.get(name.1.as_str()).cloned(),
            Expr::Dot(pair, ..) => {
                let (mut origin, (more, whole)) = (self.origin(&pair.lhs, steps + 1)?, properties(&pair.rhs));
                origin.path.extend(more);
                whole.then_some(origin)
            }
            Expr::FnCall(call, _) => match (call.name.as_str(), call.args.len()) {
                ("get" | "create", 2) | ("upsert", 3) => of_object(text(&call.args[0])?.0),
                ("refresh" | "get", 1) => {
                    let origin = self.origin(&call.args[0], steps + 1)?;
                    Some(Origin { path: [origin.path, vec![(String::new(), Position::NONE)]].concat(), ..origin })
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn call(&self, call: &FnCallExpr, position: Position) -> Option<Json> {
        let name = call.name.as_str();
        if !CALLS.contains(&name) {
            return None;
        }
        let first = call.args.first()?;
        let mut json = placed(position, json!({ "call": name }));
        match (text(first), self.origin(first, 0)) {
            (Some((text, place)), _) => {
                // `update("customer/customer_no:1", …)` names the object, too.
                let object = text.split('/').next().unwrap_or_default();
                json["object"] = placed(place, json!({ "name": object }));
            }
            (None, Some(origin)) => json["target"] = origin.json(),
            (None, None) => return None,
        }
        let by_record = json.get("target").is_some() || text(first).is_some_and(|(text, _)| text.contains('/'));
        let (map, word, rule) = match (name, call.args.len()) {
            ("create" | "emit", 2) => (call.args.get(1), None, None),
            ("update", 2) if by_record => (call.args.get(1), None, None),
            ("update" | "emit", 3) => (call.args.get(2), None, None),
            ("upsert", 3) => (call.args.get(2), call.args.get(1), None),
            ("increment", 3) if by_record => (None, call.args.get(1), None),
            ("increment", 4) => (None, call.args.get(2), None),
            ("find" | "count" | "wait_for", 2..) => (call.args.get(2), None, call.args.get(1)),
            _ => (None, None, None),
        };
        if let Some(keys) = map.and_then(keys) {
            json["names"] = keys;
        }
        if let Some((word, place)) = word.and_then(text) {
            json["word"] = placed(place, json!({ "name": word }));
        }
        if let Some((rule, place)) = rule.and_then(text) {
            json["rule"] = placed(place, json!({ "name": rule }));
            // Without a map there are no parameters; with one that is made elsewhere nobody knows.
            json["params_known"] = (map.is_none() || json.get("names").is_some()).into();
        }
        Some(json)
    }

    /// A chain of properties that begins with something known.
    fn read(&self, chain: &Expr) -> Option<Json> {
        let Expr::Dot(pair, ..) = chain else { return None };
        let mut origin = self.origin(&pair.lhs, 0)?;
        origin.path.extend(properties(&pair.rhs).0);
        let position = origin.path.last()?.1;
        Some(placed(position, json!({ "call": "", "target": origin.json() })))
    }
}

impl Origin {
    fn json(&self) -> Json {
        let path: Vec<Json> = self.path.iter().map(|(name, at)| placed(*at, json!({ "name": name }))).collect();
        json!({ "object": self.object, "path": path })
    }
}

fn of_object(object: String) -> Option<Origin> {
    (!object.contains('/')).then(|| Origin { object: Some(object), path: Vec::new() })
}

/// What a loop over `find(…)` goes through.
fn found_by(expression: &Expr) -> Option<Origin> {
    let Expr::FnCall(call, _) = expression else { return None };
    if call.name != "find" {
        return None;
    }
    of_object(text(call.args.first()?)?.0)
}

/// The properties at the right of a dot, and whether that is all that stands there.
fn properties(expression: &Expr) -> (Vec<(String, Position)>, bool) {
    match expression {
        Expr::Property(name, position) => (vec![(name.2.to_string(), *position)], true),
        Expr::Dot(pair, ..) => {
            let BinaryExpr { lhs, rhs } = &**pair;
            let (mut first, whole) = properties(lhs);
            if !whole {
                return (first, false);
            }
            let (rest, whole) = properties(rhs);
            first.extend(rest);
            (first, whole)
        }
        _ => (Vec::new(), false),
    }
}

fn text(expression: &Expr) -> Option<(String, Position)> {
    match expression {
        Expr::StringConstant(text, position) => Some((text.to_string(), *position)),
        _ => None,
    }
}

/// The names in a map literal, each with its place.
fn keys(expression: &Expr) -> Option<Json> {
    let Expr::Map(entries, _) = expression else { return None };
    Some(entries.0.iter().map(|(name, _)| placed(name.pos, json!({ "name": name.name.as_str() }))).collect())
}

#[cfg(test)]
mod tests;
