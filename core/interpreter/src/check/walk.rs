//! Walks a parsed script: finds calls of functions that do not exist, and the host calls whose names stand in the text.

use std::collections::BTreeSet;

use rhai::{AST, ASTNode, Expr, FnCallExpr, ImmutableString, Position, Stmt};
use serde_json::{Value as Json, json};

use super::{DECLARATIONS, Problem, STARTS, placed};
use crate::language;
use crate::nearest::nearest;

/// The host's functions that need a right.
const HOST_CALLS: [&str; 10] =
    ["get", "find", "count", "create", "update", "increment", "upsert", "delete", "tag", "untag"];

/// The field that `tag` and `untag` write.
const TAGS: &str = "tags";

/// The host's functions that read a calendar.
const CALENDAR_CALLS: [&str; 2] = ["within_business", "business_seconds"];

/// The host's functions that wait.
const WAITING_CALLS: [&str; 4] = ["sleep", "wait_for", "ask", "invoke"];

/// The host's functions through which something leaves.
const OUTBOUND_CALLS: [&str; 2] = ["http", "send"];

/// Every host call with a literal object or event type. What cannot be right goes to `problems`.
pub(super) fn calls(ast: &AST, problems: &mut Vec<Problem>) -> Vec<Json> {
    let known: BTreeSet<(String, usize)> = language::signatures().into_iter().collect();
    let scripted: BTreeSet<(String, usize)> =
        ast.iter_functions().map(|f| (f.name.to_string(), f.params.len())).collect();
    let mut found = Vec::new();
    let mut started = false;
    let top_level: BTreeSet<_> =
        ast.statements().iter().map(Stmt::position).collect::<Vec<_>>().into_iter().map(key).collect();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        let Some((call, position, arguments)) = path.last().and_then(call_of) else { return true };
        let declares = DECLARATIONS.iter().any(|d| d.0 == call.name);
        let outside = path.first().is_some_and(|n| top_level.contains(&key(n.position())));
        if declares && outside {
            started |= STARTS.contains(&call.name.as_str());
            arity(call, position, problems);
        } else if let Some(problem) = unknown(call, arguments, position, &known, &scripted) {
            problems.push(problem);
        } else {
            found.extend(host_call(call, position));
        }
        true
    });
    problems.extend(no_run(ast, started));
    found
}

/// What is wrong with the function `run`, which a script has that something starts. One that only holds functions has none.
fn no_run(ast: &AST, started: bool) -> Option<Problem> {
    let named: Vec<usize> = ast.iter_functions().filter(|f| f.name == "run").map(|f| f.params.len()).collect();
    let message = match named.first() {
        _ if named.contains(&1) => return None,
        Some(count) => format!("`run` takes one parameter, the event, not {count}"),
        None if started => "there is no function `run`".into(),
        None => return None,
    };
    Some(Problem::new(Position::NONE, message, "write `fn run(event) { … }`"))
}

/// The names of the properties that a script reads.
pub(crate) fn properties(ast: &AST) -> BTreeSet<ImmutableString> {
    let mut names = BTreeSet::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::Property(property, _))) = path.last() {
            names.insert(property.2.clone());
        }
        true
    });
    names
}

fn key(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}

/// The call that a node is, where it stands, and how many arguments it has, the object of a method included.
fn call_of<'a>(node: &ASTNode<'a>) -> Option<(&'a FnCallExpr, Position, usize)> {
    let (call, position, extra) = match node {
        ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position)) => {
            (call, *position, 0)
        }
        ASTNode::Expr(Expr::MethodCall(call, position)) => (call, *position, 1),
        _ => return None,
    };
    Some((call, position, call.args.len() + extra))
}

fn arity(call: &FnCallExpr, position: Position, problems: &mut Vec<Problem>) {
    let Some((name, least, most)) = DECLARATIONS.iter().find(|d| d.0 == call.name) else { return };
    let count = call.args.len();
    if !(*least..=*most).contains(&count) {
        problems.push(Problem::new(position, format!("`{name}` cannot take {count} arguments"), usage(name)));
    }
}

/// How a declaration is written.
fn usage(name: &str) -> &'static str {
    match name {
        "on" => "write `on(\"order.created\")` or `on(\"order.created\", \"amount > 100\")`",
        "every" => "write `every(\"0 10 * * MON\", \"Asia/Shanghai\", #{ misfire: \"once\", overlap: \"skip\" })`",
        "invocable" => "write `invocable()`",
        "each" => "write `each(\"customer\", \"points > 1000\", #{ per_minute: 600 })`",
        "on_change" => "write `on_change(\"customer\", [\"points\"])`",
        "segment" => "write `segment(\"big-spenders\", \"lifetime_value > 5000\")`",
        "uses" => "write `uses(\"customer:read\", \"customer.points:write\")`, 16 rights at most in one call",
        "setting" => "write `setting(\"discount\", 10)` at the top level, `setting(\"discount\")` in `run`",
        "field" => "write `field(\"customer\", \"points\", \"integer\", #{ default: 0 })`",
        "rollup" => {
            "write `rollup(\"customer\", \"visits\", \"count\", \"interaction\", #{ where: \"channel == 'visit'\" })`"
        }
        "formula" => "write `formula(\"customer\", \"per_order\", \"size(name) * order_count\")`",
        "event_type" => "write `event_type(\"tier.changed\", #{ from: \"text\", to: \"text\" })`",
        _ => "write `object(\"voucher\", #{ code: \"text\", amount: \"decimal(2)\" })`",
    }
}

