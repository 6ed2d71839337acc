use std::sync::Arc;

use super::*;

fn schema() -> Schema {
    let mut schema = Schema::default();
    schema.objects.extend(rapport_model::standard::objects().into_iter().map(|o| (o.name.clone(), Arc::new(o))));
    schema
        .event_types
        .extend(rapport_model::standard::event_types().into_iter().map(|t| (t.name.clone(), Arc::new(t))));
    schema
}

fn trigger(event: &str, changed: &[&str], condition: Option<&str>) -> Trigger {
    let changed = changed.iter().map(|name| Name::new(name).unwrap()).collect();
    Trigger { event: event.into(), changed, condition: condition.map(Into::into) }
}

fn automation(id: &str, triggers: Vec<Trigger>, uses: &[&str]) -> (AutomationId, AutomationKind, Declaration) {
    let uses = uses.iter().map(|right| right.parse().unwrap()).collect();
    let declaration = Declaration { triggers, uses, ..Declaration::default() };
    (AutomationId::new(id).unwrap(), AutomationKind::Script, declaration)
}

fn edges(graph: &Graph) -> Vec<String> {
    let name = |place: usize| graph.nodes[place].id.as_str();
    graph.edges.iter().map(|e| format!("{} {} {}", name(e.from), e.event, name(e.to))).collect()
}

#[test]
fn a_right_for_a_field_starts_what_asks_for_that_field_alone() {
    let all = vec![
        automation("points", vec![trigger("order.created", &[], None)], &["order:read", "customer.notes:write"]),
        automation("notes", vec![trigger("customer.updated", &["notes"], None)], &["customer:read"]),
        automation("city", vec![trigger("customer.updated", &["city"], None)], &[]),
        automation("any", vec![trigger("customer.*", &[], None)], &[]),
    ];
    assert_eq!(edges(&Graph::of(all, &schema())), ["points customer.updated any", "points customer.updated notes"]);
}

#[test]
fn a_condition_that_asks_for_a_change_is_respected_and_any_other_may_hold() {
    let on = |condition| vec![trigger("customer.updated", &[], Some(condition))];
    let all = vec![
        automation("maker", vec![trigger("order.created", &[], None)], &["customer.notes:write"]),
        automation("a", on("before.city != after.city"), &[]),
        automation("b", on("after.city != before.city && country == 'Germany'"), &[]),
        automation("c", on("before.city != after.city || before.notes != after.notes"), &[]),
        automation("d", on("before.city == after.city"), &[]),
        automation("e", on("country == 'Germany'"), &[]),
        automation("f", on("!(before.city == city)"), &[]),
        automation("g", on("before.version < version"), &[]),
    ];
    let started = ["c", "d", "e", "g"].map(|id| format!("maker customer.updated {id}"));
    assert_eq!(edges(&Graph::of(all, &schema())), started);
}

#[test]
fn a_condition_that_does_not_read_for_a_type_never_holds_for_it() {
    let all = vec![
        automation("maker", vec![], &["order:create", "customer:create"]),
        automation("reader", vec![trigger("*", &[], Some("amount > 5"))], &[]),
    ];
    assert_eq!(edges(&Graph::of(all, &schema())), ["maker order.created reader"]);
}

#[test]
fn circles_are_told_as_chains_each_once() {
    let all = vec![
        automation("a", vec![trigger("customer.updated", &["notes"], None)], &["order:update"]),
        automation("b", vec![trigger("order.updated", &[], None)], &["customer.notes:write"]),
        automation("c", vec![trigger("task.created", &[], None)], &["task:create", "order:update"]),
    ];
    let graph = Graph::of(all, &schema());
    let warnings: Vec<String> = graph.circles.iter().map(|circle| graph.warning(circle, None)).collect();
    assert_eq!(
        warnings,
        ["can start itself: a → order.updated → b → customer.updated → a", "can start itself: c → task.created → c"]
    );
    let b = AutomationId::new("b").unwrap();
    assert_eq!(graph.warnings_about(&b), ["can start itself: b → customer.updated → a → order.updated → b"]);
}

#[test]
fn many_automations_that_all_start_each_other_are_dealt_with() {
    let ids: Vec<String> = (0..200).map(|n| format!("a{n}")).collect();
    let all =
        ids.iter().map(|id| automation(id, vec![trigger("order.updated", &[], None)], &["order:update"])).collect();
    let graph = Graph::of(all, &schema());
    assert_eq!((graph.edges.len(), graph.circles.len()), (40_000, 200));
}
