//! Which automation can start which: from what they may write and emit to what starts them.
//!
//! ```text
//! rights of A ─▶ event types that A can bring about ─▶ triggers of B        an edge A ─event─▶ B
//! ```
//! An edge is left out only where it is certain that it cannot be: a right for a field changes that field alone, so a trigger
//! that asks for another one to change does not fire, be it by `on_change` or by comparing `before.x` with `after.x`. Any
//! other condition counts as one that may hold.

mod circles;

use std::collections::{BTreeMap, BTreeSet};

use rapport_model::automation::{Need, Trigger};
use rapport_model::name::RecordEventKind;
use rapport_model::rule::tree::{Base, Comparison, Condition, Term};
use rapport_model::rule::{ParamTypes, Rule};
use rapport_model::run::INVOKED;
use rapport_model::schema::Origin;
use rapport_model::{AutomationId, Declaration, EventType, Name, Schema};
use serde_json::{Value as Json, json};

use crate::automations::with_declared;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::gate::{Act, Caller};
use crate::registry::{AutomationKind, Version, scope_of};

/// What the fields of an event can be that an automation brings about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Touched {
    /// The record is new or gone, or the event is of a declared type: a trigger on fields finds them.
    Whole,
    /// Only these fields can have changed.
    Fields(BTreeSet<Name>),
}

/// One automation.
#[derive(Debug)]
struct Node {
    id: AutomationId,
    kind: AutomationKind,
    declaration: Declaration,
    /// What it can bring about.
    makes: BTreeMap<EventType, Touched>,
}

/// One automation can start another one, or itself, by an event.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edge {
    from: usize,
    to: usize,
    event: EventType,
}

/// Which automation can start which.
#[derive(Debug)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// Shortest circles, each once, as places in `edges`.
    circles: Vec<Vec<usize>>,
}

impl Engine {
    /// Which live automation can start which, by which events; and the circles among them.
    ///
    /// # Errors
    /// [`EngineError::Forbidden`].
    pub fn automation_graph(&self, caller: &Caller) -> Result<Json, EngineError> {
        caller.require(Act::Read)?;
        Ok(self.inner.live_graph().to_json())
    }
}

impl Inner {
    /// The graph of what is live.
    pub(crate) fn live_graph(&self) -> Graph {
        let snapshot = self.snapshot.load();
        let all = snapshot.active().iter().map(|v| (v.id.clone(), v.kind, v.declaration.clone())).collect();
        Graph::of(all, &self.store.schema())
    }

    /// The graph as it would be with `version` live.
    pub(crate) fn graph_with(&self, version: &Version) -> Graph {
        let snapshot = self.snapshot.load();
        let known = snapshot.active().iter().filter(|live| live.id != version.id);
        let mut all: Vec<_> = known.map(|v| (v.id.clone(), v.kind, v.declaration.clone())).collect();
        all.push((version.id.clone(), version.kind, version.declaration.clone()));
        let schema = self.store.schema();
        match with_declared(&schema, &version.declaration) {
            Ok(with) => Graph::of(all, &with),
            Err(_) => Graph::of(all, &schema),
        }
    }
}

impl Graph {
    /// The graph of these automations over `schema`.
    pub(crate) fn of(mut all: Vec<(AutomationId, AutomationKind, Declaration)>, schema: &Schema) -> Self {
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let nodes: Vec<Node> = all
            .into_iter()
            .map(|(id, kind, declaration)| {
                let makes = makes(&declaration, schema);
                Node { id, kind, declaration, makes }
            })
            .collect();
        let mut edges = Vec::new();
        for (from, maker) in nodes.iter().enumerate() {
            for (event, touched) in &maker.makes {
                let started =
                    nodes.iter().enumerate().filter(|(_, node)| starts(&node.declaration, event, touched, schema));
                edges.extend(started.map(|(to, _)| Edge { from, to, event: event.clone() }));
            }
            let invoked = nodes.iter().enumerate().filter(|(_, node)| invokes(&maker.declaration, node));
            edges.extend(invoked.map(|(to, _)| Edge { from, to, event: invocation() }));
        }
        let circles = circles::shortest(nodes.len(), &edges);
        Self { nodes, edges, circles }
    }