fn unknown(
    call: &FnCallExpr,
    arguments: usize,
    position: Position,
    known: &BTreeSet<(String, usize)>,
    scripted: &BTreeSet<(String, usize)>,
) -> Option<Problem> {
    let name = call.name.as_str();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if call.op_token.is_some() || !is_name || name.contains('$') || language::KEYWORDS.contains(&name) {
        return None;
    }
    let signature = (name.to_owned(), arguments);
    if known.contains(&signature)
        || scripted.contains(&signature)
        || scripted.contains(&(name.to_owned(), call.args.len()))
    {
        return None;
    }
    if DECLARATIONS.iter().any(|d| d.0 == name) {
        let message = format!("`{name}` declares and cannot be called in a function");
        return Some(Problem::new(position, message, "write it at the top level of the script"));
    }
    let all = || known.iter().chain(scripted);
    let counts: Vec<_> = all().filter(|(n, _)| n == name).map(|(_, count)| count.to_string()).collect();
    if !counts.is_empty() {
        let message = format!("`{name}` cannot take {arguments} arguments");
        return Some(Problem::new(position, message, format!("it takes {}", counts.join(" or "))));
    }
    let near = nearest(name, all().map(|(n, _)| n.as_str()));
    let help = near.map_or_else(String::new, |n| format!("did you mean `{n}`?"));
    Some(Problem::new(position, format!("there is no function `{name}`"), help))
}

/// A host call whose object or event type stands in the text: the host holds it against the declared rights.
fn host_call(call: &FnCallExpr, position: Position) -> Option<Json> {
    let name = call.name.as_str();
    if name == "wait_any" {
        return Some(placed(position, json!({ "call": name, "object": "", "fields": event_types(call) })));
    }
    if CALENDAR_CALLS.contains(&name) {
        return Some(placed(position, json!({ "call": name, "object": "calendar", "fields": [] })));
    }
    if WAITING_CALLS.contains(&name) {
        let first = call.args.first().and_then(text).unwrap_or_default();
        return Some(placed(position, json!({ "call": name, "object": first, "fields": [] })));
    }
    if OUTBOUND_CALLS.contains(&name) {
        let (place, options) = if name == "http" { (1, call.args.get(2)) } else { (0, None) };
        let about = call.args.get(place).and_then(text).unwrap_or_default();
        let secret: Vec<String> = options.and_then(|map| value(map, "secret")).into_iter().collect();
        return Some(placed(position, json!({ "call": name, "object": about, "fields": secret })));
    }
    let first = text(call.args.first()?)?;
    let fields = match (name, call.args.len()) {
        ("emit" | "get" | "find" | "count" | "delete", _) => Vec::new(),
        ("create", 2) => keys(&call.args[1]),
        ("upsert" | "update", 3) => keys(&call.args[2]),
        ("increment", 4) => text(&call.args[2]).into_iter().collect(),
        ("tag" | "untag", 3) => vec![TAGS.to_owned()],
        // `update("customer/…", …)` and the like: the object is not a word of its own.
        _ => return None,
    };
    let about_object = HOST_CALLS.contains(&name) && !first.contains('/');
    if name != "emit" && !about_object {
        return None;
    }
    Some(placed(position, json!({ "call": name, "object": first, "fields": fields })))
}

/// The types of the events in the list of a `wait_any`, as far as they stand in the text.
fn event_types(call: &FnCallExpr) -> Vec<String> {
    let of_map = |expression: &Expr| match expression {
        Expr::Map(entries, _) => entries.0.iter().find(|(name, _)| name.name == "event").and_then(|(_, e)| text(e)),
        Expr::DynamicConstant(value, _) => of_constant(value),
        _ => None,
    };
    match call.args.first() {
        Some(Expr::Array(items, _)) => items.iter().filter_map(of_map).collect(),
        Some(Expr::DynamicConstant(value, _)) => {
            value.read_lock::<rhai::Array>().map_or_else(Vec::new, |all| all.iter().filter_map(of_constant).collect())
        }
        _ => Vec::new(),
    }
}

fn of_constant(value: &rhai::Dynamic) -> Option<String> {
    let map = value.read_lock::<rhai::Map>()?;
    map.get("event")?.as_immutable_string_ref().ok().map(|text| text.to_string())
}

fn text(expression: &Expr) -> Option<String> {
    match expression {
        Expr::StringConstant(text, _) => Some(text.to_string()),
        _ => None,
    }
}

/// The text that stands for `name` in a map literal.
fn value(expression: &Expr, name: &str) -> Option<String> {
    match expression {
        Expr::Map(entries, _) => entries.0.iter().find(|(key, _)| key.name == name).and_then(|(_, e)| text(e)),
        Expr::DynamicConstant(map, _) => {
            let map = map.read_lock::<rhai::Map>()?;
            map.get(name)?.as_immutable_string_ref().ok().map(|text| text.to_string())
        }
        _ => None,
    }
}

/// The names in a map literal.
fn keys(expression: &Expr) -> Vec<String> {
    match expression {
        Expr::Map(entries, _) => entries.0.iter().map(|(name, _)| name.name.to_string()).collect(),
        Expr::DynamicConstant(value, _) => {
            value.read_lock::<rhai::Map>().map_or_else(Vec::new, |m| m.keys().map(ToString::to_string).collect())
        }
        _ => Vec::new(),
    }
}
