use rapport_model::schema::Origin;
use rapport_model::{EventType, standard};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn standard_schema() -> Schema {
    let changes: Vec<_> = standard::objects().into_iter().map(SchemaChange::AddObject).collect();
    plan(&Schema::default(), &changes, Dialect::Sqlite).unwrap().schema
}

fn add(object: &str, field: FieldDef) -> SchemaChange {
    SchemaChange::AddField { object: name(object), field }
}

fn points() -> FieldDef {
    FieldDef { default: Some(0.into()), ..FieldDef::new(name("points"), FieldKind::Integer) }
}

fn refusal(change: SchemaChange) -> String {
    match plan(&standard_schema(), &[change], Dialect::Sqlite) {
        Err(StoreError::Schema(message)) => message,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn the_same_change_twice_changes_nothing() {
    let once = plan(&standard_schema(), &[add("customer", points())], Dialect::Sqlite).unwrap();
    assert_eq!(once.effective.len(), 1);
    let twice = plan(&once.schema, &[add("customer", points())], Dialect::Sqlite).unwrap();
    assert!(twice.effective.is_empty() && twice.statements.is_empty());
    assert_eq!(twice.schema.epoch, once.schema.epoch);
    let all: Vec<_> = standard::objects().into_iter().map(SchemaChange::AddObject).collect();
    assert!(plan(&once.schema, &all, Dialect::Sqlite).unwrap().effective.is_empty());
}

#[test]
fn a_field_declared_otherwise_is_refused_by_name() {
    let field = FieldDef::new(name("country"), FieldKind::Integer);
    assert_eq!(refusal(add("customer", field)), "`customer.country` is declared already, as text, not as integer");
}

#[test]
fn a_choice_may_gain_options_and_never_loses_any() {
    let choice = |options: &[&str]| FieldKind::Choice { options: options.iter().map(ToString::to_string).collect() };
    let mut field = FieldDef::new(name("tier"), choice(&["bronze", "gold"]));
    let first = plan(&standard_schema(), &[add("customer", field.clone())], Dialect::Sqlite).unwrap();
    field.kind = choice(&["gold", "silver"]);
    let second = plan(&first.schema, &[add("customer", field)], Dialect::Sqlite).unwrap();
    let customer = second.schema.object("customer").unwrap();
    assert_eq!(customer.field("tier").unwrap().kind, choice(&["bronze", "gold", "silver"]));
}

#[test]
fn system_fields_and_unknown_targets_are_refused() {
    let version = FieldDef::new(name("version"), FieldKind::Integer);
    assert_eq!(refusal(add("customer", version)), "`customer.version` cannot be declared: every record has `version`");
    let reference = FieldDef::new(name("shop"), FieldKind::Reference { object: name("shop") });
    assert_eq!(refusal(add("customer", reference)), "`customer.shop` refers to the object `shop`, which is not there");
    assert!(refusal(add("shop", points())).starts_with("there is no object `shop`"));
}

#[test]
fn a_default_must_fit_its_field() {
    let field = FieldDef { default: Some("many".into()), ..points() };
    assert!(refusal(add("customer", field)).starts_with("the default of `points` does not fit"));
}

#[test]
fn a_required_field_without_a_default_needs_an_empty_object() {
    let field = FieldDef { required: true, default: None, ..points() };
    let planned = plan(&standard_schema(), &[add("customer", field)], Dialect::Sqlite).unwrap();
    assert_eq!(planned.must_be_empty, [(name("customer"), name("points"))]);
}

#[test]
fn the_types_of_record_events_belong_to_the_core() {
    for kind in ["customer.updated", "schema.changed"] {
        let def = EventTypeDef { name: EventType::new(kind).unwrap(), fields: Vec::new(), subject_optional: true };
        assert_eq!(refusal(SchemaChange::AddEventType(def)), format!("the event type `{kind}` belongs to the core"));
    }
}

#[test]
fn an_event_type_may_gain_fields() {
    let def = |fields| EventTypeDef { name: EventType::new("tier.changed").unwrap(), fields, subject_optional: false };
    let first = SchemaChange::AddEventType(def(vec![points()]));
    let other = FieldDef::new(name("tier"), FieldKind::Text);
    let second = SchemaChange::AddEventType(def(vec![other]));
    let planned = plan(&standard_schema(), &[first.clone(), second, first], Dialect::Sqlite).unwrap();
    assert_eq!(planned.effective.len(), 2);
    assert_eq!(planned.schema.event_type("tier.changed").unwrap().fields.len(), 2);
}

#[test]
fn an_object_may_refer_to_itself_and_to_those_before_it() {
    let parent = FieldDef::new(name("parent"), FieldKind::Reference { object: name("shop") });
    let shop = ObjectDef::new(name("shop"), Origin::Custom, Some(name("parent")), vec![parent]);
    assert!(plan(&standard_schema(), &[SchemaChange::AddObject(shop)], Dialect::Postgres).is_ok());
}