    /// What the author of `id` is told: the circles that it is part of.
    pub(crate) fn warnings_about(&self, id: &AutomationId) -> Vec<String> {
        let own = |circle: &&Vec<usize>| circle.iter().any(|edge| self.nodes[self.edges[*edge].from].id == *id);
        self.circles.iter().filter(own).map(|circle| self.warning(circle, Some(id))).collect()
    }

    fn warning(&self, circle: &[usize], first: Option<&AutomationId>) -> String {
        format!("can start itself: {}", self.chain(circle, first))
    }

    /// `a → customer.updated → b → order.updated → a`.
    fn chain(&self, circle: &[usize], first: Option<&AutomationId>) -> String {
        let name = |edge: &usize| &self.nodes[self.edges[*edge].from].id;
        let start = circle.iter().position(|edge| Some(name(edge)) == first).unwrap_or(0);
        let turned = circle.iter().cycle().skip(start).take(circle.len());
        let steps: Vec<String> = turned.clone().map(|e| format!("{} → {}", name(e), self.edges[*e].event)).collect();
        let end = turned.clone().next().map(|e| name(e).to_string()).unwrap_or_default();
        format!("{} → {end}", steps.join(" → "))
    }

    pub(crate) fn to_json(&self) -> Json {
        let id = |place: usize| &self.nodes[place].id;
        let automations: Vec<Json> = self.nodes.iter().map(Node::to_json).collect();
        let edges: Vec<Json> =
            self.edges.iter().map(|e| json!({ "from": id(e.from), "event": e.event, "to": id(e.to) })).collect();
        let circle = |circle: &Vec<usize>| {
            let through: Vec<&AutomationId> = circle.iter().map(|edge| id(self.edges[*edge].from)).collect();
            json!({ "automations": through, "chain": self.chain(circle, None) })
        };
        let circles: Vec<Json> = self.circles.iter().map(circle).collect();
        json!({ "automations": automations, "edges": edges, "circles": circles })
    }
}

impl Node {
    fn to_json(&self) -> Json {
        let makes = self.makes.iter().map(|(event, touched)| match touched {
            Touched::Whole => json!({ "event": event }),
            Touched::Fields(fields) => json!({ "event": event, "fields": fields }),
        });
        json!({
            "id": self.id,
            "kind": self.kind,
            "title": self.declaration.title,
            "triggers": self.declaration.triggers,
            "schedules": self.declaration.schedules,
            "makes": makes.collect::<Vec<_>>(),
        })
    }
}

/// The types of events that an automation with this declaration can bring about.
pub(crate) fn kinds_made(declaration: &Declaration, schema: &Schema) -> impl Iterator<Item = EventType> {
    makes(declaration, schema).into_keys()
}

/// The events that an automation with these rights can bring about.
fn makes(declaration: &Declaration, schema: &Schema) -> BTreeMap<EventType, Touched> {
    use RecordEventKind::{Created, Deleted, Updated};
    let may = |need: Need<'_>| declaration.uses.iter().any(|right| right.covers(need));
    let mut found = BTreeMap::new();
    for object in schema.objects.values().filter(|object| object.origin != Origin::System) {
        let name = object.name.as_str();
        if may(Need::Create(name)) {
            found.insert(EventType::of_record(&object.name, Created), Touched::Whole);
        }
        if may(Need::Delete(name)) {
            found.insert(EventType::of_record(&object.name, Deleted), Touched::Whole);
        }
        let fields: BTreeSet<Name> = object
            .fields
            .iter()
            .map(|field| &field.name)
            .filter(|field| may(Need::Write(name, field.as_str())))
            .cloned()
            .collect();
        if !fields.is_empty() {
            found.insert(EventType::of_record(&object.name, Updated), Touched::Fields(fields));
        }
    }
    let emitted = schema.event_types.keys().filter(|kind| may(Need::Emit(kind.as_str())));
    found.extend(emitted.map(|kind| (kind.clone(), Touched::Whole)));
    found
}

