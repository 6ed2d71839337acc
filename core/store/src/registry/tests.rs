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

fn with(field: FieldDef, list: &[&str]) -> FieldDef {
    FieldDef { indexed_with: list.iter().map(|n| name(n)).collect(), ..field }
}

fn item(list: &[&str]) -> FieldDef {
    with(FieldDef::new(name("item"), FieldKind::Text), list)
}

fn field(text: &str, kind: FieldKind) -> FieldDef {
    FieldDef::new(name(text), kind)
}

/// The indexes over several fields that a plan makes.
fn covering(plan: &Plan) -> Vec<&str> {
    let texts = plan.statements.iter().map(|statement| &*statement.text);
    texts.filter(|text| text.starts_with("create index \"c_")).collect()
}

const ITEM: &str = "create index \"c_customer_item\" on \"o_customer\" (\"item\", \"points\", \"country\")";

#[test]
fn an_index_over_several_fields_is_made_once_all_of_them_are_there() {
    let changes = [add("customer", item(&["points", "country"])), add("customer", points())];
    let planned = plan(&standard_schema(), &changes, Dialect::Sqlite).unwrap();
    assert_eq!(covering(&planned), [ITEM]);
    let texts: Vec<&str> = planned.statements.iter().map(|statement| &*statement.text).collect();
    let place = |begin: &str| texts.iter().position(|text| text.starts_with(begin)).unwrap();
    assert!(place(ITEM) > place("alter table \"o_customer\" add column \"points\""), "{texts:#?}");
    assert_eq!(planned.must_fit, [(name("customer"), name("item"))]);
}

#[test]
fn a_new_object_has_its_indexes_over_several_fields() {
    let fields = vec![item(&["number"]), field("number", FieldKind::Integer)];
    let answer = SchemaChange::AddObject(ObjectDef::new(name("answer"), Origin::Custom, None, fields));
    let planned = plan(&standard_schema(), &[answer], Dialect::Postgres).unwrap();
    let made = "create index \"c_answer_item\" on \"o_answer\" (\"item\" nulls first, \"number\" nulls first)";
    assert_eq!((covering(&planned), planned.must_fit.len()), (vec![made], 0));
}

#[test]
fn a_field_may_be_indexed_with_others_later_and_stays_so() {
    let before = [add("customer", item(&[])), add("customer", points())];
    let before = plan(&standard_schema(), &before, Dialect::Sqlite).unwrap();
    assert!(covering(&before).is_empty());
    let gains = add("customer", item(&["points", "country"]));
    let gained = plan(&before.schema, &[gains.clone(), gains.clone()], Dialect::Sqlite).unwrap();
    assert_eq!((covering(&gained), gained.effective.len()), (vec![ITEM], 1));
    for again in [gains, add("customer", item(&[]))] {
        assert!(plan(&gained.schema, &[again], Dialect::Sqlite).unwrap().effective.is_empty());
    }
    let kept = gained.schema.object("customer").unwrap().field("item").unwrap().clone();
    assert_eq!(kept, item(&["points", "country"]));
    let Err(StoreError::Schema(error)) =
        plan(&gained.schema, &[add("customer", item(&["country", "points"]))], Dialect::Sqlite)
    else {
        panic!("another list was taken")
    };
    let lists = "indexed with points, country, not with country, points: declare the same list, or none";
    assert_eq!(error, format!("`customer.item` is declared already, {lists}"));
}

#[test]
fn a_choice_may_gain_options_and_an_index_at_once() {
    let choice = |options: &[&str]| FieldKind::Choice { options: options.iter().map(ToString::to_string).collect() };
    let first = [add("customer", field("tier", choice(&["bronze", "gold"])))];
    let first = plan(&standard_schema(), &first, Dialect::Sqlite).unwrap();
    for (options, kept) in [(&["gold"][..], &["bronze", "gold"][..]), (&["tin"], &["bronze", "gold", "tin"])] {
        let both = with(field("tier", choice(options)), &["country"]);
        let planned = plan(&first.schema, &[add("customer", both)], Dialect::Sqlite).unwrap();
        assert_eq!(covering(&planned).len(), 1);
        let customer = planned.schema.object("customer").unwrap();
        assert_eq!(*customer.field("tier").unwrap(), with(field("tier", choice(kept)), &["country"]));
    }
}

#[test]
fn what_cannot_be_in_an_index_over_several_fields_is_refused_by_name() {
    for (list, why) in [
        (&["contry"][..], "`indexed_with` names `contry`, which is no field of `customer`; did you mean `country`?"),
        (
            &["order_count"],
            "`indexed_with` names `order_count`, a roll-up, which changes without its record: leave it out",
        ),
        (&["country", "country"], "`indexed_with` names `country` twice"),
    ] {
        assert_eq!(refusal(add("customer", item(list))), format!("`customer.item`: {why}"));
    }
    let known = with(standard_schema().object("customer").unwrap().field("order_count").unwrap().clone(), &["country"]);
    let why = refusal(add("customer", known));
    assert!(why.starts_with("`customer.order_count`: a roll-up changes without its record"), "{why}");
    let kind = EventType::new("tier.changed").unwrap();
    let event = EventTypeDef { name: kind, fields: vec![item(&["points"]), points()], subject_optional: true };
    let why = refusal(SchemaChange::AddEventType(event));
    assert_eq!(why, "`tier.changed.item`: an event has no index: leave `indexed_with` out");
}