/// Whether an automation with this declaration may start runs of `node` by name.
fn invokes(declaration: &Declaration, node: &Node) -> bool {
    let may = |name: &str| declaration.uses.iter().any(|right| right.covers(Need::Invoke(name)));
    let mut acting = node.declaration.actions.iter().filter(|action| !action.readonly);
    (node.declaration.invocable && may(node.id.as_str()))
        || acting.any(|action| may(&format!("{}.{}", node.id, action.name)))
}

/// The type of the event by which runs are started by name.
fn invocation() -> EventType {
    EventType::new(INVOKED).expect("the types of core events are valid: a test reads them all")
}

/// Whether an event of type `event` that touches `touched` can start an automation with this declaration.
fn starts(declaration: &Declaration, event: &EventType, touched: &Touched, schema: &Schema) -> bool {
    let own = declaration.triggers.iter().filter(|trigger| trigger.matches_type(event));
    own.into_iter().any(|trigger| fires(trigger, event, touched, schema))
}

fn fires(trigger: &Trigger, event: &EventType, touched: &Touched, schema: &Schema) -> bool {
    if let (Touched::Fields(fields), false) = (touched, trigger.changed.is_empty())
        && !trigger.changed.iter().any(|field| fields.contains(field))
    {
        return false;
    }
    let Some(text) = trigger.condition.as_deref() else { return true };
    let Some(scope) = scope_of(schema, event) else { return false };
    match (Rule::parse(text, &scope, schema, &ParamTypes::none()), touched) {
        // A condition that does not read for a type never holds for it.
        (Err(_), _) => false,
        (Ok(_), Touched::Whole) => true,
        (Ok(rule), Touched::Fields(fields)) => may_hold(rule.root(), fields),
    }
}

/// Whether a condition can hold for a change that touches `fields` alone.
fn may_hold(condition: &Condition, fields: &BTreeSet<Name>) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| may_hold(part, fields)),
        Condition::Any(parts) => parts.iter().any(|part| may_hold(part, fields)),
        Condition::Compare(comparison, left, right) => {
            let same = unchanged(left, right, fields);
            let holds_for_equals =
                matches!(comparison, Comparison::Equal | Comparison::LessOrEqual | Comparison::GreaterOrEqual);
            !same || holds_for_equals
        }
        // Two that are surely equal are surely not unequal.
        Condition::Not(inner) => match &**inner {
            Condition::Compare(Comparison::Equal, left, right) => !unchanged(left, right, fields),
            _ => true,
        },
        Condition::Holds(_)
        | Condition::IsNull(_)
        | Condition::In(..)
        | Condition::Text(..)
        | Condition::Tagged(..)
        | Condition::Did(_)
        | Condition::InSegment(..) => true,
    }
}

/// Whether two terms are one field before and after a change that does not touch it.
fn unchanged(left: &Term, right: &Term, fields: &BTreeSet<Name>) -> bool {
    let (Term::Field(left), Term::Field(right)) = (left, right) else { return false };
    // The bare name of a field is its value after the change.
    let sides = |one: &Base, other: &Base| matches!((one, other), (Base::Before, Base::After | Base::Own));
    let both = sides(&left.base, &right.base) || sides(&right.base, &left.base);
    both && left.name == right.name && !fields.contains(&left.name) && !is_system(&left.name)
}

/// Fields that change with every write.
fn is_system(name: &Name) -> bool {
    matches!(name.as_str(), "version" | "updated_at")
}

#[cfg(test)]
mod tests;
